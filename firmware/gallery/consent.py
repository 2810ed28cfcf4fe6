"""Consent: who agreed, to what, told what, for how long, who recorded it. Without it nobody is enrolled or matched.

Rules kept here:
- Values only: the clock, the notice in force and the terminal's keys are handed in.
- The terminal signs only a consent that holds at that moment, and believes only what one of its own keys signed.
- Each purpose is agreed to by itself. Withdrawal takes one away; a renewal adds none: that is a new enrolment.
- What was agreed to is what was told: another notice, or another version of it, needs consent again.
- Under 14 a guardian agrees (China 2025 Measures, Art. 7), under a mandate of their own; from the 14th birthday on the
  person is asked anew. Nobody under 18 pays with a face, whoever allows it: no error rate here was measured on growing
  faces. Who consents is as old as on the day they consent.
- A birthday begins at midnight of the terminal's own time zone; who was born on 29 February has it on 1 March in
  common years.
- Retention is bounded: three years at most (BIPA, 740 ILCS 14/15(a)), and never longer than the notice says.
"""

import datetime
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from drivers.secure_element.interface import SecureElement
from firmware.payment import authorize, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Digest, Name, Reason, Seconds
from firmware.payment.trust import Trust, key_id, load_public_key
from firmware.runtime.config import Language, NoticeVersion, RetentionDays

GUARDIAN_BELOW = 14
ADULT_FROM = 18
MAX_CONSENT_AGE_S = 24 * 3600
DAY_S = 86400

Purpose = Literal["payment", "door"]
AgeSource = Literal["document", "declared", "guardian"]
Pseudonym = Annotated[str, Meta(min_length=1, max_length=64)]
Purposes = Annotated[tuple[Purpose, ...], Meta(min_length=1, max_length=2)]


class ConsentError(Exception):
    """There is no valid consent; `code` is short and stable, the message a plain sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class GuardianConsent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who agreed on behalf of a person under 14.

    Attributes:
        name: the guardian's pseudonym.
        verifier: who made sure that this is their guardian; signs the guardian's mandate.
        method: how, e.g. `document` or `account`.
        given_at: Unix seconds when the guardian agreed.
    """

    name: Pseudonym
    verifier: Name
    method: Reason
    given_at: Seconds


class ConsentForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What somebody agreed to, as the operator types it in.

    Attributes:
        who: the pseudonym they chose. Stays sealed in the terminal.
        purposes: what the template may be used for, each agreed to by itself.
        notice_version, notice_sha256: of the notice they were shown; the digest in hex.
        language: the one it was shown in, BCP 47, e.g. `de` or `zh-Hans`.
        retention_days: after which the template is erased by itself.
        age_source: how the date of birth is known.
        given_at: Unix seconds when they agreed.
        guardian: for a person under 14, and for nobody else.
    """

    who: Pseudonym
    purposes: Purposes
    notice_version: NoticeVersion
    notice_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    language: Language
    retention_days: RetentionDays
    date_of_birth: datetime.date
    age_source: AgeSource
    given_at: Seconds
    guardian: GuardianConsent | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What this terminal tells people at present.

    Attributes:
        sha256: of the notice's file, all its languages in one.
        retention_days: the longest it says templates are kept.
        zone: where the terminal stands: when birthdays begin.
    """

    version: str
    sha256: bytes
    languages: tuple[str, ...]
    retention_days: int
    zone: datetime.tzinfo


class ConsentRecord(schema.Message, frozen=True):
    """A form and who recorded it, as the terminal signs it. The order of fields is the wire format.

    Attributes:
        date_of_birth: `YYYY-MM-DD`; see `born`.
        guardian, guardian_verifier, guardian_method, guardian_given_at: empty and 0 where nobody's consent but the
            person's own is in it.
        terminal: where it was recorded.
        recorded_by: the operator's name.
        recorded_at: when the terminal signed it.
    """

    TYP: ClassVar[str] = "application/tessera-consent+cbor"

    who: Pseudonym
    purposes: Purposes
    notice_version: NoticeVersion
    notice_sha256: Digest
    language: Language
    retention_days: RetentionDays
    date_of_birth: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
    age_source: AgeSource
    given_at: Seconds
    guardian: Annotated[str, Meta(max_length=64)]
    guardian_verifier: Annotated[str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,63})?\Z")]
    guardian_method: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,31})?\Z")]
    guardian_given_at: Annotated[int, Meta(ge=0, le=4_102_444_800)]
    terminal: Name
    recorded_by: Name
    recorded_at: Seconds

    @property
    def born(self) -> datetime.date:
        """The date of birth."""
        return datetime.date.fromisoformat(self.date_of_birth)

    @property
    def retain_until(self) -> int:
        """Unix seconds from which on the template must be gone."""
        return self.given_at + self.retention_days * DAY_S

    @property
    def bound_purpose(self) -> Purpose:
        """The purpose its mandate must name: `payment` wherever a payment is among them."""
        return "payment" if "payment" in self.purposes else "door"


