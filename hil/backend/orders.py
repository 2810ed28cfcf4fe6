"""How a register's order stands and how it is taken back, inside one transaction.

Rules kept here:
- What a register was once told is over stays so: an intent past its time is closed as `expired` when somebody looks,
  and a clock that goes back, or another worker's, opens it no more.
- Whoever closes an intent holds its row: a cancellation and an authorization take turns, and the first one counts.
"""

from typing import Literal

import msgspec

from hil.backend.store import Transaction
from hil.backend.verify import Issued

State = Literal["open", "approved", "declined", "rejected", "cancelled", "expired", "unknown"]


class RegisterView(msgspec.Struct, frozen=True):
    """What a cash register sees of its intent.

    Attributes:
        code: why it was rejected or declined; empty otherwise.
        reference: what the register called it.
        amount_minor: what was asked for, in minor units of `currency`.
    """

    intent: str
    state: State
    code: str = ""
    terminal: str = ""
    reference: str = ""
    amount_minor: int = 0
    currency: str = ""


def look(ledger: Transaction, intent: bytes, now: int) -> RegisterView:
    """Return how an intent stands at `now`, in seconds; an unknown one is `unknown`."""
    issued = ledger.issued(intent)
    if issued is not None and issued.open and now >= issued.intent.expires_at:
        issued = _closed(ledger, intent, "expired", now)
    return _view(intent, issued)


def cancel(ledger: Transaction, intent: bytes, now: int) -> RegisterView:
    """Take back an intent that nobody has answered; returns how it stands then, whoever was first."""
    return _view(intent, _closed(ledger, intent, "cancelled", now))


def _closed(ledger: Transaction, intent: bytes, state: State, now: int) -> Issued | None:
    """Close an open intent in this state, or as expired where it is past its time; leave any other as it is."""
    issued = ledger.issued(intent, hold=True)
    if issued is None or not issued.open:
        return issued
    ended = "expired" if now >= issued.intent.expires_at else state
    ledger.close_intent(intent, ended, "")
    return msgspec.structs.replace(issued, state=ended)


def _view(intent: bytes, issued: Issued | None) -> RegisterView:
    if issued is None:
        return RegisterView(intent.hex(), "unknown")
    asked, told = issued.intent, {"intent": intent.hex(), "state": issued.state, "code": issued.code}
    told |= {"terminal": asked.terminal, "reference": issued.reference, "currency": asked.currency}
    return msgspec.convert(told | {"amount_minor": asked.amount_minor}, RegisterView)
