"""The terminal: intents in, one session at a time, authorizations and declines out.

Rules kept here:
- One session or enrolment at a time; an intent that comes meanwhile is declined as `busy`.
- Every intent that was opened ends: authorized or declined, and after a crash declined as `interrupted`.
- An authorization is stored before it is sent, is sent until a verified receipt settles it, and is never signed
  while the link is down.
- Capture runs only while somebody is looked at.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine

from drivers.secure_element.interface import SecureElementError
from firmware.core.analysis import Finding
from firmware.core.enrolment import Enrolment, EnrolmentError
from firmware.core.inbox import CameraGone, Cancelled, Inbox, Settled, Tapped
from firmware.core.parts import Parts
from firmware.core.ports import CameraPort, LinkPort, Subscribers
from firmware.core.reasons import FALLBACK, SENTENCES
from firmware.core.session import Phase, Session
from firmware.core.signing import Signer
from firmware.core.watch import Watch
from firmware.gallery.consent import check_consent, parse_consent
from firmware.gallery.gallery import Enrolled, GalleryError
from firmware.payment.authorize import display_text
from firmware.payment.errors import OutboxError, PaymentError
from firmware.payment.intent import AcceptedIntent, accept_intent
from firmware.payment.mandate import verify_mandate
from firmware.runtime.messages import Delivered, Event, Publish, StatusReply
from firmware.runtime.ring import RingReader

# An envelope without a receipt goes again after this long, and whenever the link comes back.
RESEND_S = 2.0
# Behind an envelope that has waited this long nobody is looked at: their payment could not be delivered in time.
STUCK_S = 20.0

_log = logging.getLogger("tessera.core")


class BusyError(Exception):
    """Somebody stands before the terminal already."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("The terminal is busy; try again in a moment.")


