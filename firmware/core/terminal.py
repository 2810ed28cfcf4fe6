"""The terminal: what stands before it, what it owes the backend, who is enrolled."""

import asyncio
import logging
import time
from collections.abc import Callable

from drivers.secure_element.interface import Capability, SecureElementError, SecureElementGoneError
from firmware.core.attempts import NOBODY
from firmware.core.liaison import Liaison
from firmware.core.link_port import LinkPort
from firmware.core.parts import Parts
from firmware.core.payments import Payments
from firmware.core.rights import Rights
from firmware.core.signing import Signer
from firmware.core.stand import OUT_OF_SERVICE, Stand
from firmware.core.watch import MakeWatch, Watch
from firmware.payment.errors import PaymentError
from firmware.runtime.lights import owned_lights
from firmware.runtime.messages import Delivered, Inbound, LastWill, StatusReply, TimeFloor
from firmware.runtime.ring import RingReader

# How soon a secure element that was pulled out is noticed where nobody pays. Asking takes it some milliseconds.
ELEMENT_EVERY_S = 2.0

_log = logging.getLogger("tessera.core")


class Terminal:
    """State of `core`. Everything here runs in one event loop."""

    def __init__(self, parts: Parts, ring: RingReader, watch: MakeWatch = Watch) -> None:
        """`watch` makes what looks at whoever pays."""
        self.parts = parts
        lights = owned_lights(parts.config.emitter, "core")
        self.stand = Stand(ring, lights, tell_values=parts.profile.tell_values)
        signer = Signer(parts)
        self.rights = Rights(parts, signer, self.stand)
        self.link = LinkPort(self._delivered, self._connected, self._certificate_wanted, self._greeting)
        self.liaison = Liaison(parts, self.link, self._camera_serial)
        self.payments = Payments(parts, signer, self.stand, self.link, before_each=self.rights.purge, watch=watch)
        self._takers: dict[Inbound, Callable[[bytes], None]] = {
            "intent": self.payments.on_intent,
            "cancellation": self.payments.on_cancellation,
            "receipt": self.payments.on_receipt,
            "beacon": self._on_beacon,
            "key-set": self.liaison.on_key_set,
            "certificate": self.liaison.on_certificate,
        }
        self._started_ns = time.monotonic_ns()

    def recover(self) -> None:
        """At start: say so in the audit log, decline what was left open, and erase whose retention has ended.

        Raises:
            AuditError, SecureElementError: what happens here could not be recorded; nobody may be served.
        """
        parts = self.parts
        parts.audit.started(
            firmware=parts.firmware_version, configuration=parts.configuration_digest, models=parts.models_digest
        )
        self.payments.delivery.decline_interrupted()
        self.rights.purge()
        parts.journal.rest()

    async def watch_element(self, every_s: float = ELEMENT_EVERY_S) -> None:
        """Ask the secure element for a sign of life, for ever; one that is gone takes the terminal out of service."""
        while True:
            if not self.stand.closed:
                self._look_for_element()
            await asyncio.sleep(every_s)

    def _look_for_element(self) -> None:
        try:
            self.parts.element.random(1)
        except SecureElementGoneError as error:
            self.stand.close(str(error))
        except SecureElementError as error:
            _log.warning("secure element: %s; asked again", error)

    def _delivered(self, delivered: Delivered) -> None:
        """Hand on what came from the backend, to whom it is for."""
        try:
            self._takers[delivered.kind](delivered.envelope)
        except PaymentError as error:
            _log.warning("%s refused: %s", delivered.kind, error)
            self.stand.say("notice", error.code, f"A {delivered.kind} was refused: {error.text}")

    def _on_beacon(self, envelope: bytes) -> None:
        """Take the time; from the first word of the backend on, what was left open can be declined."""
        self.liaison.on_beacon(envelope)
        if not self.stand.busy:
            self.payments.delivery.decline_interrupted()

    def _greeting(self) -> list[LastWill | TimeFloor]:
        return self.liaison.greet()

    def _certificate_wanted(self, request: bytes) -> None:
        self.liaison.want_certificate(request)

    def _camera_serial(self) -> str:
        return self.stand.camera.info.serial if self.stand.camera.info is not None else ""

    def _connected(self) -> None:
        self.liaison.connected()
        self.payments.delivery.wake()

    def status(self) -> StatusReply:
        """How the terminal is."""
        camera, link = self.stand.camera, self.link
        return StatusReply(
            terminal=self.parts.config.terminal,
            profile=self.parts.profile.name,
            session=OUT_OF_SERVICE + self.stand.closed if self.stand.closed else self.stand.doing,
            scene=self.stand.scene,
            shown=self.stand.shown,
            typing=self.stand.typing,
            camera=camera.problem or (camera.info.serial if camera.info else "unknown"),
            advice=camera.advice,
            tries=self.parts.attempts.standing(NOBODY).told,
            link="connected" if link.connected else link.detail,
            clock=self._clock(),
            offline=self._offline(),
            people=len(self.parts.gallery),
            outbox_waiting=self.parts.outbox.waiting(),
            put_back=self.parts.outbox.put_back,
            uptime_s=(time.monotonic_ns() - self._started_ns) / 1e9,
        )

    def _clock(self) -> str:
        """Why there is no time; empty where there is."""
        try:
            self.parts.clock.now()
        except PaymentError as error:
            return error.text
        return ""

    def _offline(self) -> str:
        """Why nothing may be paid while the link is down; empty where it may."""
        parts = self.parts
        if Capability.MONOTONIC_COUNTER not in parts.element.capabilities:
            return "The secure element counts nothing in hardware."
        if parts.outbox.put_back:
            return "The outbox was put back from a copy; what was taken since is not known here."
        if not parts.clock.known:
            return "There is no time."
        allowance = parts.beacons.allowance(parts.now_or_floor())
        if allowance is None:
            return "The backend allows nothing."
        if parts.outbox.withholds(allowance):
            return "What was taken of this allowance is not known here; the outbox waits for the next."
        return ""
