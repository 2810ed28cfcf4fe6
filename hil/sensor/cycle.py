"""One cycle of a preset's sensor: dark, flood and dots of whatever moves before it, and the depth that follows.

Rules kept here:
- Everything follows from the performance, the time and the generator: the same arguments give the same bytes.
- Light adds up before the lens blurs it; noise comes after the lens has bent it; rectification comes last.
- The control loop looks at the face and picks one exposure and gain for dark and flood, as if the flood were at full
  level, so that a commanded level shows in the picture; the dots have their own time at the same gain.
- What moves less than `STILL_PX` between two exposures is drawn once for all three. What moves more is drawn for
  each exposure, as often as its motion blurs it there, `MAX_SUBFRAMES` times at most.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from drivers.camera.structured_light import Decoder
from hil.sensor import stereo
from hil.sensor.dots import calibration, expose_dots, reference
from hil.sensor.lens import Glass, glass
from hil.sensor.optics import Light, light
from hil.sensor.pixels import read_out
from hil.sensor.presets import Preset
from hil.sensor.rasteriser import NEAR_MM, View, project, view
from hil.sensor.scene import Performance, Placed, Scene
from hil.sensor.surface import F32

STILL_PX = 0.1
BLUR_STEP_PX = 0.5  # motion within one exposure that is worth another sub-frame
MAX_SUBFRAMES = 4
TARGET = 0.72  # of full well: where the control loop brings the bright part of the face
TARGET_PERCENTILE = 93.0
DOT_TARGET = 0.85
DOT_PERCENTILE = 99.5
DOT_EXPOSURE_US = (50, 3000)
FLICKER_HZ = 100.0
FACE_MM = (95.0, 95.0, 95.0, 130.0)  # left, up, right, down of the point between the eyes
_SAMPLE = 37  # every so many vertices tell how far things moved

Box: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Cycle:
    """Three exposures and their depth, on the rectified grid.

    Attributes:
        ambient: (H, W) uint8, emitters off, as long as `ir`.
        ir: (H, W) uint8, flood-lit.
        dots: (H, W) uint8, dot exposure.
        depth_mm: (H, W) float32, NaN where unknown.
        exposure_us: of `ir` and `ambient`.
        dot_exposure_us: of `dots`.
        gain: of all three.
    """

    ambient: NDArray[np.uint8]
    ir: NDArray[np.uint8]
    dots: NDArray[np.uint8]
    depth_mm: F32
    exposure_us: int
    dot_exposure_us: int
    gain: float


@dataclass(frozen=True)
class Lights:
    """What shines during each exposure: levels 0..1 of (flood, dots), relative to what the control loop reckons with.

    As built, each exposure has its own light; a fault, or a board that was told otherwise, has something else.
    """

    dark: tuple[float, float] = (0.0, 0.0)
    flood: tuple[float, float] = (1.0, 0.0)
    dots: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Exposed:
    """Three exposures as the sensor has them: bent by the lens, not rectified.

    Attributes:
        dark: (H, W) uint8.
        flood: (H, W) uint8.
        dots: (H, W) uint8.
        exposure_us: of `dark` and `flood`.
        dot_exposure_us: of `dots`.
        gain: of all three.
        background_e: (H, W) float32 electrons that other light left in `dots`, on the rectified grid.
        view: what was in view during `dots`.
        region: the box about every face then.
    """

    dark: NDArray[np.uint8]
    flood: NDArray[np.uint8]
    dots: NDArray[np.uint8]
    exposure_us: int
    dot_exposure_us: int
    gain: float
    background_e: F32
    view: View
    region: Box


def take(
    performance_at: Performance, time_s: float, preset: Preset, rng: np.random.Generator, flood_level: float = 1.0
) -> Cycle:
    """Take dark, flood and dots, the flood's middle at `time_s` seconds, the flood at `flood_level` 0..1."""
    raw = expose(performance_at, time_s, preset, rng, Lights(flood=(flood_level, 0.0)))
    dark, flood, dots = (glass(preset).rectify(image) for image in (raw.dark, raw.flood, raw.dots))
    if preset.depth == "stereo":
        depth_mm = stereo.measure(raw.view, raw.background_e, raw.dot_exposure_us / 1000, preset, rng)
    else:
        depth_mm = _decoder(preset).decode(dots, raw.region)
        depth_mm[depth_mm > preset.max_mm] = np.nan
    return Cycle(dark, flood, dots, depth_mm, raw.exposure_us, raw.dot_exposure_us, raw.gain)


