"""The emitter code: flood levels drawn anew for every capture, and whether the frames answer them.

Whoever feeds in an earlier recording shows the light of an earlier draw. It stops recorded streams. It does not stop an
injector who sees the light and relights recorded frames at once, or late as a whole and numbered late.

Rules kept here:
- The terminal compares with what it drew itself, never with what the camera says was commanded.
- A draw is used for one capture, once through: past its end nothing is answered, and no symbol is asked twice.
- Only the flood is coded. The dots stay at full level: less would cost depth.
- How bright the face is, nobody knows beforehand: a stream's first frame gives the scale, those after it must agree. A
  common factor on all levels therefore changes nothing; whether the face is as bright as skin, another gate says.

What the bits mean. Each frame is asked how much likelier its brightness is under the level drawn than under one drawn
blindly: two bits where it is plainly the right one, less where it lies between two, minus where it is another. A stream
that knows nothing of the draw multiplies its odds, two to the bits, by one on average, whatever it shows: constant
light, another draw, or levels chosen between the steps. So it reaches 12 bits at most once in 4,096 tries and 24 bits
once in 16.8 million, however long a try lasts and wherever in the stream one looks (Ville's inequality): a draw that
stands still for a while, or a window that slides, changes nothing. A try ends with the first frame that plainly shows
another level, and a session with the third: 0.073 % and two in ten million a session. Symbols that had to be right,
each by itself, were tried first: lamps that flicker on the mains shift the darkest levels at 0.8 m and beyond by most
of a step, and honest faces failed (docs/emitter.md).
"""

import math
from collections import deque
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

FLICKER: Final = 0.05
"""Of the full flood's light, sigma: what lamps add between the dark exposure and the lit one."""
UNSTEADY: Final = 0.03
"""Sigma, relative: what a moving face and noise do from frame to frame."""
STRAY: Final = 0.05
"""Density, per full flood, of brightness that none of this explains."""
WRONG: Final = -3.0
"""Bits: a frame, or a try, at this or below is plainly another draw's."""
STEEPEST: Final = 0.5
"""Cosine of incidence; beyond it the slope that depth gives is too rough."""
LEAST_SEEN: Final = 0.25
"""Of the face."""
REMEMBERED: Final = 4
"""Frames that the scale is taken from: noise goes down, a moving face is followed."""


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


class Try:
    """Bits by which brightness after brightness agrees with the levels drawn. The first gives the scale."""

    def __init__(self) -> None:
        """Begin without any."""
        self.bits = 0.0
        self._agreed: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def weigh(self, light: float, level: float) -> float:
        """Bits of one frame: two to them is 1 on average over `LEVELS`, whatever `light` is. 0 for the first."""
        if not self._agreed:
            return 0.0
        drawn = sum(level for _, level in self._agreed)
        seen = light * drawn / sum(light for light, _ in self._agreed)
        of_scale = len(self._agreed) / drawn**2  # what flicker in the frames behind the scale adds
        likely = []
        for one in LEVELS:
            sigma = math.hypot(FLICKER * math.sqrt(1 + one**2 * of_scale), UNSTEADY * one)
            likely.append(math.exp(-(((seen - one) / sigma) ** 2) / 2) / sigma + STRAY)
        return math.log2(likely[LEVELS.index(level)] * len(LEVELS) / sum(likely))

    def add(self, light: float, level: float) -> bool:
        """Take one frame; False where it, or the try with it, is plainly another draw's."""
        bits = self.weigh(light, level)
        self.bits += bits
        if bits >= 0:
            self._agreed.append((light, level))
        return min(bits, self.bits) > WRONG


class CodeReader:
    """How many bits of the draw one stream has answered. One per capture."""

    def __init__(self, emitted: Emitted, bits: int) -> None:
        """`bits` must be answered."""
        self._emitted, self._needed = emitted, bits
        self._last = -1
        self.reset()

    def reset(self) -> None:
        """Begin anew. What was asked already is not asked again."""
        self._try = Try()

    def read(self, frames: FrameSet, seen: Patch | None) -> Gate:
        """What is known after this frame. `value`: bits, none beyond those needed; NaN where it cannot be computed."""
        rising, self._last = frames.sequence > self._last, max(self._last, frames.sequence)
        level = self._emitted.level(frames.sequence) if rising else None
        light = brightness(seen) if seen is not None else math.nan
        if level is None or level not in LEVELS or not light > 0:
            self.reset()
            return self._gate(math.nan, "gate_unknown")
        if not self._try.add(light, level):
            # the next frame gives the scale: this one may be what was wrong
            self.reset()
            return self._gate(0, "code_wrong")
        # nothing is saved up for what comes later
        self._try.bits = min(self._try.bits, self._needed)
        return self._gate(self._try.bits, "" if self._try.bits >= self._needed else PENDING)

    def _gate(self, value: float, reason: str) -> Gate:
        return Gate("code", value, f">= {self._needed} bits", not reason, reason)