def parse_form(toml: bytes) -> ConsentForm:
    """Read what an operator typed in. Times may be written as dates with their offset.

    Raises:
        ConsentError: `consent_malformed`, naming the key.
    """
    try:
        table = msgspec.toml.decode(toml, type=dict[str, object])
        for part in (table, table.get("guardian")):
            if isinstance(part, dict) and isinstance(given_at := part.get("given_at"), datetime.datetime):
                part["given_at"] = _seconds(given_at)
        return msgspec.convert(table, ConsentForm, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(f"The consent form cannot be read: {error}.") from error


def sign_consent(
    form: ConsentForm, *, terminal: str, recorded_by: str, now: int, notice: Notice, element: SecureElement
) -> bytes:
    """Return the signed record of a consent that holds now; its SHA-256 is what mandates bind (`consent_hash`).

    Raises:
        ConsentError: as `check_enrolment`, or `consent_malformed`.
        SecureElementError: the element refused.
    """
    guardian = form.guardian
    record = ConsentRecord(
        who=form.who,
        purposes=form.purposes,
        notice_version=form.notice_version,
        notice_sha256=bytes.fromhex(form.notice_sha256),
        language=form.language,
        retention_days=form.retention_days,
        date_of_birth=form.date_of_birth.isoformat(),
        age_source=form.age_source,
        given_at=form.given_at,
        guardian=guardian.name if guardian else "",
        guardian_verifier=guardian.verifier if guardian else "",
        guardian_method=guardian.method if guardian else "",
        guardian_given_at=guardian.given_at if guardian else 0,
        terminal=terminal,
        recorded_by=recorded_by,
        recorded_at=now,
    )
    check_enrolment(_whole(record), terminal, now, notice)
    return _signed(record, element)


def withdraw_purpose(
    record: ConsentRecord, purpose: str, *, recorded_by: str, now: int, element: SecureElement
) -> bytes:
    """Return the signed record without `purpose`. It always can be withdrawn, whatever else no longer holds.

    Raises:
        ConsentError: `consent_purpose` where it is not among them, or is the last: then the person is erased.
        SecureElementError: the element refused.
    """
    left = tuple(other for other in record.purposes if other != purpose)
    if len(left) == len(record.purposes):
        raise ConsentError("consent_purpose", f"There is no consent to {purpose} to withdraw.")
    if not left:
        raise ConsentError("consent_purpose", f"The last purpose is {purpose}: erase the person instead.")
    return _signed(msgspec.structs.replace(record, purposes=left, recorded_by=recorded_by, recorded_at=now), element)


def read_consent(envelope: bytes, public_keys: Iterable[bytes]) -> ConsentRecord:
    """Read a record signed by this terminal: by any of the keys it has or had (DER SubjectPublicKeyInfo).

    Raises:
        ConsentError: `consent_malformed` or `consent_signature`.
    """
    try:
        keys = {key_id(key): key for key in map(load_public_key, public_keys)}
        _, record = schema.verify(envelope, ConsentRecord, Trust(keys).resolve)
    except PaymentError as error:
        if error.code in ("bad_signature", "unknown_key", "trust"):
            text = f"The consent record is not signed by this terminal: {error.text}."
            raise ConsentError("consent_signature", text) from error
        raise _malformed(f"The consent record cannot be read: {error.text}.") from error
    return _whole(record)


def consent_hash(envelope: bytes) -> bytes:
    """SHA-256 of a signed record: what a mandate binds."""
    return hashlib.sha256(envelope).digest()


def check(record: ConsentRecord, purpose: str, now: int, notice: Notice) -> None:
    """Refuse consent that does not cover this purpose now, Unix seconds: at enrolment and at each match.

    Raises:
        ConsentError: `consent_purpose`, `consent_date`, `consent_expired`, `consent_renew`, `guardian_missing`,
            `consent_majority` or `minor_payment`.
    """
    if purpose not in record.purposes:
        raise ConsentError("consent_purpose", f"Consent was given for {', '.join(record.purposes)}, not for {purpose}.")
    if now < record.given_at:
        raise ConsentError("consent_date", "The consent is dated in the future.")
    if now >= record.retain_until:
        raise ConsentError("consent_expired", "The consent has expired; the person must be asked anew.")
    if (record.notice_version, record.notice_sha256) != (notice.version, notice.sha256):
        raise ConsentError("consent_renew", "The notice has changed since; the person must be asked anew.")
    _check_age(record, purpose, now, notice.zone)


def check_enrolment(record: ConsentRecord, terminal: str, now: int, notice: Notice) -> None:
    """Refuse consent under which nobody may be enrolled at this terminal now, or whose consent it renews.

    Raises:
        ConsentError: as `check` for any of its purposes, `consent_terminal`, `consent_date`, `consent_language` or
            `consent_retention`.
    """
    if record.terminal != terminal:
        raise ConsentError("consent_terminal", f"The consent was recorded at {record.terminal}, not at {terminal}.")
    given = [record.given_at, *([record.guardian_given_at] if record.guardian else [])]
    if not all(now - MAX_CONSENT_AGE_S <= at <= now for at in given):
        raise ConsentError("consent_date", "Consent must have been given within the last day.")
    if record.language not in notice.languages:
        told = ", ".join(notice.languages)
        raise ConsentError("consent_language", f"There is no notice in {record.language}, only in {told}.")
    if record.retention_days > notice.retention_days:
        text = f"The notice says {notice.retention_days} days at most, the consent {record.retention_days}."
        raise ConsentError("consent_retention", text)
    for purpose in record.purposes:
        check(record, purpose, now, notice)


def check_renewal(old: ConsentRecord, new: ConsentRecord) -> None:
    """Refuse to put `new` in the place of `old`, whose templates stay. `new` passed `check_enrolment`.

    Raises:
        ConsentError: `consent_other`: another person, a record older than the one it replaces, or a purpose that was
            not agreed to at the enrolment, and so was covered by no mandate.
    """
    if (new.who, new.date_of_birth) != (old.who, old.date_of_birth):
        raise ConsentError("consent_other", "The new consent is another person's: erase, and enrol anew.")
    if new.recorded_at < old.recorded_at:
        raise ConsentError("consent_other", "The new consent was recorded before the one that stands.")
    if not set(new.purposes) <= set(old.purposes):
        raise ConsentError("consent_other", "A purpose cannot be added to an enrolment: erase, and enrol anew.")


def age_at(born: datetime.date, at: int, zone: datetime.tzinfo) -> int:
    """Whole years at `at`, Unix seconds, by the calendar of `zone`; negative before birth."""
    today = datetime.datetime.fromtimestamp(at, zone).date()
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _check_age(record: ConsentRecord, purpose: str, now: int, zone: datetime.tzinfo) -> None:
    age_given, age_now = (age_at(record.born, at, zone) for at in (record.given_at, now))
    if age_given < 0:
        raise ConsentError("consent_date", "The date of birth lies in the future.")
    if age_given < GUARDIAN_BELOW and not record.guardian:
        raise ConsentError("guardian_missing", "A person under 14 needs a guardian's consent.")
    if age_now >= GUARDIAN_BELOW and record.guardian:
        raise ConsentError("consent_majority", "From the 14th birthday on the person consents; ask them.")
    if age_given < ADULT_FROM and purpose == "payment":
        raise ConsentError("minor_payment", "Nobody under 18 can pay with a face.")


def _signed(record: ConsentRecord, element: SecureElement) -> bytes:
    try:
        return authorize.sign(record, element)
    except PaymentError as error:
        raise _malformed(f"The consent cannot be recorded: {error.text}.") from error


def _whole(record: ConsentRecord) -> ConsentRecord:
    """What a schema cannot say. Raises ConsentError `consent_malformed`."""
    guardian = (record.guardian, record.guardian_verifier, record.guardian_method, record.guardian_given_at)
    if not (record.who + record.guardian).isprintable():
        raise _malformed("A pseudonym holds characters that cannot be shown.")
    if len(set(record.purposes)) != len(record.purposes):
        raise _malformed("A purpose stands twice in the consent.")
    if any(guardian) != all(guardian):
        raise _malformed("A guardian's consent needs name, verifier, method and time.")
    if record.age_source == "guardian" and not record.guardian:
        raise _malformed("The age is said to be a guardian's word, and there is no guardian.")
    try:
        datetime.date.fromisoformat(record.date_of_birth)
    except ValueError as error:
        raise _malformed(f"The date of birth {record.date_of_birth} is no day of the calendar.") from error
    return record


def _seconds(at: datetime.datetime) -> int:
    if at.tzinfo is None:
        raise _malformed("Write given_at with its offset, e.g. 2026-11-23T09:30:00+01:00.")
    return int(at.timestamp())


def _malformed(text: str) -> ConsentError:
    return ConsentError("consent_malformed", text)
