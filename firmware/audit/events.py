"""What is recorded: one struct per kind of event, and nothing that is not in one of them.

Rules kept here:
- This is the allow-list of the log. No field can hold an image, a template, a score or a name: every one is a short
  code, a number, a digest or an identifier, and bounded.
- People are a keyed hash under a key of their own (`who`), which is erased with them; an empty one is nobody. Whatever
  others hold too and could be looked up (consent, mandate, erasure receipt) is keyed with it (`keyed`), and an intent,
  which the backend knows, never stands beside a `who`: else either would name the person after the key has died.
- `by` is the role name of the member of staff who asked; empty where the terminal did it by itself.
- `KINDS` is wire format: a kind is appended, never moved; its fields are appended, never moved (`payment.schema`).
"""

import hashlib
import hmac
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from firmware.payment.messages import Counter, Digest, Id, Name, Version
from firmware.payment.schema import Message

WHO_BYTES = 16
MAX_PURPOSES = 8

Who = Annotated[bytes, Meta(max_length=WHO_BYTES)]
OptionalId = Annotated[bytes, Meta(max_length=16)]
OptionalDigest = Annotated[bytes, Meta(max_length=32)]
Code = Annotated[str, Meta(max_length=48, pattern=r"^([a-z][a-z0-9_]*)?\Z")]
Staff = Annotated[str, Meta(max_length=64, pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]*)?\Z")]
Count = Annotated[int, Meta(ge=0, le=2**31)]
Sequence = Annotated[int, Meta(ge=1, le=2**53)]


def who(audit_key: bytes, person: str) -> bytes:
    """The 16 bytes that stand for a person while their key lives: HMAC-SHA256 under it, and for nobody after."""
    return hmac.new(audit_key, person.encode(), hashlib.sha256).digest()[:WHO_BYTES]


def keyed(audit_key: bytes, known: bytes) -> bytes:
    """32 bytes for something that others can look up, such as a digest: as `who`, checkable while the key lives."""
    return hmac.new(audit_key, b"\0" + known, hashlib.sha256).digest()


class Event(Message, frozen=True):
    """One thing that happened."""


class Checkpoint(Event, frozen=True):
    """The terminal's signature over everything before; its record holds the signed envelope.

    Attributes:
        sequence: of the record that holds it.
        head: digest of the record before it; 32 zero bytes at the very beginning.
        counter: the hardware counter then; 0 where the element has none.
    """

    TYP: ClassVar[str] = "application/tessera-audit-checkpoint+cbor"

    terminal: Name
    sequence: Sequence
    head: Digest
    at: Counter
    counter: Counter


class Started(Event, frozen=True):
    """`core` started: with this software, these settings, these networks.

    Attributes:
        unsigned: how many records no checkpoint covered when the log was opened: what was added since the last one,
            by the terminal before it died or by anybody who wrote to its disk.
        torn: bytes of an unfinished record that were cut off the end.
        missing: how many records that the terminal had signed were no longer in the log.
    """

    firmware: Version
    configuration: Digest
    models: Digest
    unsigned: Count
    torn: Count
    missing: Count


class Stopped(Event, frozen=True):
    """`core` ended as it should."""


class Decision(Event, frozen=True):
    """An intent, a door request or an enrolment was decided.

    Attributes:
        purpose: `payment`, `door`, `enrolment`.
        reason: the precise code; empty where it was approved.
        intent: the intent's id; empty where there is none.
        evidence: the salted commitment to what was measured (`payment.authorize.commit`); empty where nothing was.
        who: empty where there is an intent.
    """

    purpose: Code
    outcome: Literal["approved", "refused", "cancelled"]
    reason: Code
    intent: OptionalId
    evidence: OptionalDigest
    who: Who


class Enrolment(Event, frozen=True):
    """Somebody was enrolled. `consent` is SHA-256 of the signed consent record, keyed."""

    who: Who
    purposes: Annotated[tuple[Code, ...], Meta(max_length=MAX_PURPOSES)]
    consent: Digest
    by: Staff


