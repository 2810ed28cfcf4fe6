"""From single frames to cycles: dots and off, or dots, flood and dark where our board lights every third frame.

The board does not know which frames have dots. Of its floods every second falls between them, beside a dark one; the
others fall into dots frames, none of which is a flood frame's neighbour, so no cycle's depth comes from one.

Rules kept here:
- Only frames that follow one another without a gap make a cycle, and none is in two.
- Which is which is seen in the pictures (`alternation`). What cannot be told is dropped, and the cause is named.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera.faults import Cause
from drivers.camera.realsense.alternation import is_flood_lit, is_lit, which_has_dots


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One frame of the camera, copied out of librealsense.

    Attributes:
        number: the device's frame counter.
        device_ms: the device's clock.
        ir: (H, W) uint8.
        counts: (H, W) uint16 depth in the device's unit.
        exposure_us: exposure time, microseconds.
        gain: 1.0 is none.
        flagged: dots according to metadata, for what plays without alternation.
    """

    number: int
    device_ms: float
    ir: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    exposure_us: int
    gain: float
    flagged: float


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """The frames of one FrameSet: depth from `dots`, infrared from `ir`. `number` is the first frame's."""

    number: int
    dots: Taken
    ir: Taken
    ambient: Taken | None


class Sorter:
    """Takes frames in order and gives back cycles. `cause` names why the last frames made none, if that is a fault."""

    def __init__(self, flood_board: bool) -> None:
        """`flood_board`: whether our board lights some frames (`drivers.emitter.patterns`, `every-third-flood`)."""
        self._flood_board = flood_board
        self._frame: Taken | None = None
        self._pair: Cycle | None = None
        self.cause: Cause | None = None

    def add(self, frame: Taken) -> Cycle | None:
        """Take the next frame; return the cycle it completes."""
        before, self._frame = self._frame, frame
        if before is None or frame.number != before.number + 1:
            return None
        verdict = which_has_dots(before.ir, frame.ir)
        if verdict in ("both", "neither"):
            self._pair = None
            self.cause = _cause_without_pair(verdict == "both", frame)
            return None
        self._frame = None
        dots, off = (before, frame) if verdict == "first" else (frame, before)
        pair = Cycle(before.number, dots, off, off)
        if self._flood_board:
            return self._with_flood(pair)
        self.cause = None
        return pair

    def _with_flood(self, pair: Cycle) -> Cycle | None:
        before, self._pair = self._pair, pair
        if before is None or pair.number != before.number + 2:
            return None
        for lit, dark in ((before, pair), (pair, before)):
            if is_flood_lit(lit.ir.ir, dark.ir.ir):
                self.cause, self._pair = None, None
                return Cycle(before.number, lit.dots, lit.ir, dark.ir)
        # two frames alike: bright ones are called stuck on, though sun may hide the flood, and dark ones stuck off
        self.cause = "emitter_stuck_on" if is_lit(pair.ir.ir) else "emitter_stuck_off"
        return None


def _cause_without_pair(both: bool, frame: Taken) -> Cause:
    if both:
        return "emitter_stuck_on"
    return "weak_dots" if is_lit(frame.ir) else "emitter_stuck_off"
