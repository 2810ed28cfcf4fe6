"""Payments: intents in, one look at a time, authorizations and declines out.

Rules kept here:
- An intent that comes while somebody is served is declined as `busy`; the one that takes the place of an intent
  which was taken back is served after it. One that comes while there is no time is declined as `clock`.
- An intent that is taken back ends before its authorization is stored, or not at all; one that still waits, or has
  not come yet, is never shown.
- An authorization is stored before it is sent. While the link is down it is signed only under an allowance of the
  backend's, and the customer is told so: it is no approval.
- A terminal out of service opens no intent, and so signs for none.
- Whoever is claimed has agreed to be, and still does: their consent is looked at before every match.
- A yes is in the audit log before it is signed, and what cannot be recorded is a no.
"""

import logging
import time
from collections.abc import Callable

from drivers.camera import FAULTS
from drivers.secure_element.interface import SecureElementError
from firmware.audit.errors import AuditError
from firmware.core.analysis import Finding
from firmware.core.consents import check_match
from firmware.core.delivery import Delivery
from firmware.core.inbox import Cancelled, Settled
from firmware.core.keypad import Keypad
from firmware.core.link_port import LinkPort
from firmware.core.looking import Looking
from firmware.core.parts import Parts
from firmware.core.reasons import FALLBACK, SENTENCES, sentence
from firmware.core.recalls import Recalls
from firmware.core.session import Phase, Session
from firmware.core.signing import Signer
from firmware.core.stand import BusyError, Stand
from firmware.core.watch import MakeWatch, Watch
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import Enrolled, GalleryError
from firmware.payment.authorize import display_text
from firmware.payment.errors import OutboxError, PaymentError
from firmware.payment.intent import AcceptedIntent, check_time, read_cancellation, read_intent
from firmware.runtime.messages import CameraFault

_log = logging.getLogger("tessera.core")