def expose(
    performance_at: Performance,
    time_s: float,
    preset: Preset,
    rng: np.random.Generator,
    lights: Lights = Lights(),
    lens: Glass | None = None,
    rows_off: float = 0.0,
) -> Exposed:
    """Expose dark, flood and dots, the flood's middle at `time_s` seconds.

    Args:
        performance_at: what moves before the sensor.
        time_s: seconds of the performance.
        preset: the sensor.
        rng: of its noise.
        lights: what shines in each.
        lens: None is the preset's.
        rows_off: how much lower the image falls onto the sensor than when it was calibrated, pixels.
    """
    through, film = lens or glass(preset), _Film(performance_at, preset, time_s)
    gap_s = preset.exposure_gap_us * 1e-6
    face = _region(film.placed(time_s), preset.intrinsics)
    exposure_us, gain = _control(film.light(time_s), face, preset)
    exposure_ms = exposure_us / 1000
    dark_s, dots_s = time_s - gap_s, time_s + gap_s
    moments = film.moments(dots_s, preset.dot_exposure_us / 1000)

    def shining(lit: Light, at_s: float, level: float) -> F32:
        flicker = np.float32(1 + preset.ambient.flicker * np.sin(2 * np.pi * FLICKER_HZ * at_s))
        without = lit.sun + lit.lamps * flicker
        return without + lit.flood * np.float32(level) if level else without

    @cache
    def beams() -> F32:
        speckle = int(rng.integers(2**63))
        sharp = _mean([expose_dots(film.view(at), preset, np.random.default_rng(speckle)) for at in moments])
        return through.blurred(sharp) * np.float32(1000 / preset.dot_exposure_us)

    def shoot(rate: F32, dots_level: float, ms: np.float32) -> NDArray[np.uint8]:
        if dots_level:
            rate = beams() * np.float32(dots_level) + rate
        return read_out(through.bend(rate * ms, rows_off), preset, gain, rng)

    def exposed(at_s: float, levels: tuple[float, float]) -> NDArray[np.uint8]:
        lit = [shining(film.light(at), at_s, levels[0]) for at in film.moments(at_s, exposure_ms)]
        return shoot(through.blurred(_mean(lit)), levels[1], np.float32(exposure_ms))

    dark, flood = exposed(dark_s, lights.dark), exposed(time_s, lights.flood)
    background = through.blurred(_mean([shining(film.light(at), dots_s, lights.dots[0]) for at in moments]))
    dot_us = _dot_control(beams() + background, face, preset, gain)
    dot_ms = np.float32(dot_us / 1000)
    dots = shoot(background, lights.dots[1], dot_ms)
    middle_s = moments[len(moments) // 2]
    return Exposed(
        dark=dark,
        flood=flood,
        dots=dots,
        exposure_us=exposure_us,
        dot_exposure_us=dot_us,
        gain=gain,
        background_e=background * dot_ms,
        view=film.view(middle_s),
        region=_region(film.placed(middle_s), preset.intrinsics),
    )


class _Film:
    """Asks for, draws and lights each moment once."""

    def __init__(self, performance_at: Performance, preset: Preset, time_s: float) -> None:
        self._performance_at, self._preset, self._time_s = performance_at, preset, time_s
        gap_s = preset.exposure_gap_us * 1e-6
        self._placed: dict[float, tuple[Placed, ...]] = {}
        # a performance begins at 0 s: at its very beginning motion is measured a gap later
        since_s = max(time_s - gap_s, 0.0)
        moved_px = _moved_px(self.placed(since_s), self.placed(since_s + gap_s), preset.intrinsics)
        self._still = moved_px < STILL_PX
        self._px_per_ms = moved_px / (gap_s * 1000)
        self._views: dict[float, View] = {}
        self._lights: dict[float, Light] = {}

    def moments(self, middle_s: float, exposure_ms: float) -> list[float]:
        """The times whose mean is an exposure of `exposure_ms` about `middle_s`."""
        if self._still:
            return [self._time_s]
        wanted = self._px_per_ms * exposure_ms / BLUR_STEP_PX
        count = MAX_SUBFRAMES if wanted > MAX_SUBFRAMES else max(1, int(np.ceil(wanted)))
        return [middle_s + exposure_ms / 1000 * ((k + 0.5) / count - 0.5) for k in range(count)]

    def placed(self, at_s: float) -> tuple[Placed, ...]:
        if at_s not in self._placed:
            # a performance begins at 0 s; the first cycle's dark exposure comes earlier
            self._placed[at_s] = self._performance_at(max(at_s, 0.0))
        return self._placed[at_s]

    def view(self, at_s: float) -> View:
        if at_s not in self._views:
            self._views[at_s] = view(Scene(self.placed(at_s)), self._preset.intrinsics)
        return self._views[at_s]

    def light(self, at_s: float) -> Light:
        if at_s not in self._lights:
            self._lights[at_s] = light(self.view(at_s), self._preset)
        return self._lights[at_s]


def _moved_px(before: tuple[Placed, ...], after: tuple[Placed, ...], camera: Intrinsics) -> float:
    """How far the fastest vertex went in the image; infinite where different things stand there."""
    if len(before) != len(after):
        return float("inf")
    farthest = 0.0
    for one, other in zip(before, after, strict=True):
        if one.surface.vertices_mm.shape != other.surface.vertices_mm.shape:
            return float("inf")
        there, here = (project(_sampled(placed), camera) for placed in (one, other))
        drawn = (there[:, 2] > 0) & (here[:, 2] > 0)
        if drawn.any():
            farthest = max(farthest, float(np.abs(there - here)[drawn, :2].max()))
    return farthest


def _sampled(placed: Placed) -> F32:
    """Some of the vertices of `placed` in camera axes."""
    pose, pivot = placed.pose, placed.surface.pivot_mm
    origin = np.array([pose.x_mm, pose.y_mm, pose.z_mm], np.float32)
    return (placed.surface.vertices_mm[::_SAMPLE] - pivot) @ pose.rotation().T + (pivot + origin)


def _control(lit: Light, face: Box, preset: Preset) -> tuple[int, float]:
    """(microseconds, gain) that bring the bright part of the face to `TARGET`, longest time first."""
    bright = _bright(lit.flood + lit.sun + lit.lamps, face, TARGET_PERCENTILE)
    wanted_us = TARGET * preset.pixel.full_well_e / bright * 1000
    exposure_us = int(np.clip(wanted_us, *preset.exposure_us))
    return exposure_us, round(float(np.clip(wanted_us / exposure_us, *preset.gain)), 2)


def _dot_control(rate: F32, face: Box, preset: Preset, gain: float) -> int:
    """Microseconds that bring the dots' peaks on the face to `DOT_TARGET`."""
    bright = _bright(rate, face, DOT_PERCENTILE)
    return int(np.clip(DOT_TARGET * preset.pixel.full_well_e / gain / bright * 1000, *DOT_EXPOSURE_US))


def _bright(rate: F32, face: Box, percentile: float) -> float:
    """Of `rate` (H, W) within `face`, or in the middle where no face is in view."""
    height, width = rate.shape
    left, top, right, bottom = (max(edge, 0) for edge in face)
    inside = rate[top:bottom:2, left:right:2]
    if not inside.size:
        inside = rate[height // 6 : -height // 6 : 3, width // 4 : -width // 4 : 3]
    return max(float(np.percentile(inside, percentile)), 1.0)


def _mean(images: list[F32]) -> F32:
    return images[0] if len(images) == 1 else np.mean(images, axis=0, dtype=np.float32)


def _region(placed: tuple[Placed, ...], camera: Intrinsics) -> Box:
    """The box (left, top, right, bottom; ends excluded) around every face or what stands for one; empty without any.

    A surface's origin is the point between the eyes, or where an artefact shows it.
    """
    if not placed:
        return 0, 0, 0, 0
    boxes = []
    for one in placed:
        pivot, pose = one.surface.pivot_mm, one.pose
        x, y, z = pivot - pivot @ pose.rotation().T + np.array([pose.x_mm, pose.y_mm, pose.z_mm])
        mm = np.array([x - FACE_MM[0], y - FACE_MM[1], x + FACE_MM[2], y + FACE_MM[3]]) / max(z, NEAR_MM)
        boxes.append(mm * np.tile([camera.fx, camera.fy], 2) + np.tile([camera.cx, camera.cy], 2))
    low, high = np.min(boxes, axis=0)[:2].astype(int), np.max(boxes, axis=0)[2:].astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


@lru_cache(maxsize=8)
def _decoder(preset: Preset) -> Decoder:
    return Decoder(reference(preset), calibration(preset))
