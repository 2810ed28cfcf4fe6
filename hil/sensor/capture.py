"""One cycle of the virtual sensor: a scene in, infrared and depth out.

Pure: the same generator state gives the same frames.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from hil.sensor import depth, flood
from hil.sensor.rasteriser import view
from hil.sensor.scene import INTRINSICS, Scene
from hil.sensor.surface import F32


@dataclass(frozen=True, eq=False)
class Capture:
    """`ir` and `ambient` (H, W) uint8, `depth_mm` (H, W) float32 with NaN where unknown, and the chosen exposure."""

    ir: NDArray[np.uint8]
    ambient: NDArray[np.uint8]
    depth_mm: F32
    exposure_us: int
    gain: float


def capture(
    scene: Scene, rng: np.random.Generator, intrinsics: Intrinsics = INTRINSICS, flood_level: float = 1.0
) -> Capture:
    """Take one picture of `scene`, the flood at `flood_level` 0..1."""
    seen = view(scene, intrinsics)
    exposure = flood.expose(seen, intrinsics, rng, flood_level)
    depth_mm = depth.sense(seen, intrinsics, rng)
    return Capture(exposure.ir, exposure.ambient, depth_mm, exposure.exposure_us, exposure.gain)


def render(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[np.uint8], F32]:
    """(ir, depth_mm) of `scene` through the reference lens, as in `Capture`."""
    taken = capture(scene, rng)
    return taken.ir, taken.depth_mm
