"""`tessera bench --only structured-light`: how well and how fast the decoder turns dots into depth. Simulated.

A head whose shape is a formula (ellipsoid of 155 x 220 mm, nose, eye sockets, lips) stands with its nose at each
distance and is decoded on its face region, 1280 x 800. `ideal` is bare geometry: no light spreads under the surface, no
distortion, nothing moves. Beside it OpenCV's SGBM alone on the same pixels, and the same head with skin, sun,
distortion and motion before the `structured-light` preset: that row has no target, and a real module may do worse.
"""

import statistics
import time
from collections.abc import Callable

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from drivers.camera.structured_light import Decoder
from drivers.camera.structured_light.decoder import SGBM, STEPS
from hil.artefacts.toner import sheet_mesh
from hil.sensor.cycle import take
from hil.sensor.dots import calibration, reference
from hil.sensor.presets import Preset, preset
from hil.sensor.rasteriser import view
from hil.sensor.scene import Performance, Placed, Pose, Scene
from hil.sensor.surface import F32, Surface, vertex_normals

U8 = NDArray[np.uint8]
Roi = tuple[int, int, int, int]

FRAMES = 4  # of each distance, each with noise of its own
WIDTH = 1280
REGION_PX = 10  # around the face
SUN = 0.2  # of full sun on the face: shade on a bright day
NOD_DEG_S, SWAY_MM_S = 15.0, 30.0  # how fast the physical head moves: someone settling before a terminal
WIDE_MM, HIGH_MM = 77.5, 110.0
SKIN_ALBEDO, SKIN_GLOSS = 0.55, 0.3


class Figures(msgspec.Struct, frozen=True):
    """Over all face pixels of all frames: median error of those decoded, how many were, and CPU time per frame."""

    median_abs_mm: float
    valid_pct: float
    cpu_ms: float


class Distance(msgspec.Struct, frozen=True):
    """The decoder's own figures at one distance, what was asked of them, and what stands beside them."""

    median_abs_mm: float
    valid_pct: float
    cpu_ms: float
    met: bool
    target: Figures
    sgbm_alone: Figures
    one_row_off: Figures
    physical: Figures
    frames: int
    face_pixels: int


TARGETS = {
    0.3: Figures(median_abs_mm=0.30, valid_pct=80, cpu_ms=140),
    0.5: Figures(median_abs_mm=0.50, valid_pct=90, cpu_ms=70),
    0.8: Figures(median_abs_mm=0.90, valid_pct=95, cpu_ms=35),
}


def measure() -> dict[str, Distance]:
    """Rows by distance in metres, as text. Runs on one thread, so that CPU time is one core's."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return {f"{metres:g}": _distance(metres * 1000, target) for metres, target in TARGETS.items()}
    finally:
        cv2.setNumThreads(threads)


def show(console: Console, rows: dict[str, Distance]) -> None:
    """Print `rows` as a table."""
    table = Table("m", "", "median mm", "valid %", "CPU ms", "")
    for metres, row in rows.items():
        verdict = "met" if row.met else "[red]missed[/red]"
        for name, figures, word in (
            ("decoder, ideal", Figures(row.median_abs_mm, row.valid_pct, row.cpu_ms), verdict),
            ("target", row.target, ""),
            ("SGBM alone, ideal", row.sgbm_alone, ""),
            ("decoder, ideal, one row off", row.one_row_off, ""),
            ("decoder, physical", row.physical, ""),
        ):
            median, valid, cpu = f"{figures.median_abs_mm:.2f}", f"{figures.valid_pct:.1f}", f"{figures.cpu_ms:.0f}"
            table.add_row(metres if word else "", name, median, valid, cpu, word)
    console.print(table)


def _distance(nose_mm: float, target: Figures) -> Distance:
    ideal, physical = preset("ideal", WIDTH), preset("structured-light", WIDTH)
    sunny = msgspec.structs.replace(physical.ambient, sun=SUN)
    physical = msgspec.structs.replace(physical, ambient=sunny)
    head = formula_head()

    def still(_: float) -> tuple[Placed, ...]:
        return (Placed(head, Pose(z_mm=nose_mm)),)

    def moving(time_s: float) -> tuple[Placed, ...]:
        return (Placed(head, Pose(x_mm=SWAY_MM_S * time_s, z_mm=nose_mm, pitch_deg=NOD_DEG_S * time_s)),)

    decode = _decoder(ideal)
    own, face_pixels = _figures(still, ideal, decode)
    sgbm, _ = _figures(still, ideal, _sgbm(ideal))
    off, _ = _figures(still, ideal, lambda dots, roi: decode(np.roll(dots, 1, axis=0), roi))
    real, _ = _figures(moving, physical, _decoder(physical))
    met = (
        own.median_abs_mm <= target.median_abs_mm and own.valid_pct >= target.valid_pct and own.cpu_ms <= target.cpu_ms
    )
    return Distance(own.median_abs_mm, own.valid_pct, own.cpu_ms, met, target, sgbm, off, real, FRAMES, face_pixels)


def formula_head() -> Surface:
    """A head whose nose tip, its origin, is nearest: the shape that the decoder's targets were set on."""
    flat, uv, faces = sheet_mesh(310, 440, 2 * WIDE_MM, 2 * HIGH_MM)
    x, y = flat[:, 0], flat[:, 1]
    from_middle = _from_middle(x, y)
    bowl = 20 + 95 * (1 - np.sqrt(np.clip(1 - from_middle, 0, 1)))
    nose = 22 * np.exp(-((x / 11) ** 2) / 1.4 - ((y - 5) / 20) ** 2)
    eyes = 7 * sum(np.exp(-(((x - side) / 14) ** 2) - ((y + 28) / 10) ** 2) for side in (-32, 32))
    lips = 4 * np.exp(-((x / 22) ** 2) - ((y - 52) / 8) ** 2)
    vertices = np.stack([x, y, bowl - nose + eyes - lips], axis=1).astype(np.float32)
    faces = faces[(from_middle[faces] < 0.97).all(axis=1)]
    return Surface(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=uv,
        albedo=np.full((8, 8), SKIN_ALBEDO, np.float32),
        gloss=np.full(len(vertices), SKIN_GLOSS, np.float32),
        pivot_mm=np.zeros(3, np.float32),
    )


