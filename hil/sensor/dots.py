"""The dot exposure: where a projector's dots fall, which of them the camera sees, and how far their light spreads.

    electrons of a dot = P t rho/pi cos_v cos^3(theta) A_lens / z^2 electrons_per_joule

A dot is a thin beam of fixed power: its light on the surface does not depend on distance or incidence, what the lens
catches of it does. A share comes back from the surface itself, sharp, with laser speckle; the rest comes out of the
material around it, as its radii say. Where something stands in a beam's way, nothing behind it gets the dot.

Not modelled: the spread is round in the image (a slanted surface would foreshorten it) and does not stop at edges;
light between surfaces; higher orders of the projector's diffraction.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import hypot, pi

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.camera.structured_light import Calibration
from hil.sensor.jit import compiled
from hil.sensor.lens import glass
from hil.sensor.material import PAINT, Material, gaussians
from hil.sensor.optics import electrons_per_joule
from hil.sensor.pixels import read_out
from hil.sensor.presets import Preset
from hil.sensor.rasteriser import NOTHING, View, view
from hil.sensor.scene import Scene
from hil.sensor.surface import F32

WALL = PAINT
RANGE_MM = (294.0, 1070.0)  # what a module's search range covers
REFERENCE_FRAMES = 16
REFERENCE_PEAK = 0.8  # of full well: nothing of the reference is clipped
MARGIN = 1 / 8  # of the image's width: dots beyond its sides that enter it nearer or farther than the reference
CLOSEST = 0.617  # of the mean spacing: dots keep this distance
BRIGHTNESS = (0.75, 1.25)  # dots are not equally bright
EDGE_PX = 1.5  # step in disparity between neighbours that is an edge, not a slope
F0 = 0.04  # mirrored share at normal incidence, refractive index 1.5

FRACTIONS = 256  # of a pixel: how finely dots are placed

# Light that spreads is drawn as small spots on images of 1, 1/2 ... 1/16 size, blurred by the same kernel.
LEVELS = 5
_BLUR_PX = 1.2
_LEVEL_VARIANCE = _BLUR_PX**2 + 1 / 6  # of one level in its own pixels; 1/6 is the spot's own
_BANK = 1 << 21


@dataclass(frozen=True, eq=False)
class Dots:
    """The projector's pattern: `rays` (N, 2) float32, x/z and y/z of each beam; `brightness` (N,) float32, mean 1."""

    rays: F32
    brightness: F32


@lru_cache(maxsize=8)
def pattern(preset: Preset) -> Dots:
    """The pseudo-random pattern of this preset's one projector."""
    camera, rng = preset.intrinsics, np.random.default_rng([0xD075, *preset.name.encode()])
    margin, height = round(MARGIN * camera.width), camera.height
    width = camera.width + 2 * margin
    wanted = round(preset.projector.count * width / camera.width)
    closest = CLOSEST * (camera.width * height / preset.projector.count) ** 0.5
    candidates = rng.random((12 * wanted, 2), dtype=np.float32) * np.array([width, height], np.float32)
    places = candidates[_keep_apart(candidates, closest, wanted, width, height)]
    places = places[rng.random(len(places)) >= preset.projector.missing]
    places = places[np.argsort(places[:, 1])]  # row by row: what `_shine` reads then lies together
    # where the camera sees it on the reference plane
    columns = places[:, 0] - margin - camera.cx - camera.fx * preset.baseline_mm / preset.reference_mm
    rays = np.stack([columns / camera.fx, (places[:, 1] - camera.cy) / camera.fy], axis=1)
    return Dots(rays.astype(np.float32), rng.uniform(*BRIGHTNESS, len(rays)).astype(np.float32))


def expose_dots(view: View, preset: Preset, rng: np.random.Generator) -> F32:
    """(H, W) float32 electrons that the dots leave in `preset.dot_exposure_us`, without lens blur and other light."""
    camera, dots = preset.intrinsics, pattern(preset)
    height, width = camera.height, camera.width
    sharp = np.zeros((height, width), np.float32)
    levels = tuple(np.zeros((-(-height >> k), -(-width >> k)), np.float32) for k in range(LEVELS))
    disparity = view.inverse_depth * np.float32(camera.fx * preset.baseline_mm)
    start = int(rng.integers(0, _BANK - sharp.size))
    speckle = _grain()[start : start + sharp.size].reshape(sharp.shape)
    _shine(
        dots.rays, dots.brightness, disparity, disparity.max(axis=1), view.normal, view.albedo, view.gloss, view.owner,
        _spreads(view.materials, preset.scattering), camera.fx, camera.fy, camera.cx, camera.cy, preset.baseline_mm,
        _electrons(preset), preset.projector.sigma_px, _profiles(preset.projector.sigma_px), speckle,
        np.float32(preset.projector.speckle), sharp, levels,
    )  # fmt: skip
    return sharp + _gathered(levels) if preset.scattering else sharp


def calibration(preset: Preset) -> Calibration:
    """What the maker of this module would ship with it."""
    return Calibration.spanning(preset.intrinsics, preset.baseline_mm, preset.reference_mm, *RANGE_MM)


