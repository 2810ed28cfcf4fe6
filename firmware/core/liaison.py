"""What passes between terminal and backend beside payments: the time, the keys, how it is, certificates.

Rules kept here:
- The time is asked for at every connection and every hour, and a beacon is on the disk before the clock goes by it.
- `link` connects with a last will signed ahead, so that a terminal that is lost is known to be.
- How the terminal is goes out at its birth on the broker, when it has changed, at most every half minute, and every ten
  minutes. Not before there is time: what it said of itself before a restart would look newer.
- A TLS key of `link` gets a certificate only by the device identity's word, and `link` only the certificate it asked
  for, by the backend's. Over the broker it is asked for once there is time, so that no old word is kept back for later,
  and at most every half minute.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable

import msgspec

from drivers.secure_element.interface import SecureElementError
from firmware.core.errors import TerminalError
from firmware.core.link_port import LinkPort
from firmware.core.parts import Parts
from firmware.payment import schema
from firmware.payment.authorize import sign
from firmware.payment.clock import MAX_SKEW_S, boottime
from firmware.payment.errors import PaymentError
from firmware.payment.messages import NO_ID, BeaconRequest, CertificateGrant, CertificateRequest, Presence, Status
from firmware.runtime.messages import Certificate, LastWill, Outbound, Publish, TimeFloor

AGAIN_S, STATUS_EVERY_S, STATUS_AGAIN_S = 1.0, 30.0, 600.0
REQUEST_EVERY_S = 30.0
# what a status says of a camera that is not open
NO_CAMERA = "none"

_log = logging.getLogger("tessera.core")


class Liaison:
    """State of what is asked, told and granted. `camera` is its serial, empty while none is open."""

    def __init__(
        self, parts: Parts, link: LinkPort, camera: Callable[[], str], elapsed: Callable[[], float] = boottime
    ) -> None:
        self._parts, self._link, self._camera, self._elapsed = parts, link, camera, elapsed
        self._wake = asyncio.Event()
        self._connection, self._sequence = NO_ID, 0
        self._told: Status | None = None
        self._told_at = 0.0
        self._wanted, self._asked, self._must_ask = b"", b"", False
        self._asked_at = -math.inf
        self._for_link: list[TimeFloor | Certificate] = []

    def greet(self) -> list[LastWill | TimeFloor]:
        """What a `link` process that has just connected is told, in this order.

        Raises:
            PaymentError, SecureElementError: no last will can be signed.
        """
        self._connection, self._sequence = self._parts.element.random(16), 0
        self._wanted, self._asked, self._must_ask = b"", b"", False
        return [self._floor(), LastWill(envelope=sign(self._status("offline"), self._parts.element))]

    def connected(self) -> None:
        """The broker is there: ask what time it is, say how we are."""
        self._parts.beacons.hurry()
        self._told = None
        self._wake.set()

    def want_certificate(self, request: bytes) -> None:
        """`link` has a new TLS key, and this PKCS#10 request for it; it says so again at every connection."""
        self._wanted, self._must_ask = request, True
        self._wake.set()

    def on_key_set(self, envelope: bytes) -> None:
        """Take a set of backend keys. Raises PaymentError: the one in hand stays."""
        if self._parts.trust.take(envelope):
            _log.info("the backend's keys are now version %d", self._parts.trust.version)
            self._wake.set()

    def on_beacon(self, envelope: bytes) -> None:
        """Take the time. Raises PaymentError: it is not believed, or could not be kept."""
        parts = self._parts
        beacon = parts.beacons.check(envelope, parts.outbox.time_floor)
        parts.outbox.heard(beacon)
        parts.beacons.take(beacon, parts.clock)
        self._tell(self._floor())

    def certificate_request(self) -> bytes:
        """The request for a certificate that is out, signed: to be carried by hand where the broker is out of reach.

        Raises:
            TerminalError: `link` wants none.
            PaymentError, SecureElementError: it could not be signed.
        """
        if not self._wanted:
            raise TerminalError("no certificate is due: the link has one, or does not run")
        return self._asked or self._sign_request()

    def on_certificate(self, envelope: bytes) -> None:
        """Hand `link` the certificate it asked for. Raises PaymentError: it is another's, or not the backend's."""
        _, grant = schema.verify(envelope, CertificateGrant, self._parts.trust.resolve)
        if grant.terminal != self._parts.config.terminal:
            raise PaymentError("terminal_mismatch", f"the certificate is for {grant.terminal}")
        if not self._asked or grant.request != hashlib.sha256(self._asked).digest():
            raise PaymentError("trust", "the certificate answers no request of this terminal")
        self._wanted, self._asked, self._must_ask = b"", b"", False
        self._tell(Certificate(certificate=grant.certificate))

    async def keep_forever(self) -> None:
        """Send what is due, again and again."""
        while True:
            self._wake.clear()
            for_link, self._for_link = self._for_link, []
            for news in for_link:
                await self._link.tell(news)
            if self._link.connected:
                for message in self.due():
                    await self._link.publish(message)
            try:
                await asyncio.wait_for(self._wake.wait(), self.rest_s)
            except (asyncio.TimeoutError, TimeoutError):
                continue

    @property
    def rest_s(self) -> float | None:
        """How long nothing is due, seconds; what could not be signed is not tried at once. None without a broker."""
        return max(AGAIN_S, min(self._parts.beacons.due_s, STATUS_EVERY_S)) if self._link.connected else None

    def _tell(self, news: TimeFloor | Certificate) -> None:
        self._for_link.append(news)
        self._wake.set()

    def due(self) -> list[Publish]:
        """What is to be sent now, signed."""
        makers: dict[Outbound, Callable[[], bytes]] = {
            "beacon-request": self._question,
            "status": self._news,
            "certificate-request": self._request,
        }
        made = {kind: self._made(kind, make) for kind, make in makers.items()}
        return [Publish(kind=kind, envelope=envelope) for kind, envelope in made.items() if envelope]

    @staticmethod
    def _made(kind: str, make: Callable[[], bytes]) -> bytes:
        try:
            return make()
        except (PaymentError, SecureElementError) as error:
            _log.error("no %s: %s", kind, error)
            return b""

    def _question(self) -> bytes:
        parts, outbox = self._parts, self._parts.outbox
        if parts.beacons.due_s > 0:
            return b""
        nonce = parts.element.random(32)
        parts.beacons.ask(nonce)
        request = BeaconRequest(
            terminal=parts.config.terminal, nonce=nonce, counter=outbox.counter, waiting=outbox.waiting()
        )
        return sign(request, parts.element)

    def _news(self) -> bytes:
        """How the terminal is, where that is not what was told last, or was told long ago."""
        if not self._parts.clock.known:
            return b""
        status, told = self._status("online"), self._told
        if told is not None:
            same = msgspec.structs.replace(status, sequence=told.sequence, issued_at=told.issued_at) == told
            if self._elapsed() < self._told_at + (STATUS_AGAIN_S if same else STATUS_EVERY_S):
                return b""
        envelope = sign(status, self._parts.element)
        self._sequence, self._told, self._told_at = status.sequence, status, self._elapsed()
        return envelope

    def _request(self) -> bytes:
        if not (self._must_ask and self._parts.clock.known) or self._elapsed() < self._asked_at + REQUEST_EVERY_S:
            return b""
        self._must_ask, self._asked_at = False, self._elapsed()
        return self._sign_request()

    def _sign_request(self) -> bytes:
        # by hand, and before any beacon, the keys it was given say what time it is at least
        request = CertificateRequest(
            terminal=self._parts.config.terminal, request=self._wanted, issued_at=self._floor().at
        )
        self._asked = sign(request, self._parts.element)
        return self._asked

    def _status(self, presence: Presence) -> Status:
        parts = self._parts
        return Status(
            terminal=parts.config.terminal,
            connection=self._connection,
            sequence=0 if presence == "offline" else self._sequence + 1,
            presence=presence,
            issued_at=parts.now_or_floor(),
            profile=parts.profile.name,
            firmware=parts.firmware_version,
            models=parts.models_digest,
            camera=self._camera() or NO_CAMERA,
            key_set=parts.trust.version,
            counter=parts.outbox.counter,
            waiting=parts.outbox.waiting(),
            people=len(parts.gallery),
            tls_until=self._link.tls_until,
        )

    def _floor(self) -> TimeFloor:
        parts = self._parts
        return TimeFloor(at=max(parts.now_or_floor(), parts.trust.issued_at - MAX_SKEW_S))