def _from_middle(x: F32, y: F32) -> F32:
    """0 at the nose, 1 at the outline of the head."""
    return (x / np.float32(WIDE_MM)) ** 2 + (y / np.float32(HIGH_MM)) ** 2


def _figures(performance: Performance, sensor: Preset, decode: Callable[[U8, Roi], F32]) -> tuple[Figures, int]:
    """Figures over `FRAMES` frames, and how many face pixels they had in all."""
    seen = view(Scene(performance(sensor.exposure_gap_us * 1e-6)), sensor.intrinsics)  # as the dot exposure sees it
    truth_mm, face = _face(seen.inverse_depth, sensor)
    rows, columns = np.nonzero(face)
    low, high = -REGION_PX, REGION_PX + 1
    roi = (int(columns.min()) + low, int(rows.min()) + low, int(columns.max()) + high, int(rows.max()) + high)
    errors, spent_ms = [], []
    for frame in range(FRAMES):
        dots = take(performance, 0.0, sensor, np.random.default_rng(frame)).dots
        decode(dots, roi)
        before = time.process_time_ns()
        depth_mm = decode(dots, roi)
        spent_ms.append((time.process_time_ns() - before) / 1e6)
        errors.append(np.abs(depth_mm - truth_mm)[face])
    error = np.concatenate(errors)
    known = np.isfinite(error)
    median = float(np.median(error[known])) if known.any() else float("nan")
    figures = Figures(round(median, 3), round(100 * float(known.mean()), 1), round(statistics.median(spent_ms), 1))
    return figures, len(error)


def _face(inverse_depth: F32, sensor: Preset) -> tuple[F32, NDArray[np.bool_]]:
    """Depth in mm (infinite where nothing is), and the pixels of the face: the inner 80 % of the head's outline."""
    camera = sensor.intrinsics
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.asarray(1 / inverse_depth, np.float32)
        x = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)) * z / np.float32(camera.fx)
        y = (np.arange(camera.height, dtype=np.float32) - np.float32(camera.cy))[:, None] * z / np.float32(camera.fy)
        return z, np.asarray((_from_middle(x, y) < 0.8) & (z < 1000))


def _decoder(sensor: Preset) -> Callable[[U8, Roi], F32]:
    return Decoder(reference(sensor), calibration(sensor)).decode


def _sgbm(sensor: Preset) -> Callable[[U8, Roi], F32]:
    """OpenCV's matcher with the same settings, its own sixteenths of a pixel as the answer."""
    module, pattern = calibration(sensor), reference(sensor)
    matcher = cv2.StereoSGBM.create(module.farthest_px, module.disparities, **SGBM)
    before, after = module.farthest_px + module.disparities, -module.farthest_px
    padded = cv2.copyMakeBorder(pattern, 0, 0, before, after, cv2.BORDER_CONSTANT)

    def decode(dots: U8, roi: Roi) -> F32:
        left, top, right, bottom = max(roi[0], 0), max(roi[1], 0), roi[2], roi[3]
        piece = cv2.copyMakeBorder(dots[top:bottom, left:right], 0, 0, before, after, cv2.BORDER_CONSTANT)
        found = matcher.compute(piece, padded[top:bottom, left : right + before + after])
        disparity = found[:, before:-after].astype(np.float32) / np.float32(STEPS)
        disparity[disparity < module.farthest_px] = np.nan
        depth_mm = np.full(dots.shape, np.nan, np.float32)
        depth_mm[top:bottom, left:right] = 1 / (disparity / module.product + 1 / module.reference_mm)
        return depth_mm

    return decode