@lru_cache(maxsize=8)
def reference(preset: Preset) -> NDArray[np.uint8]:
    """(H, W) uint8: the pattern on a white wall at the reference distance, mean of 16 exposures, well rectified."""
    lens = msgspec.structs.replace(preset.lens, misaligned_px=(0.0, 0.0))
    preset = msgspec.structs.replace(preset, lens=lens)
    rng = np.random.default_rng([0x2EF, *preset.name.encode()])
    through, wall = glass(preset), view(Scene(wall_mm=preset.reference_mm), preset.intrinsics)
    electrons = through.blurred(expose_dots(wall, preset, rng))
    electrons *= np.float32(REFERENCE_PEAK * preset.pixel.full_well_e / electrons.max())
    bent = through.bend(electrons)
    frames = [through.rectify(read_out(bent, preset, 1.0, rng)) for _ in range(REFERENCE_FRAMES)]
    image: NDArray[np.uint8] = np.rint(np.mean(frames, axis=0)).astype(np.uint8)
    image.flags.writeable = False
    return image


def dot_sigma_px(preset: Preset) -> float:
    """`CameraInfo.dot_sigma_px` of this sensor: the projector's own, and the lens's blur."""
    return hypot(preset.projector.sigma_px, preset.lens.psf_px)


def _electrons(preset: Preset) -> float:
    """Electrons of a mean dot on a white matt surface 1 mm away: times albedo, cosines and 1/z^2 it is a dot's."""
    aperture_mm = preset.intrinsics.fx * preset.pixel.pitch_um * 1e-3 / preset.lens.f_number
    joule = preset.projector.power_uw * 1e-6 * preset.dot_exposure_us * 1e-6
    return joule * electrons_per_joule(preset) / pi * pi / 4 * aperture_mm**2


def _spreads(materials: tuple[Material, ...], scattering: bool) -> F32:
    """(M + 1, 1 + 2 G) float32: sharp share, then weight and variance (mm^2) of each Gaussian; the last is the wall."""
    rows = []
    for material in (*materials, WALL):
        sums = gaussians(material).astype(np.float32)
        sharp = material.sharp if scattering else 1.0
        rows.append([sharp, *((1 - sharp) * sums[:, 0]), *(sums[:, 1] ** 2)])
    return np.array(rows, np.float32)


@lru_cache(maxsize=8)
def _profiles(sigma_px: float) -> F32:
    """(FRACTIONS + 1, 7) float32: a dot's light along 7 pixels, by where between two pixel borders its middle is."""
    off = np.linspace(-0.5, 0.5, FRACTIONS + 1)[:, None]
    profile = np.exp(-((np.arange(-3, 4) - off) ** 2) / (2 * sigma_px**2)) / (2 * pi * sigma_px**2) ** 0.5
    return np.asarray(profile, np.float32)


def _gathered(levels: tuple[F32, ...]) -> F32:
    """The sum of all levels at full size, each blurred."""
    total = np.zeros((1, 1), np.float32)
    for level in reversed(levels):
        size = (level.shape[1], level.shape[0])
        # a pixel of the coarser level covers four of this one
        total = np.asarray(cv2.resize(total, size, interpolation=cv2.INTER_LINEAR), np.float32) / np.float32(4)
        total += np.asarray(cv2.GaussianBlur(level, (7, 7), _BLUR_PX), np.float32)
    return total


@lru_cache(maxsize=1)
def _grain() -> F32:
    return np.random.default_rng(0x59EC).standard_normal(_BANK, dtype=np.float32)


@compiled
def _keep_apart(places: F32, closest: float, wanted: int, width: int, height: int) -> NDArray[np.bool_]:
    """Which of `places` (N, 2) stay when each must keep its distance from those kept before it, `wanted` at most."""
    cell = closest / np.sqrt(2.0)
    columns, rows = int(width / cell) + 1, int(height / cell) + 1
    grid = np.full((rows, columns), -1, np.int32)
    kept = np.zeros(len(places), np.bool_)
    count = 0
    for n in range(len(places)):
        x, y = places[n, 0], places[n, 1]
        column, row = int(x / cell), int(y / cell)
        free = True
        for j in range(max(0, row - 2), min(rows, row + 3)):
            for i in range(max(0, column - 2), min(columns, column + 3)):
                m = grid[j, i]
                if m >= 0 and (places[m, 0] - x) ** 2 + (places[m, 1] - y) ** 2 < closest * closest:
                    free = False
        if free:
            grid[row, column] = n
            kept[n] = True
            count += 1
            if count == wanted:
                break
    return kept


