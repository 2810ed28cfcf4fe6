"""How a started camera is doing: an explicit state machine that turns what librealsense does into one named cause.

    stopped -> starting -> streaming <-> silent
                   any of these three -> lost(cause), until it is started again

Rules kept here:
- It touches neither librealsense nor a clock: both are told to it.
- A fault must last `FAULT_NS`, at first `FIRST_NS`, before it is one; a clock that goes back is one at once.
- Lost is lost: nothing that still trickles in after it counts.
- Closing, waiting and opening again is the camera process's; a library that hangs or crashes is the supervisor's.
"""

from collections.abc import Callable
from typing import Literal, NoReturn

from drivers.camera.faults import Cause
from drivers.camera.interface import CameraLostError

State = Literal["stopped", "starting", "streaming", "silent", "lost"]

# Shorter than the camera process's own patience, so that the cause is named here and not called silence there.
FAULT_NS = 500_000_000
FIRST_NS = 2_000_000_000  # before the first FrameSet: exposure control settles
ASK_NS = 400_000_000  # without a frame: how often the bus is asked whether the camera is still there


class Delivery:
    """The states and what leads from one to the next. Every event may raise CameraLostError, which is then the state.

    Attributes:
        state: where it stands.
    """

    def __init__(self, name: str) -> None:
        """`name`: of the camera, for messages."""
        self._name = name
        self._lost: CameraLostError | None = None
        self.state: State = "stopped"
        self.started(0)
        self.stopped()

    def started(self, now_ns: int) -> None:
        """Streaming was asked for."""
        self.state, self._lost = "starting", None
        self._asked_ns = now_ns
        self._partial_since: int | None = None
        self._unsorted_since: int | None = None
        self._patience_ns = FIRST_NS
        self._number, self._device_ms = -1, float("-inf")

    def stopped(self) -> None:
        """Streaming was ended."""
        self.state = "stopped"

    def check(self) -> None:
        """Raise what was lost, or that nothing was started."""
        if self._lost is not None:
            raise self._lost
        if self.state == "stopped":
            raise CameraLostError(f"RealSense {self._name}: read without start")

    def frame(self, now_ns: int, number: int, device_ms: float) -> bool:
        """A whole frame came; return whether it is new. A counter or a clock that goes back is `clock`."""
        self.check()
        if number == self._number:
            return False
        if number < self._number:
            self._lose("clock", "its frame counter went back; it has restarted")
        if device_ms <= self._device_ms:
            self._lose("clock", f"its clock went from {self._device_ms:.3f} to {device_ms:.3f} ms")
        self._number, self._device_ms = number, device_ms
        self._asked_ns, self._partial_since = now_ns, None
        self.state = "streaming"
        return True

    def partial(self, now_ns: int) -> None:
        """Depth or infrared came without the other."""
        self.check()
        self._asked_ns = now_ns
        if self._partial_since is None:
            self._partial_since = now_ns
        if now_ns - self._partial_since > self._patience_ns:
            self._lose("partial", "depth and infrared come apart")

    def cycle(self) -> None:
        """A FrameSet is complete."""
        self._unsorted_since, self._patience_ns = None, FAULT_NS

    def unsorted(self, now_ns: int, cause: Cause) -> None:
        """Frames came that make no cycle, by `cause`."""
        if self._unsorted_since is None:
            self._unsorted_since = now_ns
        if now_ns - self._unsorted_since > self._patience_ns:
            self._lose(cause, "which frames have dots cannot be seen in them")

    def quiet(self, now_ns: int, present: Callable[[], bool]) -> None:
        """Nothing came. `present` looks for the camera, which takes a while."""
        self.check()
        if now_ns - self._asked_ns <= ASK_NS:
            return
        self._asked_ns = now_ns
        if self.state == "streaming":
            self.state = "silent"
        if not present():
            self._lose("unplugged", "is gone from the bus")

    def failed(self, what: str) -> NoReturn:
        """Librealsense reported an error."""
        self._lose("unplugged", what)

    def _lose(self, cause: Cause, what: str) -> NoReturn:
        self.state, self._lost = "lost", CameraLostError(f"RealSense {self._name}: {what}", cause=cause)
        raise self._lost
