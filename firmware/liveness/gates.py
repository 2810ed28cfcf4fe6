"""Gates of one frame's shape and freshness: what must hold before anything is weighed.

Rules kept here:
- Every gate is mandatory and says its value, its limit and, where it failed, a reason code.
- A gate that cannot be computed refuses: missing evidence means no.
- No gate looks at who it is, and no weighing can undo a gate.
These gates stop flat, bent, folded and touched sheets, wrong sizes and stale or repeated frames. They do not tell a
printed head from a living one.
"""

import hashlib
import math

from drivers.camera import FrameSet
from firmware.liveness.evidence import Gate, within
from firmware.liveness.limits import Limits, load_limits
from firmware.liveness.surface import edges_mm, face_surface, nose_mm, relief
from firmware.vision.face import Face

__all__ = ["Freshness", "Limits", "geometry_gates", "load_limits"]

FOCAL_PX = 600.0
"""Of the sensor that limits at 1 m are meant for: one of half the focal length has that noise and blur at 0.5 m."""


def geometry_gates(frames: FrameSet, face: Face, limits: Limits) -> tuple[Gate, ...]:
    """Depth coverage, relief and metric size of one face in one frame, in the order of `verdict.GATES`."""
    surface = face_surface(frames, face)
    found = relief(surface, frames, face)
    size = limits.eye_distance_min_mm, limits.eye_distance_max_mm
    far = (face.distance_mm / 1000 * FOCAL_PX / frames.intrinsics.fx) ** 3
    return (
        within("depth_coverage", surface.coverage, limits.depth_coverage_min, math.inf, "of the face", "depth_missing"),
        within("relief", found.whole_mm, limits.relief_min_mm, math.inf, "mm", "flat"),
        _over_noise("solid_relief", found.solid_mm, limits.solid_relief_min_mm, limits.solid_relief_min_mm_at_1m * far),
        _over_noise("plane", found.plane_mm, limits.plane_min_mm, limits.plane_min_mm_at_1m * far),
        within("nose", nose_mm(frames, face), limits.nose_min_mm, math.inf, "mm", "covered"),
        within("edges", edges_mm(surface), 0, limits.edges_max_mm, "mm", "covered"),
        within("eye_distance", face.ipd_mm, *size, "mm", "wrong_size"),
    )


def _over_noise(name: str, value_mm: float, least_mm: float, noise_mm: float) -> Gate:
    """A gate that wants more than paper has and more than the noise of depth gives at this distance.

    What is over the first and not over the second is not said to be flat: nobody could tell, from so far.
    """
    reason = "flat" if value_mm < least_mm else "too_far"
    return within(name, value_mm, max(least_mm, noise_mm), math.inf, "mm", reason)


class Freshness:
    """Refuses frames that are old, out of order, or the very pixels of an earlier one. One per session."""

    # Four seconds at 15 frames per second: a loop shorter than that is caught at its first return.
    REMEMBERED = 64

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self._last_sequence = -1
        self._seen: list[bytes] = []

    def check(self, frames: FrameSet, now_ns: int) -> Gate:
        """Judge one frame against those before it. `now_ns` is the monotonic clock, nanoseconds."""
        age_s = frames.age_s(now_ns)
        # Every fourth pixel each way: sensor noise alone makes any two real frames differ there.
        digest = hashlib.blake2b(frames.ir[::4, ::4].tobytes() + frames.depth_mm[::8, ::8].tobytes()).digest()
        repeated = digest in self._seen or frames.sequence <= self._last_sequence
        self._seen = [*self._seen[-self.REMEMBERED + 1 :], digest]
        self._last_sequence = max(self._last_sequence, frames.sequence)
        limit = f"0..{self._stale_s:g} s"
        if repeated:
            return Gate("fresh", age_s, limit, False, "repeated_frame")
        if not 0 <= age_s <= self._stale_s:
            return Gate("fresh", age_s, limit, False, "stale_frame")
        return Gate("fresh", age_s, limit, True, "")