@compiled
def _landing(disparity: F32, furthest: F32, x0: float, y: float) -> float:
    """Column at which the beam that starts at column `x0` of row `y` lands, or -1 where the camera cannot see it land.

    A beam's image runs along its row from the right (near) to `x0` (infinity): its first meeting with the surface
    is where it lands. If it slips through an edge, it lands on something hidden from the camera.
    """
    height, width = disparity.shape
    j = int(np.floor(y))
    if j < 0 or j >= height - 1:
        return -1.0
    share = y - j
    before = np.float32(0)
    gap_before = np.float32(-1)
    i = min(width - 1, int(x0 + max(furthest[j], furthest[j + 1])) + 1)
    while i >= 0 and i >= x0:
        above, below = disparity[j, i], disparity[j + 1, i]
        weight = share if abs(above - below) < EDGE_PX else np.round(share)  # never between two surfaces
        here = above + (below - above) * weight
        gap = i - x0 - here
        if gap <= 0:
            if gap_before < 0 or abs(here - before) > EDGE_PX:
                return -1.0
            return i - gap / (gap_before - gap)  # type: ignore[no-any-return]
        before, gap_before = here, gap
        i -= 1
    return -1.0


@compiled
def _spot(image: F32, x: float, y: float, level: int, amount: float) -> None:
    """Share `amount` among the four pixels of `image`, 2^level times smaller, about the full-size place (x, y)."""
    if amount <= 0:
        return
    size = float(1 << level)
    x, y = (x + 0.5) / size - 0.5, (y + 0.5) / size - 0.5
    i, j = int(np.floor(x)), int(np.floor(y))
    right, below = x - i, y - j
    for dj in range(2):
        for di in range(2):
            if 0 <= i + di < image.shape[1] and 0 <= j + dj < image.shape[0]:
                image[j + dj, i + di] += amount * (right if di else 1 - right) * (below if dj else 1 - below)


@compiled
def _shine(
    rays: F32, brightness: F32, disparity: F32, furthest: F32, normal: F32, albedo: F32, gloss: F32,
    owner: NDArray[np.int32], spreads: F32, fx: float, fy: float, cx: float, cy: float, baseline_mm: float,
    electrons: float, sigma: float, profiles: F32, speckle: F32, contrast: np.float32, sharp: F32,
    levels: tuple[F32, ...],
) -> None:  # fmt: skip
    height, width = disparity.shape
    sums = (spreads.shape[1] - 1) // 2
    for n in range(len(rays)):
        u, v = rays[n, 0], rays[n, 1]
        y = cy + fy * v
        x = _landing(disparity, furthest, cx + fx * u, y)
        if x < 0:
            continue
        i, j = int(x + 0.5), min(int(y + 0.5), height - 1)
        if i >= width or disparity[j, i] <= 0:
            continue
        z = fx * baseline_mm / (x - cx - fx * u)
        rx, ry = (x - cx) / fx, v
        axial = 1 / np.sqrt(1 + rx * rx + ry * ry)
        nx, ny, nz = normal[j, i, 0], normal[j, i, 1], normal[j, i, 2]
        seen = -(nx * rx + ny * ry + nz) * axial
        if seen <= 0:
            continue
        back = electrons * brightness[n] * axial**3 / (z * z)
        diffuse = back * albedo[j, i] * seen
        spread = spreads[owner[j, i] if owner[j, i] != NOTHING else spreads.shape[0] - 1]
        peak = diffuse * spread[0]
        incident = -(nx * u + ny * v + nz) / np.sqrt(1 + u * u + v * v)
        if gloss[j, i] > 0 and incident > 0.05:
            peak += back * _mirrored(nx, ny, nz, u, v, rx, ry, gloss[j, i]) * seen / incident
        for k in range(sums):
            amount = diffuse * spread[1 + k]
            variance = spread[1 + sums + k] * (fx / z) ** 2 + sigma * sigma
            # between two sizes of spot the light is shared so that the variance comes out right
            level, lower, upper = 0, np.float32(sigma * sigma), np.float32(_LEVEL_VARIANCE)
            while variance > upper and level < LEVELS - 1:
                level, lower, upper = level + 1, upper, upper * np.float32(4)
            larger = amount * min((variance - lower) / (upper - lower), np.float32(1))
            _spot(levels[level], x, y, level, larger)
            if level > 0:
                _spot(levels[level - 1], x, y, level - 1, amount - larger)
            else:
                peak += amount - larger
        across, along = profiles[int((x - i + 0.5) * FRACTIONS)], profiles[int((y - j + 0.5) * FRACTIONS)]
        for q in range(max(0, j - 3), min(height, j + 4)):
            line = np.float32(peak) * along[q - j + 3]
            for p in range(max(0, i - 3), min(width, i + 4)):
                grain = max(np.float32(0), np.float32(1) + contrast * speckle[q, p])
                sharp[q, p] += line * across[p - i + 3] * grain


@compiled
def _mirrored(nx: float, ny: float, nz: float, u: float, v: float, rx: float, ry: float, gloss: float) -> float:
    """How much brighter than a white matt surface facing the lens the GGX lobe is: smoother the glossier."""
    incoming, outgoing = np.sqrt(1 + u * u + v * v), np.sqrt(1 + rx * rx + ry * ry)
    hx, hy, hz = u / incoming + rx / outgoing, v / incoming + ry / outgoing, 1 / incoming + 1 / outgoing
    facing = max(0.0, -(nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz))
    alpha = (0.6 - 0.5 * gloss) ** 2
    spread = facing * facing * (alpha * alpha - 1) + 1
    return gloss * F0 / 4 * alpha * alpha / (spread * spread)  # type: ignore[no-any-return]
