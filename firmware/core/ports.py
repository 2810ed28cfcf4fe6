"""`core`'s ends of the camera's, the link's and the command line's sockets.

Each holds at most the one peer it is for (the command line: several), tells the terminal what came, and notices
when the peer is gone. None decides anything.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from drivers.camera import CameraInfo, Cause, FrameSet
from firmware.runtime.ipc import IpcError, Peer
from firmware.runtime.messages import (
    CameraAdvice,
    CameraFault,
    CameraHello,
    Delivered,
    Event,
    FrameReady,
    FromCamera,
    FromLink,
    LinkState,
    Publish,
    StartCapture,
    StopCapture,
    ToCore,
)
from firmware.runtime.ring import RingReader

# Events a subscriber may leave unread before it is dropped.
BACKLOG = 256


class CameraPort:
    """The camera process. `problem` says why no frame can come, `advice` what to mend before none can, or are empty."""

    def __init__(
        self, ring: RingReader, on_frame: Callable[[FrameReady], None], on_lost: Callable[[Cause, str], None]
    ) -> None:
        self._ring, self._on_frame, self._on_lost = ring, on_frame, on_lost
        self._peer: Peer[FromCamera] | None = None
        self._capture = 0
        self.info: CameraInfo | None = None
        self.problem = "the camera process is not connected"
        self.advice = ""

    async def attend(self, peer: Peer[FromCamera]) -> None:
        """Serve one connection until it ends."""
        self._peer, self.info, self.problem, self.advice = peer, None, "the camera is being opened", ""
        try:
            while True:
                message = await peer.receive()
                if self._peer is not peer:
                    return
                if isinstance(message, CameraHello):
                    self.info, self.problem = message.info, ""
                elif isinstance(message, CameraFault):
                    self.problem = f"{message.cause}: {message.detail}"
                    self._on_lost(message.cause, message.detail)
                elif isinstance(message, CameraAdvice):
                    self.advice = message.text
                elif self.info is not None and message.capture == self._capture:
                    self.problem = ""
                    self._on_frame(message)
        finally:
            if self._peer is peer:
                self._peer, self.info, self.problem = None, None, "the camera process is gone"
                self._on_lost("crashed", self.problem)

    def frames(self, announced: FrameReady) -> FrameSet | None:
        """Copy the announced frame out of shared memory; None if it was overwritten meanwhile."""
        return self._ring.read(announced, self.info) if self.info is not None else None

    async def start(self) -> bool:
        """Command capture; False where there is nobody to command."""
        self._capture += 1
        return await self._send(StartCapture(capture=self._capture))

    async def stop(self) -> None:
        """Command the end of capture; a camera that is gone captures nothing. Frames still on their way are dropped."""
        self._capture += 1
        await self._send(StopCapture())

    async def _send(self, message: msgspec.Struct) -> bool:
        if self._peer is None:
            return False
        try:
            await self._peer.send(message)
        except IpcError:
            return False
        return True


class LinkPort:
    """The link process. `connected` is its own word about the broker."""

    def __init__(self, on_envelope: Callable[[Delivered], None], on_connected: Callable[[], None]) -> None:
        self._on_envelope, self._on_connected = on_envelope, on_connected
        self._peer: Peer[FromLink] | None = None
        self.connected = False
        self.detail = "the link process is not connected"

    async def attend(self, peer: Peer[FromLink]) -> None:
        """Serve one connection until it ends."""
        self._peer = peer
        try:
            while True:
                message = await peer.receive()
                if self._peer is not peer:
                    return
                if isinstance(message, LinkState):
                    self.connected, self.detail = message.connected, message.detail
                    if message.connected:
                        self._on_connected()
                else:
                    self._on_envelope(message)
        finally:
            if self._peer is peer:
                self._peer, self.connected, self.detail = None, False, "the link process is gone"

    async def publish(self, message: Publish) -> None:
        """Hand an envelope over; if that fails it stays in the outbox and goes again later."""
        if self._peer is not None and self.connected:
            with contextlib.suppress(IpcError):
                await self._peer.send(message)


class Subscribers:
    """Who watches the terminal. One who does not read is dropped; nobody can hold `core` up."""

    def __init__(self) -> None:
        self._queues: dict[int, asyncio.Queue[Event]] = {}

    def tell(self, event: Event) -> None:
        """Queue an event for everybody."""
        for key in [key for key, queue in self._queues.items() if queue.full()]:
            del self._queues[key]
        for queue in self._queues.values():
            queue.put_nowait(event)

    async def forward(self, peer: Peer[ToCore]) -> None:
        """Send every event to `peer` until it is gone or this is cancelled."""
        queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._queues[id(queue)] = queue
        try:
            with contextlib.suppress(IpcError):
                while True:
                    await peer.send(await queue.get())
        finally:
            self._queues.pop(id(queue), None)
