"""Consent: who agreed, to what, told what, for how long. Without it there is no enrolment.

Rules kept here:
- Consent is a value that exists before the first frame is looked at; its hash is bound into the mandate.
- Under 14 a guardian's consent is part of it (China 2025 Measures, Art. 7); nobody under
  18 pays with a face, whoever allows it: no error rate here was measured on growing faces.
- Retention is bounded: three years at most (BIPA, 740 ILCS 14/15(a)).
"""

import datetime
import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

GUARDIAN_BELOW = 14
ADULT_FROM = 18
MAX_CONSENT_AGE_S = 24 * 3600

PlainName = Annotated[str, Meta(min_length=1, max_length=120)]


class ConsentError(Exception):
    """There is no valid consent; `code` is short and stable, the message a plain sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Guardian(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who agreed on a minor's behalf."""

    name: PlainName


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person's agreement.

    Attributes:
        who: the person, as they named themselves. Stays sealed in the terminal.
        purpose: the one thing the template may be used for.
        notice_sha256: hex digest of the notice they were shown.
        retention_days: after which the template is erased by itself.
        date_of_birth: ISO date.
        given_at: Unix seconds when they agreed.
        guardian: for minors.
    """

    who: PlainName
    purpose: Literal["payment", "door"]
    notice_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    retention_days: Annotated[int, Meta(ge=1, le=1095)]
    date_of_birth: datetime.date
    given_at: Annotated[int, Meta(ge=0)]
    guardian: Guardian | None = None

    @property
    def encoded(self) -> bytes:
        """The one encoding of this consent: JSON, fields in order."""
        return msgspec.json.encode(self)

    @property
    def sha256(self) -> bytes:
        """What a mandate binds."""
        return hashlib.sha256(self.encoded).digest()

    @property
    def retain_until(self) -> int:
        """Unix seconds after which the template must be gone."""
        return self.given_at + self.retention_days * 86400


def parse_consent(encoded: bytes) -> Consent:
    """Decode strictly. Raises ConsentError("malformed")."""
    try:
        consent = msgspec.json.decode(encoded, type=Consent, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConsentError("consent_malformed", f"The consent record cannot be read: {error}.") from error
    if consent.encoded != encoded:
        raise ConsentError("consent_malformed", "The consent record is not in its one encoding.")
    return consent


def check_consent(consent: Consent, purpose: str, now: int) -> None:
    """Refuse consent that does not cover this enrolment. `now` is Unix seconds.

    Raises:
        ConsentError: with the code of the first thing that is missing.
    """
    if consent.purpose != purpose:
        raise ConsentError("consent_purpose", f"Consent was given for {consent.purpose}, not for {purpose}.")
    if not now - MAX_CONSENT_AGE_S <= consent.given_at <= now:
        raise ConsentError("consent_date", "Consent must have been given within the last day.")
    age = age_at(consent.date_of_birth, now)
    if age < 0:
        raise ConsentError("consent_date", "The date of birth lies in the future.")
    if age < GUARDIAN_BELOW and consent.guardian is None:
        raise ConsentError("guardian_missing", "A person under 14 needs a guardian's consent.")
    if age < ADULT_FROM and purpose == "payment":
        raise ConsentError("minor_payment", "Nobody under 18 can pay with a face.")


def age_at(born: datetime.date, at: int) -> int:
    """Whole years at `at`, Unix seconds; somebody born on 29 February has their birthday on 1 March in common years."""
    today = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).date()
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
