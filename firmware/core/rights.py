"""What people may ask where their face is kept: to see, to withdraw, to be erased, to object, to consent anew.

Rules kept here:
- Each act is in the audit log before it is done; what cannot be recorded is not done.
- Withdrawal asks for nothing but the person: it is as easy as enrolment, and the last purpose takes everything along.
- What is erased is erased by time the backend has signed: a clock that jumps ahead erases nobody. Nobody is matched
  after their retention by the terminal's own clock, erased or not.
- A new consent takes the old one's place for the same person and for no purpose more: whatever binds a face to an
  account passed a mandate.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from drivers.secure_element.interface import SecureElementError
from firmware.audit import events
from firmware.audit.errors import AuditError
from firmware.audit.events import keyed, who
from firmware.core.attempts import AttemptsError
from firmware.core.consents import check_renewed, record_consent
from firmware.core.export import acts_of, document
from firmware.core.parts import Parts
from firmware.core.signing import Signer
from firmware.core.stand import BusyError, Stand
from firmware.gallery.consent import check_renewal, consent_hash, read_consent, withdraw_purpose
from firmware.gallery.gallery import DAY_S, Enrolled, GalleryError
from firmware.payment.errors import PaymentError

AUDIT_KEPT_S = 3 * 366 * DAY_S
"""The processing record is kept three years (China's 2025 Measures, Art. 9)."""

_log = logging.getLogger("tessera.core")


class Rights:
    """Asked for at the command line by an operator, whose name is `by`. All of it may raise AuditError, BusyError."""

    def __init__(self, parts: Parts, signer: Signer, stand: Stand) -> None:
        self._parts, self._signer, self._stand = parts, signer, stand

    def record(self, form: bytes, by: str) -> bytes:
        """Put a consent on record. Raises ConsentError, PaymentError, SecureElementError."""
        envelope = record_consent(self._parts, form, by)
        self._parts.journal.must(events.ConsentRecorded(consent=consent_hash(envelope), by=by))
        return envelope

    def erase(self, person: str, by: str) -> bytes:
        """Erase somebody; returns the signed receipt. Raises GalleryError, PaymentError, SecureElementError."""
        self._at_rest()

        def receipt(enrolled: Enrolled) -> bytes:
            signed, them = self._signer.erasure(enrolled), enrolled.audit_key
            about = who(them, enrolled.person)
            self._parts.journal.must(events.Erasure(who=about, receipt=keyed(them, consent_hash(signed)), by=by))
            return signed

        signed = self._parts.gallery.erase(person, receipt)
        self._forget_attempts()
        return signed

    def withdraw(self, person: str, purpose: str, by: str) -> bytes | None:
        """Take one purpose back; returns the consent record that is left, None where everything was to be erased.

        Raises:
            ConsentError, GalleryError, SecureElementError: nothing was changed.
        """
        self._at_rest()
        enrolled, parts = self._enrolled(person), self._parts
        if enrolled.purposes == (purpose,):
            return None
        now = parts.now_or_floor()
        record = read_consent(enrolled.consent, parts.identities.keys)
        left = withdraw_purpose(record, purpose, recorded_by=by, now=now, element=parts.element)
        them = enrolled.audit_key
        parts.journal.must(
            events.Withdrawal(who=who(them, person), purpose=purpose, consent=keyed(them, consent_hash(left)), by=by)
        )
        parts.gallery.withdraw(person, purpose, left, now)
        return left

    def renew(self, person: str, consent: bytes, guardian: bytes, by: str) -> None:
        """Put a new consent record in the place of somebody's. Raises as `withdraw`, and PaymentError."""
        self._at_rest()
        enrolled, parts = self._enrolled(person), self._parts
        record, used = check_renewed(parts, consent, guardian)
        check_renewal(read_consent(enrolled.consent, parts.identities.keys), record)
        them = enrolled.audit_key
        parts.journal.must(
            events.Renewal(
                who=who(them, person), purposes=record.purposes, consent=keyed(them, consent_hash(consent)), by=by
            )
        )
        parts.gallery.renew(
            person,
            consent=consent,
            purposes=record.purposes,
            retain_until=record.retain_until,
            now=parts.clock.now(),
            used=used,
        )

    def dispute(self, person: str, by: str) -> int:
        """Note a wrong match: from now on this person's must be ten times better; returns how many by now.

        Raises:
            GalleryError: nothing was changed.
        """
        self._at_rest()
        enrolled, parts = self._enrolled(person), self._parts
        about = who(enrolled.audit_key, person)
        parts.journal.must(events.Dispute(who=about, disputes=enrolled.disputes + 1, by=by))
        return parts.gallery.dispute(person, parts.now_or_floor())

    async def export(self, person: str, by: str) -> bytes:
        """All that is kept of somebody but the template, JSON. Raises ConsentError, GalleryError."""
        enrolled, parts = self._enrolled(person), self._parts
        record = read_consent(enrolled.consent, parts.identities.keys)
        parts.journal.must(events.Exported(what="person", who=who(enrolled.audit_key, person), by=by))
        acts = await asyncio.to_thread(acts_of, parts.audit_folder, enrolled)
        return document(parts, enrolled, record, acts)

    def purge(self) -> None:
        """Erase whose retention has ended, and drop what the audit log need not keep any longer."""
        parts = self._parts

        def receipt(enrolled: Enrolled) -> bytes:
            signed, them = self._signer.erasure(enrolled), enrolled.audit_key
            about = who(them, enrolled.person)
            parts.journal.must(events.Expiry(who=about, receipt=keyed(them, consent_hash(signed))))
            return signed

        floor = parts.outbox.time_floor
        try:
            parts.gallery.finish()
            self._expire(parts.gallery.expired(floor), receipt)
            parts.audit.drop_before(floor - AUDIT_KEPT_S)
        except (AuditError, PaymentError, SecureElementError, GalleryError) as error:
            _log.error("retention: %s; tried again at the next session", error)
        self._forget_attempts()

    def _expire(self, expired: list[str], receipt: Callable[[Enrolled], bytes]) -> None:
        """Erase all at once; where one cannot be, the others one by one: none waits for another's damage."""
        try:
            self._parts.gallery.erase_all(expired, receipt)
        except GalleryError as error:
            _log.error("retention: %s; one by one", error)
            for person in expired:
                with contextlib.suppress(GalleryError):  # of its own it is said above, at each try
                    self._parts.gallery.erase(person, receipt)
        for person in expired:
            if self._parts.gallery.erased(person) is not None:
                _log.info("%s: retention has ended, erased", person)

    def _at_rest(self) -> None:
        """Raise BusyError while somebody is served: whom they are compared with stays."""
        if self._stand.busy:
            raise BusyError

    def _enrolled(self, person: str) -> Enrolled:
        enrolled = self._parts.gallery.person(person)
        if enrolled is None:
            raise GalleryError("unknown_person", f"Nobody is enrolled as {person}; see `tessera people list`.")
        return enrolled

    def _forget_attempts(self) -> None:
        """Drop the failed attempts in the name of people who are gone."""
        try:
            self._parts.attempts.keep(self._parts.gallery.mandates())
        except AttemptsError as error:
            _log.error("%s", error)
