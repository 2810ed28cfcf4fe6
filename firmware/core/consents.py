"""Consent at this terminal: recorded, looked at before every enrolment, match and renewal.

Rules kept here:
- What the person agreed to is written down and signed before the first frame; whoever recorded it stands in it.
- Nobody is matched on the word of a flag: the record itself is read, its signature checked, and whatever it needs to
  hold is asked anew each time.
- A mandate, a guardian's mandate and a consent serve once.
"""

from dataclasses import dataclass

from firmware.core.parts import Parts
from firmware.gallery.consent import (
    ADULT_FROM,
    ConsentError,
    ConsentRecord,
    Notice,
    age_at,
    check,
    check_enrolment,
    consent_hash,
    parse_form,
    read_consent,
    sign_consent,
)
from firmware.gallery.gallery import Enrolled, GalleryError
from firmware.payment.mandate import verify_guardian_mandate, verify_mandate


@dataclass(frozen=True, slots=True)
class Papers:
    """What somebody is enrolled under: all of it checked.

    Attributes:
        envelope: the signed consent record.
        record: what it says.
        payer: the token of the account.
        mandate: the payer mandate's id.
        guardian: the guardian's mandate's id; None where the person consented for themselves.
    """

    envelope: bytes
    record: ConsentRecord
    payer: str
    mandate: bytes
    guardian: bytes | None

    @property
    def used(self) -> tuple[bytes, ...]:
        """What enrols nobody again, besides the mandate."""
        consent = consent_hash(self.envelope)
        return (consent,) if self.guardian is None else (consent, self.guardian)


def record_consent(parts: Parts, form: bytes, by: str) -> bytes:
    """Sign what was agreed to, as `by` typed it in (TOML); returns the record's envelope.

    Raises:
        ConsentError, PaymentError (the clock), SecureElementError: nothing was signed.
    """
    return sign_consent(
        parse_form(form),
        terminal=parts.config.terminal,
        recorded_by=by,
        now=parts.clock.now(),
        notice=notice_of(parts),
        element=parts.element,
    )


def check_papers(parts: Parts, consent: bytes, mandate: bytes, guardian: bytes) -> Papers:
    """Check a consent record and its mandates for an enrolment now; `guardian` is empty where there is none.

    Raises:
        ConsentError, GalleryError (`mandate`, used before), PaymentError.
    """
    record = _recorded(parts, consent)
    bound = verify_mandate(
        mandate,
        parts.trust,
        environment=parts.profile.environment,
        terminal=parts.config.terminal,
        purpose=record.bound_purpose,
        consent_hash=consent_hash(consent),
        now=parts.clock.now(),
    )
    papers = Papers(consent, record, bound.payer, bound.id, check_guardian(parts, consent, record, guardian))
    if any(parts.gallery.mandate_used(one) for one in (papers.mandate, *papers.used)):
        raise GalleryError("mandate", "This mandate or consent was used before; ask for a new one.")
    return papers


def check_renewed(parts: Parts, consent: bytes, guardian: bytes) -> tuple[ConsentRecord, tuple[bytes, ...]]:
    """Check a consent record that is to take the place of another; returns it, and what it uses up.

    Raises ConsentError, PaymentError.
    """
    record = _recorded(parts, consent)
    mandate = check_guardian(parts, consent, record, guardian)
    return record, (consent_hash(consent),) if mandate is None else (consent_hash(consent), mandate)


def check_guardian(parts: Parts, consent: bytes, record: ConsentRecord, envelope: bytes) -> bytes | None:
    """The id of a guardian's mandate, where a guardian consented. Raises ConsentError, PaymentError."""
    if not record.guardian:
        return None
    if not envelope:
        raise ConsentError("guardian_missing", "A guardian consented: their mandate is needed too.")
    return verify_guardian_mandate(
        envelope,
        parts.trust,
        environment=parts.profile.environment,
        terminal=parts.config.terminal,
        consent_hash=consent_hash(consent),
        verifier=record.guardian_verifier,
        method=record.guardian_method,
        now=parts.clock.now(),
    ).id


def check_match(parts: Parts, enrolled: Enrolled, purpose: str, now: int) -> None:
    """Refuse to match somebody for a purpose that their consent does not cover now.

    Raises:
        ConsentError: with the code of the first thing that is missing, or `minor`.
    """
    notice = notice_of(parts)
    record = read_consent(enrolled.consent, parts.identities.keys)
    check(record, purpose, now, notice)
    if purpose == "payment" and age_at(record.born, enrolled.enrolled_at, notice.zone) < ADULT_FROM:
        # faces of children are outside every claim
        raise ConsentError("minor", "Somebody who was under 18 when they were enrolled cannot pay with a face.")


def notice_of(parts: Parts) -> Notice:
    """What people are told. Raises ConsentError `no_notice`."""
    if parts.notice is None:
        raise ConsentError("no_notice", "This terminal has no notice; see `tessera privacy notice` and its log.")
    return parts.notice


def _recorded(parts: Parts, envelope: bytes) -> ConsentRecord:
    record = read_consent(envelope, parts.identities.keys)
    check_enrolment(record, parts.config.terminal, parts.clock.now(), notice_of(parts))
    return record
