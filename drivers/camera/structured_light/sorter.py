"""Which exposure is dark, which flood, which dots: by looking at the pictures.

Rules kept here:
- Three exposures make a cycle when they are consecutive, as close in time as the sensor takes them, one is found in
  the reference, and of the other two one is plainly brighter. Whatever breaks that, a lost exposure or a late start,
  costs the exposures it touches; the next three that fit are a cycle again.
- Nothing is taken from their order, but it must be the board's: dark, flood, dots, and round again. Dots that come
  where the flood belongs are not ours: printed on whatever stands there, or another's light. Their depth would be
  whatever they want.
- What keeps three exposures from being a cycle is remembered as a cause. When no cycle came for `PATIENCE_NS`, the
  cause seen most since the last one is raised.
- All three alike and dark may also mean that nothing is near enough to send light back. In a room something is.
- A light that is as bright without the flood as with it is told from a dead flood by its strength beside the dots.
  In sun as strong as the flood a dead flood is therefore called stuck on: wrong in name, refused all the same.
"""

from collections import Counter, deque
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.faults import Cause
from drivers.camera.interface import CameraLostError
from drivers.camera.structured_light.exposures import Exposure
from drivers.camera.structured_light.probe import Look, Looker

SMALL = 8  # brightness is compared on images this much smaller, without noise
BRIGHTER = 4.0  # grey levels: flood over dark where it is brightest
EVER = 2.0  # and this many times what darkens elsewhere: motion, flicker
TOGETHER = 1.5  # of the shortest step between exposures
PATIENCE_NS, PATIENCE = 600_000_000, 11  # less than what `core` waits for a frame; and so many exposures
LIKE_FLOOD = 0.3  # of the flood's strength beside the dots when calibrated: above, a light that stays on

_WORDS: dict[Cause, str] = {
    "emitter_stuck_on": "there is light, or dots, in exposures that were to be without",
    "emitter_stuck_off": "light of ours is missing from exposures that were to have it",
    "calibration": "there are dots, but not those of the calibration's reference: is the file another module's?",
    "partial": "exposures are lost, so that no cycle is whole",
}


class Seen:
    """One exposure, rectified, and what it looks like."""

    def __init__(self, exposure: Exposure, image: NDArray[np.uint8], look: Look) -> None:
        self.exposure, self.image, self.look = exposure, image, look

    @cached_property
    def small(self) -> NDArray[np.float32]:
        """(H/8, W/8) float32 mean brightness, grey levels."""
        size = (self.image.shape[1] // SMALL, self.image.shape[0] // SMALL)
        return cv2.resize(self.image, size, interpolation=cv2.INTER_AREA).astype(np.float32)

    @property
    def light(self) -> float:
        """Grey levels times this are light: exposure time and gain taken out, per millisecond."""
        return 1000 / (max(self.exposure.exposure_us, 1) * self.exposure.gain)


@dataclass(frozen=True, eq=False)
class Sorted:
    """A whole cycle."""

    dark: Seen
    flood: Seen
    dots: Seen


class Sorter:
    """Takes exposures one by one, gives cycles."""

    def __init__(self, looker: Looker, dots_per_flood: float) -> None:
        """`dots_per_flood`: of the module's calibration."""
        self._looker, self._dots_per_flood = looker, dots_per_flood
        self._held: deque[Seen] = deque()
        self._step_ns = 0
        self._waiting_since_ns: int | None = None
        self._waited = 0
        self._causes: Counter[Cause] = Counter()

    def add(self, exposure: Exposure, image: NDArray[np.uint8]) -> Sorted | None:
        """Look at the next exposure and its rectified `image`; return the cycle it completes, if any.

        Raises:
            CameraLostError: no cycle for too long, with the cause.
        """
        self._wait(exposure)
        if self._held and not self._follows(self._held[-1].exposure, exposure):
            self._held.clear()
            self._causes["partial"] += 1
        self._held.append(Seen(exposure, image, self._looker.look(image)))
        if len(self._held) < 3:
            return None
        found = self._cycle(tuple(self._held))
        if isinstance(found, Sorted):
            self._held.clear()
            self._causes.clear()
            self._waiting_since_ns, self._waited = exposure.timestamp_ns, 0
            return found
        self._causes[found] += 2  # says more than a gap does
        self._held.popleft()
        return None

    def _wait(self, exposure: Exposure) -> None:
        if self._waiting_since_ns is None:
            self._waiting_since_ns = exposure.timestamp_ns
        self._waited += 1
        if self._waited > PATIENCE and exposure.timestamp_ns - self._waiting_since_ns > PATIENCE_NS:
            cause = self._causes.most_common(1)[0][0] if self._causes else "partial"
            raise CameraLostError(f"{self._waited} exposures without a whole cycle: {_WORDS[cause]}", cause)

    def _follows(self, before: Exposure, after: Exposure) -> bool:
        step_ns = after.timestamp_ns - before.timestamp_ns
        if after.number != before.number + 1 or step_ns <= 0:
            return False
        self._step_ns = min(self._step_ns or step_ns, step_ns)
        return step_ns <= TOGETHER * self._step_ns

    def _cycle(self, three: tuple[Seen, ...]) -> "Sorted | Cause":
        """The cycle these are, or why they are none."""
        dots = [one for one in three if one.look.dots]
        if len(dots) > 1:
            return "emitter_stuck_on"
        if not dots:
            return "calibration" if any(one.look.speckled for one in three) else "emitter_stuck_off"
        others = (one for one in three if not one.look.dots)
        dark, flood = sorted(others, key=lambda one: float(one.small.mean()) * one.light)
        if brighter(flood.small, dark.small * np.float32(dark.light / flood.light)):
            if three.index(flood) != (three.index(dark) + 1) % 3:
                return "emitter_stuck_on"
            return Sorted(dark, flood, dots[0])
        # the dots' own light, and that of the other two, where there is most of it
        lit = dots[0].small > np.percentile(dots[0].small, 90)
        left = flood.small[lit].mean() * flood.light
        own = dots[0].small[lit].mean() * dots[0].light - left
        expected = own / self._dots_per_flood
        return "emitter_stuck_on" if left > LIKE_FLOOD * expected else "emitter_stuck_off"


def brighter(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether `one` small image has light that `other` has not."""
    more = one - other
    return float(np.percentile(more, 95)) > max(BRIGHTER, EVER * -float(np.percentile(more, 5)))
