"""What `core` says to the audit log, and what it does where that cannot be written.

Rules kept here:
- A yes, and every act of the staff, is recorded before it is done (`must`): what cannot be recorded is not done.
- A no is done all the same (`note`): a full disk must not let anybody in, nor keep a refusal from the backend.
- The log is signed whenever the terminal has come to rest (`rest`).
- Whoever a record names is named under a key that dies with them, and so is what stands beside (`events.keyed`). Where
  it names an intent, whose payer the backend knows, it names nobody.
"""

import logging
from typing import Final, Literal

from drivers.secure_element.interface import SecureElementError
from firmware.audit.errors import AuditError
from firmware.audit.events import Decision, Event, SpoofStreak
from firmware.audit.log import Audit
from firmware.core.attempts import FREE, Attempt

CANCELLED: Final = ("cancelled", "cancelled_by_register")

_log = logging.getLogger("tessera.core")


class Journal:
    """The audit log of one terminal, as the rest of `core` writes to it."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def must(self, event: Event) -> None:
        """Record what is about to be done. Raises AuditError, SecureElementError: do not do it."""
        self._audit.record(event)

    def note(self, event: Event) -> None:
        """Record what is done in any case; that it could not be stands in the log file."""
        try:
            self._audit.record(event)
        except (AuditError, SecureElementError) as error:
            _log.critical("not in the audit log: %s: %s", type(event).__name__, error)

    def rest(self) -> None:
        """Sign what was recorded since the last time."""
        try:
            self._audit.checkpoint()
        except (AuditError, SecureElementError) as error:
            _log.critical("the audit log is not signed: %s", error)

    def checkpoint(self) -> bytes:
        """Sign, for somebody who takes it with them. Raises AuditError, SecureElementError."""
        return self._audit.checkpoint()


def decision(purpose: str, reason: str, intent: bytes = b"", evidence: bytes = b"") -> Decision:
    """What was decided: approved where there is no `reason`. It names nobody: the intent does, to the backend."""
    outcome: Literal["approved", "cancelled", "refused"] = (
        "cancelled" if reason in CANCELLED else "refused" if reason else "approved"
    )
    return Decision(purpose=purpose, outcome=outcome, reason=reason, intent=intent, evidence=evidence, who=b"")


def note_streak(journal: Journal, attempt: Attempt, reason: str) -> None:
    """Note that attempts fail in a row, from the first on that makes the next wait. Nobody is named: see above."""
    if attempt.streak >= FREE:
        journal.note(SpoofStreak(who=b"", failed=attempt.streak, reason=reason))