class Payments:
    """The payment in hand. `delivery` sends what comes of it."""

    def __init__(
        self,
        parts: Parts,
        signer: Signer,
        stand: Stand,
        link: LinkPort,
        before_each: Callable[[], None],
        watch: MakeWatch = Watch,
    ) -> None:
        """`before_each` is called before somebody is served; `watch` makes what looks at them."""
        self._parts, self._signer, self._stand, self._before_each = parts, signer, stand, before_each
        self._link = link
        self._in_hand: tuple[bytes, bytes] | None = None  # id and digest of the intent that is served
        self._taken_back = False
        self._next: tuple[AcceptedIntent, int] | None = None
        self._recalls = Recalls()
        self._looking, self._keypad = Looking(parts, stand, watch), Keypad(parts, stand)
        self.delivery = Delivery(parts, signer, stand, link)

    def on_receipt(self, envelope: bytes) -> None:
        """Take a receipt from the wire; who is served hears of theirs. Raises PaymentError: it settles nothing."""
        settled = self._parts.outbox.settle(envelope, self._parts.trust, self._parts.config.terminal)
        self.delivery.wake()
        in_hand = self._in_hand is not None and self._in_hand[0] == settled.intent
        if in_hand and settled.kind == "authorization":
            self._stand.inbox.put(Settled(settled.intent, settled.outcome == "approved", settled.code))

    def on_intent(self, envelope: bytes) -> None:
        """Take an intent from the wire and serve it. Raises PaymentError: it is not believed."""
        accepted = read_intent(
            envelope,
            self._parts.trust,
            terminal=self._parts.config.terminal,
            merchant=self._parts.config.merchant,
            profile=self._parts.profile,
        )
        now = self._time_for(accepted)
        if self._stand.closed:
            self._refuse_at_once("out_of_service")
            return
        if not self._stand.busy:
            self.delivery.decline_interrupted()
            self._before_each()
        try:
            self._parts.outbox.open_intent(accepted, now)
        except OutboxError as error:
            _log.error("%s", error)
            self._refuse_at_once("store")
            return
        except PaymentError as error:
            if error.code == "intent_used":
                return  # delivered twice: the first delivery goes on
            raise
        if self._recalls.has(accepted):
            self.delivery.decline(accepted.intent.id, accepted.digest, "cancelled_by_register")
        elif now is None:
            self._refuse_at_once("clock")
            self.delivery.decline(accepted.intent.id, accepted.digest, "clock")
        elif self._taken_back and self._next is None:
            self._next = accepted, now
        else:
            self._serve(accepted, now)

    def on_cancellation(self, envelope: bytes) -> None:
        """Take word that the register takes an intent back, one in hand, one that waits, or one that is still to come.

        Raises PaymentError: it is not believed.
        """
        recalled = read_cancellation(envelope, self._parts.trust, self._parts.config.terminal)
        which = recalled.intent, recalled.intent_hash
        if self._in_hand == which:
            if self._stand.cancellable:
                self._taken_back = True
                self._stand.inbox.put(Cancelled("cancelled_by_register"))
        elif self._next is not None and (self._next[0].intent.id, self._next[0].digest) == which:
            self._next = None
            self.delivery.decline(*which, "cancelled_by_register")
        else:
            self._recalls.keep(recalled, self._parts.now_or_floor())

    def _time_for(self, accepted: AcceptedIntent) -> int | None:
        """The time, which the intent is for; None where there is none. Raises PaymentError: it is for another time."""
        try:
            now = self._parts.clock.now()
        except PaymentError as error:
            _log.error("%s", error)
            if accepted.intent.expires_at <= self._parts.outbox.time_floor:
                raise PaymentError("expired", "the intent had expired when the backend last spoke") from error
            return None
        check_time(accepted.intent, now)
        return now

    def _refuse_at_once(self, reason: str) -> None:
        self._stand.say("outcome", reason, f"Refused: {SENTENCES[reason]} {FALLBACK}")

    def _serve(self, accepted: AcceptedIntent, now: int) -> None:
        """Begin, or decline where somebody else is served."""
        try:
            self._stand.begin(self._pay(accepted, now), "payment", self._served)
        except BusyError:
            self.delivery.decline(accepted.intent.id, accepted.digest, "busy")
        else:
            self._in_hand = accepted.intent.id, accepted.digest

    def _served(self) -> None:
        """Go on with what took the place of an intent that was taken back, if anything did."""
        self._in_hand, self._taken_back = None, False
        if self._next is not None and not self._stand.closed:
            (accepted, now), self._next = self._next, None
            self._serve(accepted, now)

    async def _pay(self, accepted: AcceptedIntent, now: int) -> None:
        intent = accepted.intent
        shown = display_text(intent.amount_minor, intent.currency, intent.merchant)
        pin, finding = self._keypad.wanted(accepted.assurance), None
        session = Session.begin(self._parts.profile, time.monotonic_ns(), pin=pin)
        enrolled, refusal = self._claimed(intent.payer, now)
        if intent.amount_minor > self._parts.profile.max_amount_minor:
            session = session.refused("amount_limit")
        elif enrolled is None:
            session = session.refused(refusal)
        elif self.delivery.stuck:
            session = session.refused("offline")
        elif held_back := self._looking.held_back(enrolled) or self._keypad.held_back(session, enrolled.person):
            session = session.refused(held_back)
        else:
            self._stand.shown = shown
            self._stand.say("prompt", "tap", f"{shown}. Touch the screen to pay with your face. {FALLBACK}")
            session, finding = await self._looking.attempt(session, enrolled, accepted.assurance)
            session, finding = await self._keypad.asked(session, finding, enrolled.person)
            if session.phase is Phase.DECIDED and finding is not None:
                self._stand.say("decision", "", "All gates hold, and it is the person who was claimed.", finding.values)
                if cancelled := await self._stand.cancelled():
                    session = session.refused(cancelled)
                else:
                    session = self._authorize(session, accepted, enrolled, shown, finding)
        while session.phase is Phase.RECEIPT:
            happening = await self._stand.inbox.take(session.due_ns())
            if happening is None:
                session = session.expired(time.monotonic_ns())
            elif isinstance(happening, Settled) and happening.intent == intent.id:
                session = session.settled(happening.approved, happening.code)
        if session.outcome == "refused":
            self.delivery.decline(intent.id, accepted.digest, session.reason, finding)
        self._stand.say("outcome", session.reason or "approved", _outcome_text(session, self._stand.camera.ended_by))
        self._parts.journal.rest()

    def _claimed(self, payer: str, now: int) -> tuple[Enrolled | None, str]:
        """Whom the intent names, where they are enrolled for payments and agree to them; or why not."""
        try:
            enrolled = self._parts.gallery.find(payer, "payment", now)
            if enrolled is None:
                return None, "not_enrolled"
            check_match(self._parts, enrolled, "payment", now)
        except ConsentError as error:
            _log.info("%s: %s", error.code, error)
            return None, error.code
        except GalleryError as error:
            _log.error("%s", error)
            return None, "store"
        return enrolled, ""

    def _authorize(
        self, session: Session, accepted: AcceptedIntent, enrolled: Enrolled, shown: str, finding: Finding
    ) -> Session:
        try:
            allowance = None if self._link.connected else self._parts.allowance()
        except PaymentError as error:
            return session.refused(error.code)
        if allowance is None and not self._link.connected:
            return session.refused("offline")
        camera = self._stand.camera.info
        if camera is None:
            return session.refused("camera_lost")
        try:
            self._signer.authorize(accepted, enrolled, camera.serial, shown, finding, allowance)
        except AuditError as error:
            _log.error("%s", error)
            return session.refused("audit")
        except OutboxError as error:
            _log.error("%s", error)
            return session.refused("store")
        except SecureElementError as error:
            _log.error("%s", error)
            return session.refused("key")
        except PaymentError as error:
            _log.error("%s", error)
            return session.refused(error.code if error.code in SENTENCES else "store")
        self._seen(enrolled)
        waits_for = "the receipt" if allowance is None else "the link"
        self._stand.say("authorization", "stored", f"Authorization signed and stored; waiting for {waits_for}.")
        self.delivery.wake()
        return session.stored(time.monotonic_ns()) if allowance is None else session.taken_offline()

    def _seen(self, enrolled: Enrolled) -> None:
        """Note that they were here, by time the backend has signed: what they are kept for goes on."""
        try:
            self._parts.gallery.seen(enrolled.person, self._parts.outbox.time_floor)
        except GalleryError as error:
            _log.error("%s", error)


def _outcome_text(session: Session, camera: CameraFault | None) -> str:
    if session.outcome == "approved":
        return "Approved."
    if session.outcome == "unknown":
        return "Unknown: no receipt has come. Do not retry; the register will know."
    if session.outcome == "taken_offline":
        return "Taken offline: confirmed once the terminal is connected again. Do not pay a second time."
    if session.outcome == "declined":
        return f"Declined by the backend ({session.reason}). {FALLBACK}"
    why = FAULTS[camera.cause][0] if session.reason == "camera_lost" and camera is not None else ""
    return " ".join(filter(None, ("Refused:", sentence(session.reason), why, FALLBACK)))
