"""The stereo noise model beside a real D435: holes, noise between two frames, and how far neighbours err together.

The real side is two depth frames of an office, 167 ms apart (librealsense's test recording). The simulated side looks
at the same room: its geometry is the mean of the two real frames with holes filled and noise smoothed away, so what
the model adds is all there is. `hil.sensor.stereo_figure` draws both.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from drivers.camera import Intrinsics
from drivers.camera.realsense import open_camera
from hil.sensor import stereo
from hil.sensor.presets import preset
from hil.sensor.rasteriser import NOTHING, View
from hil.sensor.surface import F32

RECORDING = "realsense/single_depth_color_640x480.bag"
EXPOSURE_MS = 6.45  # the recording's own metadata
DOT_POWER_UW = 30.0  # 150 mW over some 5,000 dots
BACKGROUND_E = 2000.0  # an office, guessed
ALBEDO = 0.5  # everywhere, guessed
BASELINE_MM = 50.17  # the recording's own
BANDS_MM = ((350, 700), (700, 1300), (1300, 1600), (1600, 1800), (1800, 2000))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two frames of the same still room, each (H, W) float32 mm with NaN where unknown."""

    first: F32
    second: F32
    product: float

    def change_px(self) -> F32:
        """(H, W) disparity change; NaN where either frame has none or the two saw different things."""
        change = self.product / self.first - self.product / self.second
        return np.asarray(np.where(np.abs(change) < 0.5, change, np.nan), np.float32)

    def figures(self) -> dict[str, object]:
        """Share of holes, share of pixels that are a hole in one frame only, noise by distance, correlation."""
        change, known = self.change_px(), (np.isfinite(self.first), np.isfinite(self.second))
        bands = {
            f"{low}-{high} mm": round(float(np.nanstd(change[(self.first > low) & (self.first < high)]) / 2**0.5), 3)
            for low, high in BANDS_MM
        }
        return {
            "holes_pct": round(100 - 50 * float(known[0].mean() + known[1].mean()), 2),
            "holes_in_one_frame_only_pct": round(100 * float((known[0] != known[1]).mean()), 2),
            "temporal_sigma_px": bands,
            "correlation_after_8_columns": round(correlation(change, 8, 1), 2),
            "correlation_after_8_rows": round(correlation(change, 8, 0), 2),
        }


def correlation(values: F32, lag: int, axis: int) -> float:
    """Of `values` (H, W) with themselves `lag` pixels on along `axis`, where both are known."""
    length = values.shape[axis]
    one, other = (np.take(values, range(*part), axis=axis) for part in ((0, length - lag), (lag, length)))
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(one[both], other[both])[0, 1])


def recorded(data: Path) -> tuple[Pair, Intrinsics]:
    """The two real frames and their lens."""
    camera = open_camera({"file": str(data / RECORDING)})
    camera.start()
    first, second = (frames.depth_mm for frames in camera.frames())
    camera.close()
    return Pair(first, second, camera.intrinsics.fx * BASELINE_MM), camera.intrinsics


def simulated(real: Pair, camera: Intrinsics) -> Pair:
    """The room of `real`, seen twice by the model."""
    plain = preset("d4xx")
    sensor = msgspec.structs.replace(
        plain,
        intrinsics=camera,
        baseline_mm=BASELINE_MM,
        projector=msgspec.structs.replace(plain.projector, power_uw=DOT_POWER_UW),
        max_mm=10_000.0,
    )
    room, background = _room(real, camera), np.full(real.first.shape, BACKGROUND_E, np.float32)
    one, two = (stereo.measure(room, background, EXPOSURE_MS, sensor, np.random.default_rng(seed)) for seed in (1, 2))
    return Pair(one, two, real.product)


def _room(real: Pair, camera: Intrinsics) -> View:
    """A geometry image without noise: holes filled from the farther side, edges kept."""
    one, two = real.first, real.second
    depth_mm: F32 = np.nan_to_num(np.where(np.isnan(one), two, np.where(np.isnan(two), one, (one + two) / 2)))
    while not depth_mm.all():
        spread = cv2.dilate(depth_mm, np.ones((3, 3), np.uint8))
        depth_mm = np.where(depth_mm == 0, spread, depth_mm).astype(np.float32)
    disparity = np.asarray(real.product / depth_mm, np.float32)
    for _ in range(3):
        disparity = cv2.bilateralFilter(cv2.medianBlur(disparity, 5), 15, 0.6, 6).astype(np.float32)
    inverse = np.asarray(disparity / real.product, np.float32)
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    z = 1 / cv2.GaussianBlur(inverse, (0, 0), 3)
    points = np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=-1)
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normal *= -np.sign((normal * points).sum(axis=-1, keepdims=True))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    flat = np.full(inverse.shape, ALBEDO, np.float32)
    owner = np.full(inverse.shape, NOTHING, np.int32)
    return View(inverse, normal.astype(np.float32), flat, np.zeros_like(flat), (), (), owner, ())
