"""The emitter code: flood levels drawn anew for every capture, and whether the frames answer them.

Whoever feeds in an earlier recording shows the light of an earlier draw. It stops recorded streams. It does not stop an
injector who sees the light and relights recorded frames at once, or late as a whole and numbered late.

Rules kept here:
- The terminal compares with what it drew itself, never with what the camera says was commanded.
- A draw is used for one capture, once through: past its end nothing is answered, and no symbol is asked twice.
- Only the flood is coded. The dots stay at full level: less would cost depth.
- How bright the face is, nobody knows beforehand: a stream's first frame gives the scale, those after it must agree. A
  common factor on all levels therefore changes nothing; whether the face is as bright as skin, another gate says.

What the bits mean. Whatever the frames before showed, at most one level agrees with a frame, and the draw had it with
one chance in four: 12 bits are 6 such symbols in a row after the first frame, passed by chance once in 4,096 windows of
7 frames, 24 bits once in 16.8 million of 13. A constant stream, one with another draw, or a draw that happens to stand
still for a while are no likelier. But a session is a window that slides: in 8 s at 15 frames a second a stream that
might err as often as it liked would pass 12 bits in 2 % of sessions, 24 bits in 5 of a million (docs/emitter.md).
Sessions end at the third wrong symbol, so there are three tries: 0.07 %, and 2 in ten million.
"""

import math
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from drivers.camera import FrameSet
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.patch import Patch

LEVELS: Final = (0.512, 0.64, 0.8, 1.0)
"""What one symbol can be: two bits, each level a quarter brighter than the one before."""
BITS_PER_SYMBOL: Final = 2
SYMBOLS: Final = 64
"""In one draw: what the emitter board holds at four exposures a cycle."""

HALF_STEP: Final = math.log(LEVELS[1] / LEVELS[0]) / 2
"""Farther than this from every level, on the log scale, is none of them."""
STEEPEST: Final = 0.5  # cosine of incidence; beyond it the slope that depth gives is too rough
LEAST_SEEN: Final = 0.25  # of the face
REMEMBERED: Final = 4  # frames that the scale is averaged over: noise goes down, a moving face is followed


class Emitted(Protocol):
    """What was commanded of the flood, cycle by cycle."""

    def level(self, sequence: int) -> float | None:
        """The flood level of cycle `sequence`, counted from the start of capture; None outside the draw."""
        ...


class Drawn:
    """The terminal's own draw. It cannot be told what to draw: whatever else verifies, verifies elsewhere."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """`random(n)`: n unpredictable bytes, the secure element's."""
        per_byte = 8 // BITS_PER_SYMBOL
        raw = int.from_bytes(random(SYMBOLS // per_byte), "big")
        self.levels: Final = tuple(LEVELS[(raw >> (BITS_PER_SYMBOL * place)) % len(LEVELS)] for place in range(SYMBOLS))

    def level(self, sequence: int) -> float | None:
        """As `Emitted.level`."""
        return self.levels[sequence] if 0 <= sequence < len(self.levels) else None


def brightness(seen: Patch) -> float:
    """The flood's own light on the face over what its shape and distance let expect of white; NaN where unknown.

    The mean over the middle half of the face's pixels: shine, sunlit edges that moved and full pixels do not count.
    """
    known = seen.inside & np.isfinite(seen.lit) & (seen.incidence > STEEPEST)
    if known.sum() <= LEAST_SEEN * seen.inside.sum():
        return math.nan
    lit, expected = seen.lit[known], seen.expected[known]
    ratio = lit / expected
    low, high = np.percentile(ratio, (25, 75))
    middle = (ratio >= low) & (ratio <= high)
    return float(lit[middle].sum() / expected[middle].sum())


class CodeReader:
    """How many symbols in a row one stream has answered. One per capture."""

    def __init__(self, emitted: Emitted, bits: int) -> None:
        """`bits` must be answered, in symbols of two bits."""
        self._emitted = emitted
        self._needed = math.ceil(bits / BITS_PER_SYMBOL)
        self._last = -1
        self.reset()

    def reset(self) -> None:
        """Begin the row anew. What was asked already is not asked again."""
        self._scale = math.nan
        self._right = 0

    def read(self, frames: FrameSet, seen: Patch | None) -> Gate:
        """What is known after this frame. `value`: right symbols in a row."""
        rising, self._last = frames.sequence > self._last, max(self._last, frames.sequence)
        level = self._emitted.level(frames.sequence) if rising else None
        light = brightness(seen) if seen is not None else math.nan
        if level is None or not light > 0:
            self.reset()
            return self._gate(math.nan, "gate_unknown")
        scale = math.log(light / level)
        if math.isnan(self._scale):
            self._scale = scale
            return self._gate(0, PENDING)
        if not abs(scale - self._scale) < HALF_STEP:
            # the next frame gives the scale: this one may be what was wrong
            self.reset()
            return self._gate(0, "code_wrong")
        self._right += 1
        self._scale += (scale - self._scale) / min(self._right + 1, REMEMBERED)
        return self._gate(self._right, "" if self._right >= self._needed else PENDING)

    def _gate(self, value: float, reason: str) -> Gate:
        return Gate("code", value, f">= {self._needed} symbols", not reason, reason)
