"""How bright a flat target of known reflectance is in the flood: what tells skin from glass by its brightness.

    lit = reflectance x response x level x cos(incidence) x (1 m / d)^2 x cos(off axis)^5.5

`lit` is what the flood alone adds, of full scale per millisecond at gain 1. The light is taken to come from the lens,
its cone to fall off as cos^1.5, the lens's own picture as cos^4.

Rules kept here:
- Only the middle of the picture counts: there the two fall-offs, which no real light has exactly, matter least.
- What is full, or not known, does not count; where too little is left there is no answer.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import FrameSet, Intrinsics
from drivers.camera.plane import fit_plane, middle

FALLOFF = 5.5
FULL = 0.98  # of full scale; brighter pixels say nothing
LEAST_KNOWN = 0.5  # of the middle's pixels
LEAST_LIT = 0.02  # of full scale, with the flood over without: less is noise and rounding
WHITE = 0.8
"""What matt white paper or board sends back at 940 and 850 nm, within some 0.05 (docs/structured-light.md)."""

_Number = TypeVar("_Number", np.float32, np.float64)


def lit_of(flood: NDArray[_Number], dark: NDArray[_Number], gathered_ms: float) -> NDArray[_Number]:
    """What the flood alone adds, of full scale per millisecond at gain 1; NaN where either picture is full.

    Args:
        flood: (H, W) of full scale, flood-lit.
        dark: (H, W) of full scale, as long and at the same gain, emitters off.
        gathered_ms: exposure time times gain of both.
    """
    known = (flood < FULL) & (dark < FULL)
    lit: NDArray[_Number] = np.where(known, (flood - dark) / gathered_ms, np.nan).astype(flood.dtype)
    return lit


def response_of(
    lit: NDArray[_Number], camera: Intrinsics, distance_mm: float, reflectance: float, tilt_deg: float = 0.0
) -> float | None:
    """What white at 1 m would be (`CameraInfo.flood_response`); None where too little is known of the middle.

    Args:
        lit: (H, W) as `lit_of` has it, of a flat target that fills the middle.
        camera: of that picture.
        distance_mm: of the target, along the optical axis.
        reflectance: of the target at the flood's wavelength, 0..1.
        tilt_deg: of the target against square.
    """
    box = middle(*lit.shape)
    seen = lit[box]
    v, u = np.mgrid[box].astype(np.float64)
    axial = 1 / np.sqrt(1 + ((u - camera.cx) / camera.fx) ** 2 + ((v - camera.cy) / camera.fy) ** 2)
    # on a plane square to the axis incidence is the angle off it, and d is z over its cosine
    white = np.cos(np.radians(tilt_deg)) * axial ** (1 + FALLOFF + 2) / (distance_mm / 1000) ** 2
    known = np.isfinite(seen)
    if known.mean() < LEAST_KNOWN:
        return None
    found = float(np.median((seen / white)[known])) / reflectance
    return found if found > 0 else None


def measured(frames: FrameSet, reflectance: float = WHITE) -> float | None:
    """`CameraInfo.flood_response` from one frame of a flat target in the middle, by the frame's own depth.

    None without a dark exposure, without depth, without light of ours, or where the picture is full.
    """
    plane = fit_plane(frames.depth_mm, frames.intrinsics)
    if plane is None or frames.ambient is None or not frames.camera.flood or frames.emitter.flood <= 0:
        return None
    full = np.float32(np.iinfo(frames.ir.dtype).max)
    flood, dark = (image.astype(np.float32) / full for image in (frames.ir, frames.ambient))
    box = middle(*flood.shape)
    if float(np.median((flood - dark)[box])) < LEAST_LIT or frames.exposure_us <= 0 or frames.gain <= 0:
        return None
    lit = lit_of(flood, dark, frames.exposure_us / 1000 * frames.gain)
    at_full = response_of(lit, frames.intrinsics, plane.distance_mm, reflectance, plane.tilt_deg)
    return at_full / frames.emitter.flood if at_full is not None else None
