"""From a geometry image to electrons: the flood, the sun and the lamps on surfaces, seen through a preset's lens.

    E_flood = P_opt g(theta) / (Omega d^2),  g = cos^1.5          irradiance on the surface, W/m2
    L  = E (rho/pi cos + f_GGX cos)                               radiance towards the lens
    Ne = pi L / (4 N^2 + 1) tau A_pix t QE lambda/(h c) cos^4     electrons per pixel

Not modelled: light between surfaces, shadows of lamps, polarisation, lens flare.
"""

from dataclasses import dataclass
from math import cos, pi, radians
from typing import TypeAlias

import numpy as np

from hil.sensor.flood import EMITTER_MM
from hil.sensor.jit import compiled
from hil.sensor.presets import Preset
from hil.sensor.rasteriser import View
from hil.sensor.sun import Shade, reached, shade
from hil.sensor.surface import F32

CONE_SR = 2 * pi * (1 - cos(radians(38)))  # 76 degrees across: 1 W gives 3.0 W/m2 at 0.5 m
HC_J_M = 6.62607015e-34 * 299792458
F0 = 0.04  # mirrored share at normal incidence, refractive index 1.5

# single precision throughout the pixel loop: it is twice as fast
Single: TypeAlias = np.float32
_NONE, _ONE, _F0 = Single(0), Single(1), Single(F0)
_UNSHADED = Shade(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), Single(1), np.zeros((1, 1), np.float32))
_LED_X, _LED_Y, _LED_Z = (Single(mm) for mm in EMITTER_MM)


@dataclass(frozen=True, eq=False)
class Light:
    """Electrons per pixel and millisecond by source, each (H, W) float32, sharp and without noise.

    Attributes:
        flood: the flood at full level.
        sun: direct and scattered.
        lamps: mean over the flicker.
    """

    flood: F32
    sun: F32
    lamps: F32


def electrons_per_joule_m2(preset: Preset) -> float:
    """Electrons in an axial pixel per joule of light on a square metre of a white, matt surface."""
    area_m2 = (preset.pixel.pitch_um * 1e-6) ** 2
    return area_m2 * electrons_per_joule(preset) / (4 * preset.lens.f_number**2 + 1)


def electrons_per_joule(preset: Preset) -> float:
    """Electrons per joule of light that reaches the lens."""
    return preset.lens.transmission * preset.pixel.quantum_efficiency * preset.wavelength_nm * 1e-9 / HC_J_M


def flood_response(preset: Preset) -> float | None:
    """`CameraInfo.flood_response` of this sensor; None where it has no flood."""
    at_1m = preset.flood_w / CONE_SR * electrons_per_joule_m2(preset) * 1e-3
    return at_1m / preset.pixel.full_well_e if preset.flood_w > 0 else None


def light(view: View, preset: Preset) -> Light:
    """What each source contributes to every pixel of `view`."""
    shape = view.albedo.shape
    flood, sun, lamps = (np.zeros(shape, np.float32) for _ in range(3))
    camera, ambient = preset.intrinsics, preset.ambient
    per_ms = electrons_per_joule_m2(preset) * 1e-3
    towards = np.array(ambient.towards_sun, np.float32)
    towards /= np.linalg.norm(towards)
    sunlight = ambient.sun * ambient.sun_w_m2 * per_ms
    cast = shade(view, towards) if sunlight > 0 else _UNSHADED
    _light(
        view.inverse_depth, view.normal, view.albedo, view.gloss,
        Single(camera.fx), Single(camera.fy), Single(camera.cx), Single(camera.cy),
        Single(preset.flood_w / CONE_SR * 1e6 * per_ms), towards, Single(sunlight * ambient.direct),
        Single(sunlight * (1 - ambient.direct)), Single(ambient.indoor_w_m2 * per_ms),
        cast.axes, cast.corner_mm, cast.per_mm, cast.nearest_mm, flood, sun, lamps,
    )  # fmt: skip
    return Light(flood, sun, lamps)


@compiled
def mirrored(
    nx: Single, ny: Single, nz: Single, lx: Single, ly: Single, lz: Single, vx: Single, vy: Single, vz: Single,
    gloss: Single,
) -> Single:  # fmt: skip
    """`pi f_GGX cos` of a surface between unit light and view directions; smoother the glossier."""
    incident, seen = nx * lx + ny * ly + nz * lz, nx * vx + ny * vy + nz * vz
    if incident <= 0 or seen <= 0.02:
        return _NONE
    hx, hy, hz = lx + vx, ly + vy, lz + vz
    half = _ONE / np.sqrt(hx * hx + hy * hy + hz * hz)
    facing = (nx * hx + ny * hy + nz * hz) * half
    rough = Single(0.6) - Single(0.5) * gloss
    alpha = rough * rough
    spread = facing * facing * (alpha * alpha - _ONE) + _ONE
    dark = _ONE - (lx * hx + ly * hy + lz * hz) * half
    fresnel = _F0 + (_ONE - _F0) * dark * dark * dark * dark * dark
    k = alpha * Single(0.5)
    masked = incident / ((incident * (_ONE - k) + k) * (seen * (_ONE - k) + k))
    # pi D F G / (4 cos), G after Smith and Schlick with its view cosine cancelled
    return gloss * fresnel * alpha * alpha / (spread * spread) * masked * Single(0.25)  # type: ignore[no-any-return]


@compiled
def _light(
    inverse_depth: F32, normal: F32, albedo: F32, gloss: F32, fx: Single, fy: Single, cx: Single, cy: Single,
    power: Single, towards: F32, direct: Single, scattered: Single, indoor: Single,
    axes: F32, corner: F32, per_mm: Single, nearest: F32, flood: F32, sun: F32, lamps: F32,
) -> None:  # fmt: skip
    height, width = inverse_depth.shape
    sx, sy, sz = towards[0], towards[1], towards[2]
    for j in range(height):
        ry = (Single(j) - cy) / fy
        for i in range(width):
            if inverse_depth[j, i] <= 0:
                continue
            z = _ONE / inverse_depth[j, i]
            rx = (Single(i) - cx) / fx
            axial = _ONE / np.sqrt(_ONE + rx * rx + ry * ry)  # cosine of the pixel's own angle off the axis
            vignette = axial * axial * axial * axial
            nx, ny, nz = normal[j, i, 0], normal[j, i, 1], normal[j, i, 2]
            vx, vy, vz = -rx * axial, -ry * axial, -axial
            lx, ly, lz = _LED_X - rx * z, _LED_Y - ry * z, _LED_Z - z
            near = _ONE / np.sqrt(lx * lx + ly * ly + lz * lz)
            lx, ly, lz = lx * near, ly * near, lz * near
            incident = nx * lx + ny * ly + nz * lz
            if incident > 0:
                back = albedo[j, i] * incident
                if gloss[j, i] > 0:
                    back += mirrored(nx, ny, nz, lx, ly, lz, vx, vy, vz, gloss[j, i])
                emitted = max(-lz, _NONE)
                flood[j, i] = back * power * emitted * np.sqrt(emitted) * near * near * vignette
            lamps[j, i] = albedo[j, i] * indoor * vignette
            if direct > 0 or scattered > 0:
                back = albedo[j, i] * scattered
                incident = nx * sx + ny * sy + nz * sz
                if incident > 0 and reached(rx * z, ry * z, z, axes, corner, per_mm, nearest):
                    back += albedo[j, i] * incident * direct
                    if gloss[j, i] > 0:
                        back += direct * mirrored(nx, ny, nz, sx, sy, sz, vx, vy, vz, gloss[j, i])
                sun[j, i] = back * vignette
