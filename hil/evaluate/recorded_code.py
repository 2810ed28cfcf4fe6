"""The emitter code of a recording: what its session says was drawn when it was taken.

Rules kept here:
- It lives in `hil` alone: a terminal compares frames with its own draw and with nothing that comes with them.
- A recording is one capture, with one code, told before its first frame. Anything else has no answer to compare with.
- A frame's number says its place in the code, never what the frame itself claims of its light.
"""

from collections.abc import Sequence

from drivers.camera.recording import Code, SessionEvent


class RecordedCode:
    """Implements `firmware.liveness.code.Emitted` over what was written down."""

    def __init__(self, levels: Sequence[float]) -> None:
        """`levels`: of the flood, 0..1, cycle by cycle from the start of capture."""
        self.levels = tuple(levels)

    def level(self, sequence: int) -> float | None:
        """As `Emitted.level`."""
        return self.levels[sequence] if 0 <= sequence < len(self.levels) else None


def recorded_code(before_first_frame: Sequence[SessionEvent]) -> RecordedCode | None:
    """The code of a session; None where it tells none, or more than one."""
    codes = [event for event in before_first_frame if isinstance(event, Code)]
    return RecordedCode(codes[0].levels) if len(codes) == 1 else None
