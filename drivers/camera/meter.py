"""How a camera delivers, in figures: rate, intervals, drops, latency, valid depth. Counts frames, judges none.

Time between frames is the camera's own; latency is from mid-exposure to the moment `take` was told of the frame.
"""

import collections
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import FrameSet
from drivers.camera.plane import middle, valid_share

KEPT = 600  # frames the figures are of: the latest, forty seconds at 15 a second
OLD_S, EARLY_S = 60.0, 0.1  # a frame older than this, or this far in the future, was not taken now


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the latest `KEPT` frames; `frames` and `dropped` of all. None where there is nothing to measure it on.

    Attributes:
        frames: taken since the beginning.
        dropped: cycles whose number is missing between two frames.
        rate_hz: frames a second.
        interval_ms: between frames: median and 99th percentile.
        jitter_ms: standard deviation of that interval.
        latency_ms: from mid-exposure to the reader: median and 99th percentile; None for what was recorded.
        valid: share of the middle's pixels with depth, median, 0..1.
        distance_mm: of the middle, median of medians.
    """

    frames: int
    dropped: int
    rate_hz: float | None
    interval_ms: tuple[float, float] | None
    jitter_ms: float | None
    latency_ms: tuple[float, float] | None
    valid: float | None
    distance_mm: float | None


class Meter:
    """Takes frames, gives `figures`."""

    def __init__(self, kept: int = KEPT) -> None:
        self._count = self._dropped = 0
        self._last = -1
        self._stamps_ns, self._ages_s, self._valid, self._distances_mm = (
            collections.deque[float](maxlen=kept) for _ in range(4)
        )

    def take(self, frames: FrameSet, now_ns: int) -> None:
        """Count one frame, received at `now_ns` of the monotonic clock."""
        if self._count:
            self._dropped += max(0, frames.sequence - self._last - 1)
        self._count, self._last = self._count + 1, frames.sequence
        self._stamps_ns.append(frames.timestamp_ns)
        self._ages_s.append(frames.age_s(now_ns))
        self._valid.append(valid_share(frames.depth_mm))
        distance_mm = middle_mm(frames)
        if distance_mm is not None:
            self._distances_mm.append(distance_mm)

    @property
    def figures(self) -> Figures:
        """What there is to say so far."""
        intervals = np.diff(np.array(self._stamps_ns)) / 1e6
        mean = float(intervals.mean()) if intervals.size else 0.0
        ages = np.array(self._ages_s)
        live = ages.size > 0 and bool(((ages > -EARLY_S) & (ages < OLD_S)).all())
        return Figures(
            frames=self._count,
            dropped=self._dropped,
            rate_hz=1e3 / mean if mean > 0 else None,
            interval_ms=_middle_and_tail(intervals) if intervals.size else None,
            jitter_ms=float(intervals.std()) if intervals.size else None,
            latency_ms=_middle_and_tail(ages * 1e3) if live else None,
            valid=float(np.median(self._valid)) if self._valid else None,
            distance_mm=float(np.median(self._distances_mm)) if self._distances_mm else None,
        )


def is_live(frames: FrameSet, now_ns: int) -> bool:
    """Whether a frame was taken now, not recorded some time ago."""
    return -EARLY_S < frames.age_s(now_ns) < OLD_S


def middle_mm(frames: FrameSet) -> float | None:
    """Median distance of the middle, millimetres; None where nothing there has depth."""
    inside = frames.depth_mm[middle(*frames.depth_mm.shape)]
    known = inside[np.isfinite(inside)]
    return float(np.median(known)) if known.size else None


def _middle_and_tail(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, (50, 99))
    return float(low), float(high)
