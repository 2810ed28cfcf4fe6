"""The stereo noise model beside a real D435: holes, noise between two frames, and how far neighbours err together.

`python -m hil.sensor.stereo_noise --data ../shared/data --out docs/stereo-noise.png` prints the figures as JSON and
draws them. The real side is two depth frames of an office, 167 ms apart (librealsense's test recording). The simulated
side looks at the same room: its geometry is the mean of the two real frames with holes filled and noise smoothed away,
so what the model adds is all there is. Drawing needs matplotlib (the `train` extra).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import msgspec
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

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
LAGS = tuple(range(25))
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


def draw(real: Pair, model: Pair, out: Path) -> None:
    """Both sides in one picture."""
    mpl.use("Agg")
    figure, axes = plt.subplots(2, 4, figsize=(15, 6.4), layout="constrained")
    for row, (name, pair) in enumerate((("real D435", real), ("simulated", model))):
        _picture(axes[row, 0], pair.first, f"{name}: depth, holes black", "mm", (350, 2300), "viridis")
        _picture(axes[row, 1], pair.change_px(), f"{name}: change between two frames", "px", (-0.4, 0.4), "RdBu")
    middles = [sum(band) / 2 for band in BANDS_MM]
    for name, pair, style in (("real D435", real, "o-"), ("simulated", model, "s--")):
        change = pair.change_px()
        for axis, along in ((1, "columns"), (0, "rows")):
            shares = [correlation(change, lag, axis) for lag in LAGS]
            axes[0, 2 if axis else 3].plot(LAGS, shares, style, markersize=3, label=name)
            axes[0, 2 if axis else 3].set(title=f"correlation of neighbours along {along}", xlabel="pixels")
        inside = [(pair.first > low) & (pair.first < high) for low, high in BANDS_MM]
        sigma_px = [float(np.nanstd(change[band]) / 2**0.5) for band in inside]
        axes[1, 2].plot(middles, sigma_px, style, label=name)
        axes[1, 3].plot(middles, np.array(sigma_px) * np.array(middles) ** 2 / pair.product, style, label=name)
    axes[1, 2].set(title="noise between frames, px of disparity", xlabel="distance, mm", ylim=(0, None))
    axes[1, 3].set(title="noise between frames, mm", xlabel="distance, mm", ylim=(0, None))
    for plot in (*axes[0, 2:], *axes[1, 2:]):
        plot.legend()
        plot.grid(alpha=0.3)
    figure.savefig(out, dpi=80)


def _picture(
    plot: Axes, image: NDArray[np.float32], title: str, unit: str, limits: tuple[float, float], colours: str
) -> None:
    plot.set_facecolor("black")
    drawn = plot.imshow(image, vmin=limits[0], vmax=limits[1], cmap=colours, interpolation="nearest")
    plot.set(title=title, xticks=[], yticks=[])
    plot.figure.colorbar(drawn, ax=plot, label=unit, shrink=0.8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Stereo noise model beside a real D435.")
    parser.add_argument("--data", type=Path, required=True, help="folder with realsense/")
    parser.add_argument("--out", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    real_pair, lens = recorded(arguments.data)
    model_pair = simulated(real_pair, lens)
    print(json.dumps({"real": real_pair.figures(), "simulated": model_pair.figures()}, indent=2))  # noqa: T201
    if arguments.out:
        draw(real_pair, model_pair, arguments.out)
