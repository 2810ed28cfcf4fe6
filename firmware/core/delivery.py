"""What the terminal owes the backend: one envelope after another, and a no for every intent that was left open.

Rules kept here:
- Every intent that was opened ends: authorized or declined, and after a crash declined as `interrupted`.
- What was signed is sent until a verified receipt settles it, oldest first.
"""

import asyncio
import logging
import time

from drivers.secure_element.interface import SecureElementError
from firmware.core.analysis import Finding
from firmware.core.journal import decision
from firmware.core.link_port import LinkPort
from firmware.core.parts import Parts
from firmware.core.signing import Signer
from firmware.core.stand import Stand
from firmware.payment.errors import PaymentError
from firmware.runtime.messages import Publish

# An envelope without a receipt goes again after this long, and whenever the link comes back.
RESEND_S = 2.0
# Behind an envelope that has waited this long nobody is looked at: their payment could not be delivered in time.
STUCK_S = 20.0

_log = logging.getLogger("tessera.core")


class Delivery:
    """Sends what lies in the outbox, and puts declines there."""

    def __init__(self, parts: Parts, signer: Signer, stand: Stand, link: LinkPort) -> None:
        self._parts, self._signer, self._stand, self._link = parts, signer, stand, link
        self._head_since: tuple[bytes, float] = (b"", 0.0)
        self._waken = asyncio.Event()

    def decline_interrupted(self) -> None:
        """Decline what a dead process or a full disk left open. Not while somebody is served: theirs is open too."""
        for intent in self._parts.outbox.interrupted():
            self.decline(intent.id, intent.digest, "interrupted")

    async def forever(self) -> None:
        """Send the oldest unsettled envelope, again and again until its receipt has come; then the next."""
        while True:
            self._waken.clear()
            head = self._parts.outbox.head()
            if head is None:
                self._head_since = (b"", 0.0)
            else:
                if head.intent != self._head_since[0] or not self._link.connected:
                    self._head_since = (head.intent, time.monotonic())
                await self._link.publish(Publish(kind=head.kind, envelope=head.envelope))
            try:
                await asyncio.wait_for(self._waken.wait(), RESEND_S if head else None)
            except (asyncio.TimeoutError, TimeoutError):
                continue

    @property
    def stuck(self) -> bool:
        """Whether an earlier envelope waits so long, connected, that another would only queue behind it."""
        head, since = self._head_since
        return bool(head) and time.monotonic() - since > STUCK_S

    def wake(self) -> None:
        """Send what waits now: the link is back, or something new lies there."""
        self._waken.set()

    def decline(self, intent: bytes, digest: bytes, reason: str, finding: Finding | None = None) -> None:
        """Sign the no to an open intent and send it; one that cannot be stored is declined later."""
        self._parts.journal.note(decision("payment", reason, intent))
        try:
            self._signer.decline(intent, digest, reason, finding)
            self.wake()
        except (PaymentError, SecureElementError) as error:
            # It stays open in the outbox and is declined as interrupted before the next.
            _log.error("decline not stored: %s", error)
            self._stand.say("notice", "store", f"The refusal could not be stored: {error}")
