"""The stand before the terminal: one person at a time, what the screen tells them, what they do.

Rules kept here:
- One session or enrolment at a time.
- A touch of the screen counts only for the scene the screen shows.
- Precise reasons and values of evidence are told where the profile tells values, and stay in the log elsewhere:
  what is told there is what a customer may know (`reasons.told`), frame by frame only what they can mend.
- A terminal whose secure element is gone serves nobody: what is in hand ends, and nothing begins until a new start.
- A defect in a session ends the process: the supervisor starts it again, and what was in hand is declined.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from drivers.camera import FAULTS
from drivers.secure_element.interface import SecureElementGoneError
from firmware.core.analysis import Finding
from firmware.core.inbox import CameraGone, Cancelled, Inbox, OutOfService, Tapped, Typed
from firmware.core.ports import CameraPort, Subscribers
from firmware.core.reasons import FALLBACK, MENDABLE, SENTENCES, told
from firmware.runtime.lights import Lights
from firmware.runtime.messages import CameraFault, Event, Stage
from firmware.runtime.ring import RingReader

OUT_OF_SERVICE = "out of service: "  # before the cause, where a status tells what the terminal is doing

_log = logging.getLogger("tessera.core")


class BusyError(Exception):
    """Somebody stands before the terminal already."""

    code = "busy"

    def __init__(self) -> None:
        super().__init__("The terminal is busy; try again in a moment.")


class Stand:
    """Who is being served, and by what.

    Attributes:
        inbox: what happens meanwhile.
        camera: looks at them.
        scene: counts sessions.
        doing: `idle`, `payment`, `enrolment` or `pin` (one is being chosen).
        shown: what the screen asks to confirm, empty while it asks nothing.
        typing: whether the screen asks for a PIN; one that was typed ends it.
        cancellable: whether a Cancel would still be in time.
        closed: why the terminal is out of service; empty while it is not.
        failed: set by a defect.
    """

    def __init__(self, ring: RingReader, lights: Lights | None, *, tell_values: bool) -> None:
        self.inbox = Inbox()
        self.camera = CameraPort(ring, self.inbox.put, self._camera_lost, lights)
        self.subscribers = Subscribers()
        self.scene = 0
        self.doing = "idle"
        self.shown = ""
        self.typing = False
        self.cancellable = False
        self.closed = ""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tell_values = tell_values
        self._active: asyncio.Task[None] | None = None
        self._then: Callable[[], None] = lambda: None

    @property
    def busy(self) -> bool:
        """Whether somebody is being served."""
        return self._active is not None

    def begin(self, work: Coroutine[None, None, None], doing: str, then: Callable[[], None] = lambda: None) -> None:
        """Serve somebody; `then` is called once they have been, and the next may come.

        Raises BusyError; SecureElementGoneError where the terminal is out of service.
        """
        if self.closed or self.busy:
            work.close()
            if self.closed:
                raise SecureElementGoneError(OUT_OF_SERVICE + self.closed)
            raise BusyError
        self.scene += 1
        self.doing = doing
        self.cancellable = True
        self.inbox.clear()
        self._active, self._then = asyncio.create_task(work), then
        self._active.add_done_callback(self._end)

    def close(self, cause: str) -> None:
        """Go out of service, for good: only a new start ends it. What is being looked at is refused."""
        self.closed = cause
        _log.critical("%s%s", OUT_OF_SERVICE, cause)
        self.inbox.put(OutOfService())
        self.say("notice", "out_of_service", f"{SENTENCES['out_of_service']} {FALLBACK}")

    def touched(self, scene: int, happening: Tapped | Cancelled | Typed) -> bool:
        """Take a touch of the screen; False where the screen shows something else by now."""
        if isinstance(happening, Typed):
            in_time = self.typing
        else:
            in_time = bool(self.shown) if isinstance(happening, Tapped) else self.cancellable
        if not self.busy or scene != self.scene or not in_time:
            return False
        if isinstance(happening, Typed):
            self.typing = False  # a key that bounces is not another try
        self.inbox.put(happening)
        return True

    async def cancelled(self) -> str:
        """Close the door to a cancel before what cannot be taken back; the reason of one that has come in time."""
        reason = await self.inbox.cancelled()
        if not reason:
            self.cancellable, self.shown = False, ""
        return reason

    def say(
        self,
        stage: Stage,
        reason: str,
        text: str,
        values: dict[str, float] | None = None,
        at_ns: int | None = None,
    ) -> None:
        """Tell whoever watches, and the log. `reason` is the precise code; `text` may be told; `at_ns`: since when."""
        self._tell(stage, told(reason), text, reason, values or {}, at_ns)
        _log.info("%s %s: %s", stage, reason, text)

    def show(self, finding: Finding) -> None:
        """Tell what one frame showed."""
        reason = finding.reason or "good"
        if not self._tell_values and reason not in MENDABLE:
            reason = "looking"
        self._tell("evidence", told(reason), SENTENCES.get(told(reason), ""), reason, finding.values)

    def _tell(
        self, stage: Stage, reason: str, text: str, why: str, values: dict[str, float], at_ns: int | None = None
    ) -> None:
        if not self._tell_values:
            why, values = "", {}
        self.subscribers.tell(
            Event(scene=self.scene, stage=stage, reason=reason, text=text, why=why, values=values, at_ns=at_ns)
        )

    def _camera_lost(self, fault: CameraFault, silent_s: float | None) -> None:
        """Say which fault ended a capture; one that ended none is for the log."""
        self.inbox.put(CameraGone(fault.cause))
        if silent_s is None:
            _log.warning("camera: %s: %s", fault.cause, fault.detail)
        else:
            self.say("notice", fault.cause, f"{FAULTS[fault.cause][0]} {fault.detail}", {"silent_s": silent_s})

    def _end(self, work: "asyncio.Task[None]") -> None:
        self._active, self.doing, self.shown, self.typing, self.cancellable = None, "idle", "", False, False
        if work.cancelled():
            return
        defect = work.exception()
        if defect is None:
            self._then()
        elif not self.failed.done():
            self.failed.set_exception(defect)