class Terminal:
    """State of `core`. Everything here runs in one event loop."""

    def __init__(self, parts: Parts, ring: RingReader) -> None:
        self.parts = parts
        self.signer = Signer(parts)
        self.inbox = Inbox()
        self.camera = CameraPort(ring, self.inbox.put, lambda detail: self.inbox.put(CameraGone(detail)))
        self.link = LinkPort(self._on_envelope, self._wake_delivery)
        self.subscribers = Subscribers()
        self._started_ns = time.monotonic_ns()
        self._scene = 0
        self._active: asyncio.Task[None] | None = None
        self._doing = "idle"
        self._shown = ""
        self._head_since: tuple[bytes, float] = (b"", 0.0)
        self._deliver = asyncio.Event()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- life ---------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Decline what was left open by a dead process or a full disk, and erase whose retention has ended."""
        for intent in self.parts.outbox.interrupted():
            self._decline(intent.id, intent.digest, "interrupted")
        self._purge()

    async def deliver_forever(self) -> None:
        """Send the oldest unsettled envelope, again and again until its receipt has come; then the next."""
        while True:
            self._deliver.clear()
            head = self.parts.outbox.head()
            if head is None:
                self._head_since = (b"", 0.0)
            else:
                if head.intent != self._head_since[0]:
                    self._head_since = (head.intent, time.monotonic())
                await self.link.publish(Publish(kind=head.kind, envelope=head.envelope))
            try:
                await asyncio.wait_for(self._deliver.wait(), RESEND_S if head else None)
            except (asyncio.TimeoutError, TimeoutError):
                continue

    def status(self) -> StatusReply:
        """How the terminal is."""
        return StatusReply(
            terminal=self.parts.config.terminal,
            profile=self.parts.profile.name,
            session=self._doing,
            scene=self._scene,
            shown=self._shown,
            camera=self.camera.problem or (self.camera.info.serial if self.camera.info else "unknown"),
            link="connected" if self.link.connected else self.link.detail,
            people=len(self.parts.gallery),
            outbox_waiting=self.parts.outbox.waiting(),
            uptime_s=(time.monotonic_ns() - self._started_ns) / 1e9,
        )

    def touched(self, scene: int, happening: Tapped | Cancelled) -> bool:
        """Take a touch of the screen; False where the screen shows something else by now."""
        if self._active is None or scene != self._scene or (isinstance(happening, Tapped) and not self._shown):
            return False
        self.inbox.put(happening)
        return True

    # -- envelopes from the backend -----------------------------------------------------------------------------

    def _on_envelope(self, delivered: Delivered) -> None:
        try:
            if delivered.kind == "receipt":
                self._on_receipt(delivered.envelope)
            else:
                self._on_intent(delivered.envelope)
        except PaymentError as error:
            _log.warning("%s refused: %s", delivered.kind, error)
            self._say("notice", error.code, f"A {delivered.kind} was refused: {error.text}")

    def _on_receipt(self, envelope: bytes) -> None:
        settled = self.parts.outbox.settle(envelope, self.parts.trust, self.parts.config.terminal)
        self._wake_delivery()
        if settled.kind == "authorization":
            self.inbox.put(Settled(settled.intent, settled.outcome == "approved", settled.code))

    def _on_intent(self, envelope: bytes) -> None:
        now = self.parts.clock.now()
        accepted = accept_intent(
            envelope,
            self.parts.trust,
            terminal=self.parts.config.terminal,
            merchant=self.parts.config.merchant,
            now=now,
            profile=self.parts.profile,
        )
        if self._active is None:
            self.recover()
        try:
            self.parts.outbox.open_intent(accepted)
        except OutboxError as error:
            _log.error("%s", error)
            self._say("outcome", "store", f"Refused: {SENTENCES['store']} {FALLBACK}")
            return
        except PaymentError as error:
            if error.code == "intent_used":
                return  # delivered twice: the first delivery goes on
            raise
        try:
            self._begin(self._pay(accepted, now), "payment")
        except BusyError:
            self._decline(accepted.intent.id, accepted.digest, "busy")

    def _stuck(self) -> bool:
        """Whether an earlier envelope has waited for its receipt so long that another would only queue behind it."""
        head, since = self._head_since
        return bool(head) and time.monotonic() - since > STUCK_S

    def _wake_delivery(self) -> None:
        self._deliver.set()

    # -- one payment --------------------------------------------------------------------------------------------

    async def _pay(self, accepted: AcceptedIntent, now: int) -> None:
        intent = accepted.intent
        shown = display_text(intent.amount_minor, intent.currency, intent.merchant)
        session = Session.begin(self.parts.profile, time.monotonic_ns())
        enrolled = self.parts.gallery.find(intent.payer, "payment", now)
        if intent.amount_minor > self.parts.profile.max_amount_minor:
            session = session.refused("amount_limit")
        elif enrolled is None:
            session = session.refused("not_enrolled")
        elif self._stuck():
            session = session.refused("offline")
        else:
            self._shown = shown
            self._say("prompt", "tap", f"{shown}. Touch the screen to pay with your face. {FALLBACK}")
            session, finding = await self._look(session, enrolled)
            if session.phase is Phase.DECIDED and finding is not None:
                self._say("decision", "", "A life-size face in 3D, and the person who was claimed.", finding.values)
                session = self._authorize(session, accepted, enrolled, shown, finding)
        while session.phase is Phase.RECEIPT:
            happening = await self.inbox.take(session.due_ns())
            if happening is None:
                session = session.expired(time.monotonic_ns())
            elif isinstance(happening, Settled) and happening.intent == intent.id:
                session = session.settled(happening.approved, happening.code)
        if session.outcome == "refused":
            self._decline(intent.id, accepted.digest, session.reason)
        self._say("outcome", session.reason or "approved", _outcome_text(session), {})

    async def _look(self, session: Session, enrolled: Enrolled) -> tuple[Session, Finding | None]:
        """Tap, then frames, until decided or over; the last finding with it. Capture ends whatever happens."""
        watch = Watch(self.camera, self.parts, enrolled.template)
        finding: Finding | None = None
        last_prompt = ""
        try:
            while session.phase in (Phase.TAP, Phase.LOOK):
                happening = await self.inbox.take(session.due_ns())
                now_ns = time.monotonic_ns()
                if happening is None:
                    session = session.expired(now_ns)
                elif isinstance(happening, Cancelled):
                    session = session.refused("cancelled")
                elif isinstance(happening, CameraGone):
                    session = session.refused("camera_lost") if session.phase is Phase.LOOK else session
                elif isinstance(happening, Tapped):
                    if session.phase is not Phase.TAP:
                        continue  # tapped twice
                    problem = await watch.begin()
                    if problem:
                        session = session.refused(problem)
                    else:
                        session = session.tapped(time.monotonic_ns())
                        self._say("prompt", "look", "Please look at the terminal.")
                elif not isinstance(happening, Settled):
                    seen = watch.look(happening)
                    if seen is None:
                        continue
                    finding = seen
                    session = session.looked(finding.reason, time.monotonic_ns())
                    self._say(
                        "evidence", finding.reason or "good", finding.sentence or "All gates hold.", finding.values
                    )
                    if finding.sentence and finding.reason != last_prompt:
                        last_prompt = finding.reason
                        self._say("prompt", finding.reason, finding.sentence)
        finally:
            await watch.end()
        return session, finding

    def _authorize(
        self, session: Session, accepted: AcceptedIntent, enrolled: Enrolled, shown: str, finding: Finding
    ) -> Session:
        if not self.link.connected:
            return session.refused("offline")
        camera = self.camera.info
        if camera is None:
            return session.refused("camera_lost")
        try:
            self.signer.authorize(accepted, enrolled, camera.serial, shown, finding)
        except OutboxError as error:
            _log.error("%s", error)
            return session.refused("store")
        except SecureElementError as error:
            _log.error("%s", error)
            return session.refused("key")
        except PaymentError as error:
            _log.error("%s", error)
            return session.refused(error.code if error.code in SENTENCES else "store")
        self._say("authorization", "stored", "Authorization signed and stored; waiting for the receipt.")
        self._wake_delivery()
        return session.stored(time.monotonic_ns())

    def _decline(self, intent: bytes, digest: bytes, reason: str) -> None:
        try:
            self.signer.decline(intent, digest, reason)
            self._wake_delivery()
        except (PaymentError, SecureElementError) as error:
            # It stays open in the outbox and is declined as interrupted at the next start.
            _log.error("decline not stored: %s", error)
            self._say("notice", "store", f"The refusal could not be stored: {error}")

    # -- enrolment ----------------------------------------------------------------------------------------------

    async def enrol(self, consent_bytes: bytes, mandate_envelope: bytes) -> str:
        """Enrol whoever stands in front; returns the person's id.

        Raises:
            BusyError, ConsentError, EnrolmentError, PaymentError, GalleryError: with nothing enrolled.
        """
        now = self.parts.clock.now()
        consent = parse_consent(consent_bytes)
        check_consent(consent, "payment", now)
        mandate = verify_mandate(
            mandate_envelope,
            self.parts.trust,
            terminal=self.parts.config.terminal,
            purpose=consent.purpose,
            consent_hash=consent.sha256,
            now=now,
        )
        if self.parts.gallery.mandate_used(mandate.id):
            raise GalleryError("mandate", "This mandate was used before; ask for a new one.")
        result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def poses() -> None:
            try:
                enrolment = await self._pose()
                if enrolment.reason:
                    raise EnrolmentError(enrolment.reason)
                result.set_result(
                    self.parts.gallery.enrol(
                        consent, mandate.payer, mandate.id, enrolment.template, self.parts.clock.now()
                    )
                )
            except (EnrolmentError, GalleryError, PaymentError, SecureElementError) as error:
                result.set_exception(error)

        self._begin(poses(), "enrolment")
        return await result

    async def _pose(self) -> Enrolment:
        watch = Watch(self.camera, self.parts, None)
        problem = await watch.begin()
        if problem:
            raise EnrolmentError(problem)
        enrolment = Enrolment.begin(self.parts.calibration, time.monotonic_ns())
        asked = ""
        try:
            while (pose := enrolment.pose) is not None:
                if pose.prompt != asked:
                    asked = pose.prompt
                    self._say("prompt", pose.name, asked)
                happening = await self.inbox.take(enrolment.deadline_ns)
                if happening is None:
                    raise EnrolmentError("pose_timeout")
                if isinstance(happening, Cancelled):
                    raise EnrolmentError("cancelled")
                if isinstance(happening, CameraGone):
                    raise EnrolmentError("camera_lost")
                if not isinstance(happening, (Settled, Tapped)):
                    finding = watch.look(happening)
                    if finding is not None:
                        enrolment = enrolment.looked(finding, time.monotonic_ns())
                        self._say("evidence", finding.reason or "good", finding.sentence, finding.values)
        finally:
            await watch.end()
        return enrolment

    def erase(self, person: str) -> bytes:
        """Erase a person; returns the signed receipt. Raises BusyError, GalleryError, PaymentError."""
        if self._active is not None:
            raise BusyError
        return self.parts.gallery.erase(person, self.signer.erasure)

    def _purge(self) -> None:
        # Erasure cannot be undone, so it goes by time the backend has signed: a clock that jumps ahead erases nobody.
        # Nobody is matched after their retention by the terminal's own clock, erased or not.
        try:
            for person in self.parts.gallery.expired(self.parts.outbox.time_floor):
                self.parts.gallery.erase(person, self.signer.erasure)
                _log.info("%s: retention has ended, erased", person)
        except (PaymentError, SecureElementError, GalleryError) as error:
            _log.error("retention: %s; tried again at the next session", error)

    # -- one thing at a time ------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[None, None, None], doing: str) -> None:
        if self._active is not None:
            work.close()
            raise BusyError
        self._scene += 1
        self._doing = doing
        self.inbox.clear()
        self._active = asyncio.create_task(work)
        self._active.add_done_callback(self._end)

    def _end(self, work: "asyncio.Task[None]") -> None:
        self._active, self._doing, self._shown = None, "idle", ""
        # A defect ends the process: the supervisor starts it again, and what was in hand is declined.
        if not work.cancelled() and (defect := work.exception()) is not None and not self.failed.done():
            self.failed.set_exception(defect)

    def _say(self, stage: str, reason: str, text: str, values: dict[str, float] | None = None) -> None:
        shown = values if values and self.parts.profile.allow_hil else {}
        self.subscribers.tell(Event(scene=self._scene, stage=stage, reason=reason, text=text, values=shown))  # type: ignore[arg-type]
        if stage != "evidence":
            _log.info("%s %s: %s", stage, reason, text)


def _outcome_text(session: Session) -> str:
    if session.outcome == "approved":
        return "Approved."
    if session.outcome == "unknown":
        return "Unknown: no receipt has come. Do not retry; the register will know."
    if session.outcome == "declined":
        return f"Declined by the backend ({session.reason}). {FALLBACK}"
    return f"Refused: {SENTENCES[session.reason]} {FALLBACK}"