class MandateUsed(Event, frozen=True):
    """A mandate of the backend was used up: the first 16 bytes of its id, keyed."""

    mandate: Id
    kind: Literal["payer", "guardian", "pin"]


class ConsentRecorded(Event, frozen=True):
    """A consent record was signed; `consent` is SHA-256 of it: nobody is enrolled yet, so no key to put it under."""

    consent: Digest
    by: Staff


class Withdrawal(Event, frozen=True):
    """Consent to one purpose was withdrawn; `consent` is SHA-256 of the record that now stands, keyed."""

    who: Who
    purpose: Code
    consent: OptionalDigest
    by: Staff


class Erasure(Event, frozen=True):
    """Somebody was erased; `receipt` is SHA-256 of the signed receipt, keyed."""

    who: Who
    receipt: OptionalDigest
    by: Staff


class Expiry(Event, frozen=True):
    """Somebody's retention ended and they were erased; `receipt` as in `Erasure`."""

    who: Who
    receipt: OptionalDigest


class Renewal(Event, frozen=True):
    """Somebody consented anew; `consent` as in `Enrolment`."""

    who: Who
    purposes: Annotated[tuple[Code, ...], Meta(max_length=MAX_PURPOSES)]
    consent: Digest
    by: Staff


class Dispute(Event, frozen=True):
    """A wrong match was reported; `disputes` is how many there are now of this person."""

    who: Who
    disputes: Count
    by: Staff


class SpoofStreak(Event, frozen=True):
    """Attempts failed in a row with signs of an attack or of another person; `who` is empty in a payment."""

    who: Who
    failed: Count
    reason: Code


class RoleChange(Event, frozen=True):
    """Staff were given a role, lost it, or got a new passphrase."""

    name: Staff
    role: Code
    change: Literal["added", "removed", "passphrase"]
    by: Staff


class LoginFailed(Event, frozen=True):
    """A wrong passphrase. `name` is empty where nobody has it: what was typed there may be a passphrase."""

    name: Staff
    failed: Count


class ConfigurationChanged(Event, frozen=True):
    """The terminal started with other settings than before; SHA-256 of both."""

    before: Digest
    after: Digest


class ModelsChanged(Event, frozen=True):
    """The terminal started with other networks than before; SHA-256 of both manifests."""

    before: Digest
    after: Digest


class KeyRotated(Event, frozen=True):
    """A key was exchanged; `key` is the new one's id, its epoch's number, or the purpose of a transform."""

    kind: Literal["identity", "sealing", "transform"]
    key: Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9._:-]*\Z")]
    by: Staff


class Backup(Event, frozen=True):
    """The gallery was copied; it held this many people."""

    people: Count
    by: Staff


class Exported(Event, frozen=True):
    """Somebody's data was handed out to them, or the log to an auditor (`who` empty)."""

    what: Literal["person", "audit"]
    who: Who
    by: Staff


class StaffRequest(Event, frozen=True):
    """A member of staff logged in (`login`), looked people or staff up, or was refused what is not for their role."""

    request: Code
    allowed: bool
    by: Staff


class SegmentsDropped(Event, frozen=True):
    """The oldest segments were deleted: the log begins at record `first` now."""

    first: Sequence


class PinSet(Event, frozen=True):
    """Somebody set their PIN, for the first time or anew."""

    who: Who
    by: Staff


KINDS: tuple[type[Event], ...] = (
    Checkpoint, Started, Stopped, Decision, Enrolment, MandateUsed, ConsentRecorded, Withdrawal, Erasure, Expiry,
    Renewal, Dispute, SpoofStreak, RoleChange, LoginFailed, ConfigurationChanged, ModelsChanged, KeyRotated, Backup,
    Exported, SegmentsDropped, StaffRequest, PinSet,
)  # fmt: skip
"""A kind's number on disk is its place here."""


def name_of(kind: type[object]) -> str:
    """`RoleChange` -> `role_change`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)[1:]
