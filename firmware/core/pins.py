"""A person's PIN for this terminal: what is kept of it, how often it may be wrong, and who lets them set one.

Rules kept here:
- It is Tessera's own and never that of a card: 4 to 12 digits that somebody chose here, for this terminal.
- Of it only scrypt's output over a salt is kept, sealed under the person's own key in the gallery, which the secure
  element seals: it goes when they, or their consent to payments, go. A number of four digits is quickly found from
  scrypt's output by whoever has that: what protects it is the sealing.
- Five wrong ones in a row lock it until it is set anew. A try is counted on disk before the digits are looked at, so
  that kill, reboot and power cut gain nothing, and nobody is told of one that is not counted.
- It is set, and set anew, under a mandate of the backend of purpose `pin`, for this person's account and the consent
  that stands, once.
- The digits go no further than this: into no event, log line, audit record, envelope or file.
"""

import asyncio
import hmac
import secrets
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from firmware.audit import events
from firmware.audit.events import keyed, who
from firmware.core.consents import check_match
from firmware.core.errors import TerminalError
from firmware.core.parts import Parts
from firmware.core.roles import COST, stretched
from firmware.gallery.consent import consent_hash
from firmware.gallery.gallery import Enrolled, GalleryError
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import verify_mandate

PURPOSE: Final = "payment"
"""What a PIN is for: it goes with the consent to it."""
MANDATED: Final = "pin"
TRIES: Final = 5
MANDATE_BYTES: Final = 16
# all alike, up or down: steps between neighbours, modulo ten
_IN_A_ROW: Final = ({0}, {1}, {9})


class PinError(TerminalError):
    """A PIN cannot be used or set; `reason` is a code of `core.reasons`."""


class Verifier(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is kept of a PIN: salt, scrypt's N, its output, and how many wrong ones in a row were typed."""

    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    cost: Annotated[int, Meta(ge=1024, le=COST)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    failed: Annotated[int, Meta(ge=0, le=TRIES)] = 0

    @classmethod
    def of(cls, digits: str, cost: int = COST) -> "Verifier":
        """Of a PIN that was chosen. Takes a fifth of a second: beside the event loop."""
        salt = secrets.token_bytes(16)
        return cls(salt, cost, stretched(digits, salt, cost))

    def opens(self, digits: str) -> bool:
        """Whether it is this one; equally long for whatever was typed."""
        return hmac.compare_digest(stretched(digits, self.salt, self.cost), self.digest)


@dataclass(frozen=True, slots=True)
class PinPapers:
    """Who may set a PIN, and the id of the mandate that lets them."""

    enrolled: Enrolled
    mandate: bytes


def weak(digits: str) -> bool:
    """Whether it is among the first that anybody tries: all digits alike, or in a row."""
    return {(int(after) - int(before)) % 10 for before, after in pairwise(digits)} in _IN_A_ROW


class Pins:
    """The PINs of everybody enrolled. Keeps nothing itself."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def left(self, person: str) -> int | None:
        """How many wrong ones may still be typed in a row; None where they have set no PIN. Raises GalleryError."""
        verifier = self._of(person)
        return None if verifier is None else TRIES - verifier.failed

    def told(self, person: str) -> str:
        """The same in plain words, for the operator; empty where they have set none."""
        try:
            left = self.left(person)
        except GalleryError as error:
            return f"cannot be read ({error.code}): set it anew"
        if left is None:
            return ""
        return "set" if left else f"locked after {TRIES} wrong ones in a row: set it anew"

    async def check(self, person: str, digits: str) -> bool:
        """Whether this is their PIN; a wrong one is counted first.

        Raises:
            GalleryError: it cannot be read, or the try not be counted.
            PinError: `pin_missing`, `pin_locked`; the digits were not looked at.
        """
        verifier = self._of(person)
        if verifier is None:
            raise PinError("No PIN is set.", "pin_missing")
        if verifier.failed >= TRIES:
            raise PinError("Too many wrong PINs were typed.", "pin_locked")
        self._note(person, msgspec.structs.replace(verifier, failed=verifier.failed + 1))
        if not await asyncio.to_thread(verifier.opens, digits):
            return False
        self._note(person, msgspec.structs.replace(verifier, failed=0))
        return True

    def papers(self, person: str, mandate: bytes) -> PinPapers:
        """Check a mandate to set this person's PIN.

        Raises:
            ConsentError: they do not agree to payments now.
            GalleryError: `unknown_person`, `not_agreed`, or `mandate`: it was used before.
            PaymentError: an envelope code, `clock`, or `mandate`.
        """
        parts = self._parts
        enrolled, now = parts.gallery.person(person), parts.clock.now()
        if enrolled is None:
            raise GalleryError("unknown_person", f"Nobody is enrolled as {person}; see `tessera people list`.")
        if PURPOSE not in enrolled.purposes:
            raise GalleryError("not_agreed", f"They are not enrolled for {PURPOSE}.")
        check_match(parts, enrolled, PURPOSE, now)
        bound = verify_mandate(
            mandate,
            parts.trust,
            environment=parts.profile.environment,
            terminal=parts.config.terminal,
            purpose=MANDATED,
            consent_hash=consent_hash(enrolled.consent),
            now=now,
        )
        if bound.payer != enrolled.payer:
            raise PaymentError("mandate", "the mandate is for another account")
        if parts.gallery.mandate_used(bound.id):
            raise GalleryError("mandate", "This mandate was used before; ask for a new one.")
        return PinPapers(enrolled, bound.id)

    def put(self, papers: PinPapers, verifier: Verifier, by: str) -> None:
        """Keep the PIN they chose, as the operator `by` asked; one that was there opens nowhere any more.

        Raises:
            AuditError, GalleryError, SecureElementError: nothing was changed.
        """
        enrolled, journal = papers.enrolled, self._parts.journal

        def announce() -> None:
            them = enrolled.audit_key
            journal.must(events.MandateUsed(mandate=keyed(them, papers.mandate)[:MANDATE_BYTES], kind="pin"))
            journal.must(events.PinSet(who=who(them, enrolled.person), by=by))

        self._parts.gallery.set_secret(
            enrolled.person, PURPOSE, msgspec.msgpack.encode(verifier), used=(papers.mandate,), announce=announce
        )

    def _of(self, person: str) -> Verifier | None:
        kept = self._parts.gallery.secret(person, PURPOSE)
        try:
            return None if kept is None else msgspec.msgpack.decode(kept, type=Verifier, strict=True)
        except msgspec.DecodeError as error:
            raise GalleryError("gallery_damaged", f"The PIN of {person} is of another version: {error}.") from error

    def _note(self, person: str, verifier: Verifier) -> None:
        self._parts.gallery.note_secret(person, PURPOSE, msgspec.msgpack.encode(verifier))
