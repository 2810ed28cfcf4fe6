"""Looks at every FrameSet for what a broken camera does: repeat itself, go back in time, leave half a picture out.

Rules kept here:
- Any camera, any kind of frame: only what no working sensor does counts. Noise makes any two real pictures differ, and
  leaves no whole band of rows at exactly zero.
- A picture without any variation (a covered sensor, a black room) says nothing, and is never held against a camera.
- Cheap: every 16th pixel of every eighth row, once a frame.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import CameraLostError, FrameSet

STEP_PX = 8, 16
# The same picture this often in a row is frozen: one fewer than `core` takes for an attack, so it gets its own name.
FROZEN_AFTER = 3
# So many rows must be missing that were there before, and so many pictures in a row.
PARTIAL_SHARE, PARTIAL_AFTER = 1 / 8, 3
# Clocks of camera and terminal are compared by the driver, to within some milliseconds.
FUTURE_NS = 100_000_000


class Monitor:
    """Watches one opened camera. `begin` at each start of it, then `passes` for each frame.

    Attributes:
        seen: frames since `begin`, those that did not pass among them.
        dropped: cycles since `begin` that gave no frame, or only part of one.
    """

    def __init__(self) -> None:
        # which sampled rows have ever had a picture in them: outlives a capture, so that one may begin with half frames
        self._known = np.zeros(0, np.bool_)
        self.begin()

    def begin(self) -> None:
        """Expect a new capture: numbers and times begin again."""
        self.seen = self.dropped = 0
        self._last: FrameSet | None = None
        self._picture: tuple[int, int] | None = None
        self._same = self._partial = 0

    def passes(self, frames: FrameSet, now_ns: int) -> bool:
        """Whether the frame is whole. Half a frame is held back; several in a row are a fault.

        Args:
            frames: the next frame of this capture.
            now_ns: monotonic clock, nanoseconds.

        Raises:
            CameraLostError: with cause `clock`, `frozen` or `partial`.
        """
        self.seen += 1
        self._check_clock(frames, now_ns)
        self._check_frozen(frames)
        return self._is_whole(frames)

    def _check_clock(self, frames: FrameSet, now_ns: int) -> None:
        last, self._last = self._last, frames
        if frames.timestamp_ns > now_ns + FUTURE_NS:
            ahead_s = -frames.age_s(now_ns)
            raise CameraLostError(f"camera {frames.camera.serial}: a frame from {ahead_s:.3f} s in the future", "clock")
        if last is None:
            return
        moved_s = (frames.timestamp_ns - last.timestamp_ns) / 1e9
        if moved_s <= 0 or frames.sequence <= last.sequence:
            raise CameraLostError(
                f"camera {frames.camera.serial}: frame {frames.sequence} came after frame {last.sequence}, "
                f"and its time is {moved_s:+.3f} s from that one's",
                "clock",
            )
        self.dropped += frames.sequence - last.sequence - 1

    def _check_frozen(self, frames: FrameSet) -> None:
        ir, depth = frames.ir[:: STEP_PX[0], :: STEP_PX[1]], frames.depth_mm[:: STEP_PX[0], :: STEP_PX[1]]
        measured = depth[np.isfinite(depth)]
        says_something = ir.min() != ir.max() or (measured.size > 0 and measured.min() != measured.max())
        picture = (zlib.crc32(ir.tobytes()), zlib.crc32(depth.tobytes()))
        self._same = self._same + 1 if says_something and picture == self._picture else 1
        self._picture = picture
        if self._same >= FROZEN_AFTER:
            raise CameraLostError(f"camera {frames.camera.serial}: one picture {self._same} times in a row", "frozen")

    def _is_whole(self, frames: FrameSet) -> bool:
        """Compare the rows that hold a picture with those that ever did."""
        ir, depth = frames.ir[:: STEP_PX[0], :: STEP_PX[1]], frames.depth_mm[:: STEP_PX[0], :: STEP_PX[1]]
        filled: NDArray[np.bool_] = np.any(ir, axis=1) | np.any(np.isfinite(depth), axis=1)
        if len(self._known) != len(filled):
            self._known = np.zeros(len(filled), np.bool_)
        missing = int((self._known & ~filled).sum())
        # a source without infrared has nothing but depth, and whole bands of that may well be unknown
        if not ir.any() or missing < PARTIAL_SHARE * len(filled):
            self._known |= filled
            self._partial = 0
            return True
        self._partial += 1
        self.dropped += 1
        if self._partial >= PARTIAL_AFTER:
            share = round(100 * missing / len(filled))
            raise CameraLostError(f"camera {frames.camera.serial}: {share} % of the rows are missing", "partial")
        return False
