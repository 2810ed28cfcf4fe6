"""Payments: intents in, one look at a time, authorizations and declines out.

Rules kept here:
- An intent that comes while somebody is served is declined as `busy`.
- Every intent that was opened ends: authorized or declined, and after a crash declined as `interrupted`.
- An authorization is stored before it is sent, is sent until a verified receipt settles it, and is never signed
  while the link is down.
- A terminal out of service opens no intent, and so signs for none.
- Capture runs only while somebody is looked at.
- Whoever is claimed has agreed to be, and still does: their consent is looked at before every match.
- A yes is in the audit log before it is signed, and what cannot be recorded is a no.
- Who has failed too often in a row is not looked at (`attempts`); a failure is counted before anything of it is told.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from drivers.camera import FAULTS
from drivers.secure_element.interface import SecureElementError
from firmware.audit.errors import AuditError
from firmware.core.analysis import Finding
from firmware.core.asking import Asking
from firmware.core.attempts import Attempt, AttemptsError
from firmware.core.consents import check_match
from firmware.core.inbox import CameraGone, Cancelled, OutOfService, Settled, Tapped
from firmware.core.journal import decision, note_streak
from firmware.core.parts import Parts
from firmware.core.ports import LinkPort
from firmware.core.reasons import FALLBACK, SENTENCES, sentence
from firmware.core.session import Phase, Session
from firmware.core.signing import Signer
from firmware.core.stand import BusyError, Stand
from firmware.core.watch import MakeWatch, Watch, Watching
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import Enrolled, GalleryError
from firmware.payment.authorize import display_text
from firmware.payment.errors import OutboxError, PaymentError
from firmware.payment.intent import AcceptedIntent, accept_intent
from firmware.payment.messages import Assurance
from firmware.runtime.messages import CameraFault, Publish

# An envelope without a receipt goes again after this long, and whenever the link comes back.
RESEND_S = 2.0
# Behind an envelope that has waited this long nobody is looked at: their payment could not be delivered in time.
STUCK_S = 20.0

_log = logging.getLogger("tessera.core")


class Payments:
    """What the terminal owes the backend, and the payment in hand."""

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
        self._watch = watch
        self._link = link
        self._head_since: tuple[bytes, float] = (b"", 0.0)
        self._deliver = asyncio.Event()

    def decline_interrupted(self) -> None:
        """Decline what a dead process or a full disk left open."""
        for intent in self._parts.outbox.interrupted(self._parts.now_or_floor()):
            self._decline(intent.id, intent.digest, "interrupted")

    async def deliver_forever(self) -> None:
        """Send the oldest unsettled envelope, again and again until its receipt has come; then the next."""
        while True:
            self._deliver.clear()
            head = self._parts.outbox.head()
            if head is None:
                self._head_since = (b"", 0.0)
            else:
                if head.intent != self._head_since[0]:
                    self._head_since = (head.intent, time.monotonic())
                await self._link.publish(Publish(kind=head.kind, envelope=head.envelope))
            try:
                await asyncio.wait_for(self._deliver.wait(), RESEND_S if head else None)
            except (asyncio.TimeoutError, TimeoutError):
                continue

    def on_receipt(self, envelope: bytes) -> None:
        """Take a receipt from the wire. Raises PaymentError: it settles nothing."""
        settled = self._parts.outbox.settle(envelope, self._parts.trust, self._parts.config.terminal)
        self.wake_delivery()
        if settled.kind == "authorization":
            self._stand.inbox.put(Settled(settled.intent, settled.outcome == "approved", settled.code))

    def on_intent(self, envelope: bytes) -> None:
        """Take an intent from the wire and serve it. Raises PaymentError: it is not believed."""
        now = self._parts.clock.now()
        accepted = accept_intent(
            envelope,
            self._parts.trust,
            terminal=self._parts.config.terminal,
            merchant=self._parts.config.merchant,
            now=now,
            profile=self._parts.profile,
        )
        if self._stand.closed:
            self._stand.say("outcome", "out_of_service", f"Refused: {SENTENCES['out_of_service']} {FALLBACK}")
            return
        if not self._stand.busy:
            self.decline_interrupted()
            self._before_each()
        try:
            self._parts.outbox.open_intent(accepted)
        except OutboxError as error:
            _log.error("%s", error)
            self._stand.say("outcome", "store", f"Refused: {SENTENCES['store']} {FALLBACK}")
            return
        except PaymentError as error:
            if error.code == "intent_used":
                return  # delivered twice: the first delivery goes on
            raise
        try:
            self._stand.begin(self._pay(accepted, now), "payment")
        except BusyError:
            self._decline(accepted.intent.id, accepted.digest, "busy")

    def _stuck(self) -> bool:
        """Whether an earlier envelope has waited for its receipt so long that another would only queue behind it."""
        head, since = self._head_since
        return bool(head) and time.monotonic() - since > STUCK_S

    def wake_delivery(self) -> None:
        """Send what waits now: the link is back, or something new lies there."""
        self._deliver.set()

    async def _pay(self, accepted: AcceptedIntent, now: int) -> None:
        intent = accepted.intent
        shown = display_text(intent.amount_minor, intent.currency, intent.merchant)
        session, finding = Session.begin(self._parts.profile, time.monotonic_ns()), None
        enrolled, refusal = self._claimed(intent.payer, now)
        if intent.amount_minor > self._parts.profile.max_amount_minor:
            session = session.refused("amount_limit")
        elif enrolled is None:
            session = session.refused(refusal)
        elif self._stuck():
            session = session.refused("offline")
        elif held_back := self._held_back(enrolled):
            session = session.refused(held_back)
        else:
            self._stand.shown = shown
            self._stand.say("prompt", "tap", f"{shown}. Touch the screen to pay with your face. {FALLBACK}")
            session, finding = await self._attempt(session, enrolled, accepted.assurance)
            if session.phase is Phase.DECIDED and finding is not None:
                self._stand.say("decision", "", "All gates hold, and it is the person who was claimed.", finding.values)
                if await self._stand.past_cancelling():
                    session = self._authorize(session, accepted, enrolled, shown, finding)
                else:
                    session = session.refused("cancelled")
        while session.phase is Phase.RECEIPT:
            happening = await self._stand.inbox.take(session.due_ns())
            if happening is None:
                session = session.expired(time.monotonic_ns())
            elif isinstance(happening, Settled) and happening.intent == intent.id:
                session = session.settled(happening.approved, happening.code)
        if session.outcome == "refused":
            self._decline(intent.id, accepted.digest, session.reason, finding)
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

    def _held_back(self, enrolled: Enrolled) -> str:
        """Why this person may not be looked at now: too many failed attempts; empty where they may."""
        try:
            return self._parts.attempts.admit(enrolled.mandate)
        except AttemptsError as error:
            _log.error("%s", error)
            return "store"

    async def _attempt(
        self, session: Session, enrolled: Enrolled, assurance: Assurance
    ) -> tuple[Session, Finding | None]:
        """Look, as an attempt of the claimed person. One that cannot be counted is refused."""
        attempt = Attempt(self._parts.attempts, enrolled.mandate)
        finding = None
        try:
            try:
                watch = self._watch(self._stand.camera, self._parts, enrolled.templates, assurance, enrolled.disputes)
                session, finding = await self._look(session, watch, attempt)
            finally:
                attempt.ended(confirmed=session.phase is Phase.DECIDED)
            note_streak(self._parts.journal, attempt, session.reason)
        except AttemptsError as error:
            _log.error("%s", error)
            session = session.refused("store")
        return session, finding

    async def _look(self, session: Session, watch: Watching, attempt: Attempt) -> tuple[Session, Finding | None]:
        """Tap, then frames, until decided or over; the last finding with it. Capture ends whatever happens."""
        asking, finding = Asking(self._stand, watch.dynamic), None
        try:
            while session.phase in (Phase.TAP, Phase.LOOK):
                happening = await self._stand.inbox.take(session.due_ns())
                now_ns = time.monotonic_ns()
                if happening is None:
                    session = session.expired(now_ns)
                elif isinstance(happening, Cancelled):
                    session = session.refused("cancelled")
                elif isinstance(happening, OutOfService):
                    session = session.refused("out_of_service")
                elif isinstance(happening, CameraGone):
                    session = session.refused("camera_lost") if session.phase is Phase.LOOK else session
                elif isinstance(happening, Tapped):
                    if session.phase is not Phase.TAP:
                        continue  # tapped twice
                    problem = await watch.begin()
                    if problem:
                        session = session.refused(problem)
                    else:
                        session = session.tapped(time.monotonic_ns(), watch.look_s)
                        self._stand.say("prompt", "look", "Please look at the terminal.")
                elif not isinstance(happening, Settled):
                    seen = await watch.look(happening)
                    if seen is None:
                        continue
                    finding = seen
                    attempt.saw(finding.reason)
                    session = session.looked(finding.reason, time.monotonic_ns())
                    self._stand.show(finding)
                    if session.phase is Phase.LOOK:
                        asking.after(finding.reason)
                        asking.mend(finding.reason)
        finally:
            await watch.end()
        return session, finding

    def _authorize(
        self, session: Session, accepted: AcceptedIntent, enrolled: Enrolled, shown: str, finding: Finding
    ) -> Session:
        if not self._link.connected:
            return session.refused("offline")
        camera = self._stand.camera.info
        if camera is None:
            return session.refused("camera_lost")
        try:
            self._signer.authorize(accepted, enrolled, camera.serial, shown, finding)
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
        self._stand.say("authorization", "stored", "Authorization signed and stored; waiting for the receipt.")
        self.wake_delivery()
        return session.stored(time.monotonic_ns())

    def _seen(self, enrolled: Enrolled) -> None:
        """Note that they were here, by time the backend has signed: what they are kept for goes on."""
        try:
            self._parts.gallery.seen(enrolled.person, self._parts.outbox.time_floor)
        except GalleryError as error:
            _log.error("%s", error)

    def _decline(self, intent: bytes, digest: bytes, reason: str, finding: Finding | None = None) -> None:
        self._parts.journal.note(decision("payment", reason, intent))
        try:
            self._signer.decline(intent, digest, reason, finding)
            self.wake_delivery()
        except (PaymentError, SecureElementError) as error:
            # It stays open in the outbox and is declined as interrupted before the next.
            _log.error("decline not stored: %s", error)
            self._stand.say("notice", "store", f"The refusal could not be stored: {error}")


def _outcome_text(session: Session, camera: CameraFault | None) -> str:
    if session.outcome == "approved":
        return "Approved."
    if session.outcome == "unknown":
        return "Unknown: no receipt has come. Do not retry; the register will know."
    if session.outcome == "declined":
        return f"Declined by the backend ({session.reason}). {FALLBACK}"
    why = FAULTS[camera.cause][0] if session.reason == "camera_lost" and camera is not None else ""
    return " ".join(filter(None, ("Refused:", sentence(session.reason), why, FALLBACK)))
