"""Checks the calibration of one module against a flat target: has it been knocked, does it still measure a plane?

Rules kept here:
- The target is plain, light, matt, fills the middle, and stands anywhere in range; its distance need not be known.
- What is wrong with the light raises its cause, as in service; what has drifted is measured and refused beyond a limit.
"""

from dataclasses import dataclass

import numpy as np

from drivers.camera.flood import WHITE, lit_of, response_of
from drivers.camera.interface import CameraLostError, CameraNotFoundError
from drivers.camera.plane import Plane, fit_plane
from drivers.camera.structured_light.decoder import Decoder
from drivers.camera.structured_light.drift import ADVISE_DOTS, ADVISE_PX, Drift
from drivers.camera.structured_light.exposures import ExposureSource
from drivers.camera.structured_light.flat_target import Progress, nothing, take_cycles
from drivers.camera.structured_light.module_file import Module
from drivers.camera.structured_light.probe import Probe
from drivers.camera.structured_light.rectify import Rectifier
from drivers.camera.structured_light.sorter import Sorted

CYCLES = 8
# Limits, and why. Rows and dots: as soon as service would advise.
MAX_RMS = 0.004  # of the distance: 2 mm at 0.5 m; a calibration is made with less than 0.003
MIN_VALID = 0.8  # of the middle
MAX_FLOOD_OFF = 0.2  # a face's albedo is off by as much: half of what skin itself spans


@dataclass(frozen=True)
class Checked:
    """What was measured.

    Attributes:
        distance_mm: of the target, along the optical axis.
        tilt_deg: of the target against square.
        rms_mm: of one exposure's depth about the plane.
        valid: share of the middle that was decoded, 0..1.
        rows_px: how much lower dots are than in the reference.
        dots: light of the dots, relative to when calibrated.
        flood: light of the flood, the same; None where it is too bright or too dim to say.
        refusals: why the calibration must be made again, plain sentences; empty where it holds.
    """

    distance_mm: float | None
    tilt_deg: float | None
    rms_mm: float | None
    valid: float
    rows_px: float
    dots: float | None
    flood: float | None
    refusals: tuple[str, ...]


def check(
    source: ExposureSource,
    module: Module,
    cycles: int = CYCLES,
    progress: Progress = nothing,
    reflectance: float = WHITE,
) -> Checked:
    """Look at a flat target of `reflectance` through `source`, which is stopped before and afterwards.

    Raises:
        CameraNotFoundError: the calibration is another sensor's (`wrong_camera`).
        CameraLostError: the sensor or its light is at fault, or the dots are not those of the calibration.
    """
    if source.serial != module.serial:
        raise CameraNotFoundError(
            f"sensor {source.serial}: the calibration is of sensor {module.serial}", "wrong_camera"
        )
    calibration, reference = module.calibration, module.reference()
    rectify = Rectifier(module.lens, module.turn, calibration.intrinsics)
    probe = Probe(reference, calibration)
    drift = Drift(module.dots_per_flood)
    taken = take_cycles(source, probe, rectify, module.dots_per_flood, cycles, progress)
    for cycle in taken:
        drift.add(cycle)
    if drift.rows_px is None:
        raise CameraLostError(f"sensor {source.serial}: no dots are seen", "weak_dots")
    depth_mm = Decoder(reference, calibration).decode(taken[-1].dots.image)
    plane = fit_plane(depth_mm, calibration.intrinsics)
    valid = plane.valid if plane is not None else 0.0
    said = []
    if abs(drift.rows_px) > ADVISE_PX:
        said.append(f"rows are off by {drift.rows_px:+.2f} px, at most {ADVISE_PX}: calibrate again")
    if drift.dots is not None and drift.dots < ADVISE_DOTS:
        said.append(f"the dots have {drift.dots:.0%} of their light, at least {ADVISE_DOTS:.0%}: clean the window")
    if valid < MIN_VALID:
        said.append(f"{valid:.0%} of the middle is decoded, at least {MIN_VALID:.0%}: calibrate again")
    flood = _flood(taken[-1], module, plane, reflectance) if plane is not None else None
    if flood is not None and abs(flood - 1) > MAX_FLOOD_OFF:
        said.append(
            f"the flood has {flood:.0%} of its light, at most {MAX_FLOOD_OFF:.0%} off: clean the window, "
            "is the target's reflectance right?"
        )
    if plane is not None and plane.rms_mm > MAX_RMS * plane.distance_mm:
        said.append(f"plane RMS is {plane.rms_mm:.2f} mm, at most {MAX_RMS * plane.distance_mm:.2f}: calibrate again")
    return Checked(
        distance_mm=plane.distance_mm if plane is not None else None,
        tilt_deg=plane.tilt_deg if plane is not None else None,
        rms_mm=plane.rms_mm if plane is not None else None,
        valid=valid,
        rows_px=float(np.float64(drift.rows_px)),
        dots=drift.dots,
        flood=flood,
        refusals=tuple(said),
    )


def _flood(cycle: Sorted, module: Module, plane: Plane, reflectance: float) -> float | None:
    """Light of the flood, relative to when calibrated."""
    without = cycle.dark.image * (cycle.dark.light / cycle.flood.light)
    lit = lit_of(cycle.flood.image / 255, without / 255, 1 / cycle.flood.light)
    found = response_of(lit, module.calibration.intrinsics, plane.distance_mm, reflectance, plane.tilt_deg)
    return found / module.flood_response if found is not None else None
