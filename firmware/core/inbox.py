"""What happens during a session, in order, with frames coalesced to the newest.

A frame takes longer to judge than another takes to come: only the newest is worth judging, and it is looked at when
it is taken, not when it is announced.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from drivers.camera import Cause
from firmware.runtime.messages import FrameReady


@dataclass(frozen=True, slots=True)
class Tapped:
    """The customer touched the screen."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The customer touched Cancel, or, as `reason` says, the register took its intent back."""

    reason: Literal["cancelled", "cancelled_by_register"] = "cancelled"


@dataclass(frozen=True, slots=True)
class Typed:
    """Somebody typed a PIN. It shows itself in no log line and no traceback."""

    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CameraGone:
    """The camera process is gone, says nothing, or reports a fault."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class OutOfService:
    """The terminal cannot go on: see `Stand.closed`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A verified receipt for the authorization of `intent`."""

    intent: bytes
    approved: bool
    code: str


Happening = Tapped | Cancelled | Typed | CameraGone | OutOfService | Settled | FrameReady


async def catch_up() -> None:
    """Let the loop deliver what came while a frame was judged: select, read and hand over take a turn each."""
    for _ in range(3):
        await asyncio.sleep(0)


class Inbox:
    """Holds what has happened and was not taken yet. One taker."""

    def __init__(self) -> None:
        self._waiting: deque[Happening] = deque()
        self._frame: FrameReady | None = None
        self._wake = asyncio.Event()

    def put(self, happening: Happening) -> None:
        """Add something; an announced frame replaces one that was not taken."""
        if isinstance(happening, FrameReady):
            self._frame = happening
        else:
            self._waiting.append(happening)
        self._wake.set()

    def clear(self) -> None:
        """Forget what belongs to an earlier session."""
        self._waiting.clear()
        self._frame = None

    async def cancelled(self) -> str:
        """Reason of a cancel that nobody has taken, or empty: asked last, before what cannot be taken back."""
        await catch_up()
        return next((happening.reason for happening in self._waiting if isinstance(happening, Cancelled)), "")

    async def take(self, due_ns: int) -> Happening | None:
        """The next happening, frames last; None at `due_ns`, monotonic nanoseconds."""
        await catch_up()
        while not self._waiting and self._frame is None:
            self._wake.clear()
            left_s = (due_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                return None
            try:
                await asyncio.wait_for(self._wake.wait(), left_s)
            except (asyncio.TimeoutError, TimeoutError):
                return None
        if self._waiting:
            return self._waiting.popleft()
        frame, self._frame = self._frame, None
        return frame
