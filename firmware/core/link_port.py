"""`core`'s end of the link's socket: what it is told first, and what came from the broker.

Rules kept here:
- The `link` process is let in once its last will is signed; nothing is handed to it before.
- Of two at once the later one counts, and is connected to nothing until it says so.
- Nothing is decided here and nothing kept: what could not be handed over lies in the outbox, or is asked for again.
"""

import contextlib
from collections.abc import Callable, Sequence

from drivers.secure_element.interface import SecureElementError
from firmware.payment.errors import PaymentError
from firmware.runtime.ipc import IpcError, Peer
from firmware.runtime.messages import Certificate, Delivered, FromLink, LastWill, LinkState, Publish, TimeFloor


class LinkPort:
    """The link process.

    Attributes:
        connected: its own word about the broker.
        detail: why it is not connected.
        tls_until: when the certificate it uses ends, seconds since 1970; 0 where it uses none.
    """

    def __init__(
        self,
        on_envelope: Callable[[Delivered], None],
        on_connected: Callable[[], None],
        on_want: Callable[[bytes], None],
        greet: Callable[[], Sequence[LastWill | TimeFloor]],
    ) -> None:
        """`on_want` takes a certificate request of its, `greet` says what it is told first."""
        self._on_envelope, self._on_connected, self._on_want, self._greet = on_envelope, on_connected, on_want, greet
        self._peer: Peer[FromLink] | None = None
        self.connected = False
        self.detail = "the link process is not connected"
        self.tls_until = 0

    async def attend(self, peer: Peer[FromLink]) -> None:
        """Serve one connection until it ends."""
        self._peer, self.connected, self.detail = peer, False, "the link process has just started"
        try:
            for message in self._greeting():
                await peer.send(message)
            while True:
                heard = await peer.receive()
                if self._peer is not peer:
                    return
                self._heard(heard)
        finally:
            if self._peer is peer:
                self._peer, self.connected, self.detail = None, False, "the link process is gone"

    def _greeting(self) -> Sequence[LastWill | TimeFloor]:
        try:
            return self._greet()
        except (PaymentError, SecureElementError) as error:
            raise IpcError(f"the link process is let in once its last will can be signed: {error}") from error

    def _heard(self, message: FromLink) -> None:
        if isinstance(message, LinkState):
            self.connected, self.detail, self.tls_until = message.connected, message.detail, message.tls_until
            if message.connected:
                self._on_connected()
        elif isinstance(message, Delivered):
            self._on_envelope(message)
        else:
            self._on_want(message.request)

    def greet_anew(self) -> None:
        """Hang up: the process comes again, and its last will is signed by the identity that is in force now."""
        if self._peer is not None:
            self._peer.close()

    async def publish(self, message: Publish) -> None:
        """Hand an envelope over; if that fails it stays in the outbox and goes again later."""
        if self.connected:
            await self.tell(message)

    async def tell(self, message: Publish | TimeFloor | Certificate) -> None:
        """Hand something over, where there is somebody to take it."""
        if self._peer is not None:
            with contextlib.suppress(IpcError):
                await self._peer.send(message)
