"""`core`'s ends of the camera's and the command line's sockets; the link's is `link_port`.

Each holds at most the one peer it is for (the command line: several), tells the terminal what came, and notices
when the peer is gone. None decides anything.

A lost camera is known, with its cause, within a second of its last frame: `silent` from the camera process itself,
`hung` where that says nothing either, `crashed` where its socket ends.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from drivers.camera import FAULTS, CameraInfo, Emitter, FrameSet
from drivers.emitter import EmitterError
from firmware.core.inbox import catch_up
from firmware.runtime.ipc import IpcError, Peer
from firmware.runtime.lights import Lights
from firmware.runtime.messages import (
    MAX_TEXT,
    CameraAdvice,
    CameraFault,
    CameraHello,
    Event,
    FrameReady,
    FromCamera,
    StartCapture,
    StopCapture,
    ToCore,
)
from firmware.runtime.ring import RingReader

# The camera process calls a camera silent after less (`camera_process`); the session waits for more (`session`).
FIRST_WORD_S, NEXT_WORD_S = 3.6, 0.85
STEP_S = 0.04
# Events a subscriber may leave unread before it is hung up on.
BACKLOG = 256


class CameraPort:
    """The camera process, and `core`'s own watchdog over it while it captures.

    Attributes:
        info: the camera, once it is open.
        fault: why no frame can come; None while one can.
        ended_by: what ended the capture in hand or the last one, or kept it from beginning; None where nothing did.
    """

    def __init__(
        self,
        ring: RingReader,
        on_frame: Callable[[FrameReady], None],
        on_lost: Callable[[CameraFault, float | None], None],
        lights: Lights | None = None,
    ) -> None:
        """`on_lost` hears of every fault, and, where it ended a capture, how long the last frame was ago, seconds.

        `lights`: the emitter, where its line is `core`'s own; lit while capturing.
        """
        self._ring, self._on_frame, self._on_lost, self._lights = ring, on_frame, on_lost, lights
        self._peer: Peer[FromCamera] | None = None
        self._capture = 0
        self._watchdog: asyncio.Task[None] | None = None
        self._heard_by = self._last_frame = 0.0
        self._advice = ""
        self.info: CameraInfo | None = None
        self.fault: CameraFault | None = CameraFault(cause="absent", detail="the camera process is not connected")
        self.ended_by: CameraFault | None = None

    @property
    def problem(self) -> str:
        """Why no frame can come, as `cause: detail`; empty while one can."""
        return f"{self.fault.cause}: {self.fault.detail}" if self.fault is not None else ""

    @property
    def advice(self) -> str:
        """What to mend before no frame can come; empty while all is well."""
        overrun = " ".join(FAULTS["overrun"]) if self.ended_by and self.ended_by.cause == "overrun" else ""
        return " ".join(filter(None, (overrun, self._advice)))[:MAX_TEXT]

    async def attend(self, peer: Peer[FromCamera]) -> None:
        """Serve one connection until it ends."""
        self._peer, self.info, self._advice = peer, None, ""
        self.fault = self.fault or CameraFault(cause="absent", detail="the camera is being opened")
        try:
            while True:
                message = await peer.receive()
                if self._peer is not peer:
                    return
                self._heard(message)
        finally:
            if self._peer is peer:
                self._peer, self.info = None, None
                # one that hung has been killed: that is the same fault, not another
                if self.fault is None or self.fault.cause != "hung":
                    self._lose(CameraFault(cause="crashed", detail="the camera process is gone"))

    def _heard(self, message: FromCamera) -> None:
        now = time.monotonic()
        self._heard_by = max(self._heard_by, now + NEXT_WORD_S)
        if self.fault is not None and self.fault.cause == "hung":
            self.fault = None
        if isinstance(message, CameraHello):
            self.info, self.fault, self._advice = message.info, None, ""
        elif isinstance(message, CameraFault):
            self._lose(message)
        elif isinstance(message, CameraAdvice):
            self._advice = message.text
        elif self.info is not None and message.capture == self._capture:
            self.fault, self._last_frame, self._heard_by = None, now, now + NEXT_WORD_S
            self._on_frame(message)

    def current(self, announced: FrameReady) -> bool:
        """Whether it is of the capture in hand, and not one that was on its way when that began."""
        return announced.capture == self._capture

    def view(self, announced: FrameReady) -> FrameSet | None:
        """The announced frame where it lies in shared memory; None if it was overwritten already."""
        return self._ring.view(announced, self.info) if self.info is not None else None

    def intact(self, announced: FrameReady) -> bool:
        """Whether it still lies there as it did: asked when it has been judged, before the finding counts.

        Never after the capture has ended: what was judged while the camera or its light was lost counts for nothing.
        """
        return self.ended_by is None and self._ring.intact(announced)

    async def start(self, levels: Sequence[Emitter]) -> bool:
        """Command capture, lit by `levels`, one a cycle; False where no frame can come, and `ended_by` says why."""
        self.ended_by = None
        # a recording that has ended can be played again
        if self.info is None or (self.fault is not None and self.fault.cause != "ended"):
            self.ended_by = self.fault
            return False
        self._capture += 1
        order = StartCapture(capture=self._capture, levels=tuple(levels))
        try:
            if self._lights is not None:
                self._lights.on(order.levels)
        except EmitterError as error:
            self.ended_by = _fault(error)
            return False
        self._last_frame = time.monotonic()
        self._heard_by = self._last_frame + FIRST_WORD_S
        self._watchdog = asyncio.create_task(self._watch())
        if not await self._send(order):
            self._lose(CameraFault(cause="crashed", detail="the camera process is gone"))
            self._unwatch()
            self._darken()
            return False
        return True

    async def stop(self) -> None:
        """Command the end of capture; a camera that is gone captures nothing. Frames still on their way are dropped."""
        self._capture += 1
        self._unwatch()
        # before a word to a process that may not read
        self._darken()
        await self._send(StopCapture())

    def end_capture(self, fault: CameraFault, silent_s: float) -> None:
        """Tell that no more will come of the capture in hand. The first fault counts: what follows, follows from it.

        `silent_s` is how long the last frame was ago that could be judged.
        """
        first = self._watchdog is not None and self.ended_by is None
        if first:
            self.ended_by = fault
        self._on_lost(fault, silent_s if first else None)

    def _lose(self, fault: CameraFault) -> None:
        self.fault = fault
        self.end_capture(fault, time.monotonic() - self._last_frame)

    async def _watch(self) -> None:
        """Wait until the camera process has said nothing for too long."""
        while (left_s := self._heard_by - time.monotonic()) > 0:
            self._beat()
            # in short steps: the first word brings the deadline forward
            await asyncio.sleep(min(left_s, STEP_S))
            await catch_up()
        if self.ended_by is None:
            self._lose(CameraFault(cause="hung", detail=f"the camera process said nothing for {NEXT_WORD_S:g} s"))

    def _unwatch(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _beat(self) -> None:
        try:
            if self._lights is not None:
                self._lights.beat()
        except EmitterError as error:
            self.end_capture(_fault(error), time.monotonic() - self._last_frame)

    def _darken(self) -> None:
        if self._lights is not None:
            self._lights.off()

    async def _send(self, message: msgspec.Struct) -> bool:
        if self._peer is None:
            return False
        try:
            await self._peer.send(message)
        except IpcError:
            return False
        return True


def _fault(error: EmitterError) -> CameraFault:
    return CameraFault(cause=error.cause, detail=str(error)[:MAX_TEXT])


class Subscribers:
    """Who watches the terminal. One who falls behind is hung up on, and comes anew; nobody can hold `core` up."""

    def __init__(self) -> None:
        self._queues: dict[Peer[ToCore], asyncio.Queue[Event]] = {}

    def tell(self, event: Event) -> None:
        """Queue an event for everybody."""
        for peer in [peer for peer, queue in self._queues.items() if queue.full()]:
            del self._queues[peer]
            peer.close()
        for queue in self._queues.values():
            queue.put_nowait(event)

    async def forward(self, peer: Peer[ToCore]) -> None:
        """Send every event to `peer` until it is gone or this is cancelled."""
        queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG)
        self._queues[peer] = queue
        try:
            with contextlib.suppress(IpcError):
                while True:
                    await peer.send(await queue.get())
        finally:
            self._queues.pop(peer, None)
