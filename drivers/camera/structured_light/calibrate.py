"""Makes the calibration of one module from pictures of a flat target at three or more known distances.

    1. Along which line do dots move between two distances? All these lines meet in one point: where the projector
       stands. The rotation that lays them along rows is the rectification; the target's own tilt does not enter.
    2. How far do they move? Disparity against 1/z is a line; its slope is focal length times baseline.
    3. The picture nearest the reference distance, rectified, and carried from the target's plane, square to the raw
       lens, to one square to the rectified one, is the reference.
    4. With these every distance is decoded, as it will be in service, and its plane measured.
    5. How bright the target is at each distance, and what it is said to send back, make the flood's response; its
       dots, before rectification, tell how large one is.

Rules kept here:
- Distances are from the lens, along its axis, and the target is square to that axis: what it is off by, the module
  will measure wrong for good. Tilts that differ between distances show and are refused; one common to all does not.
- The lens itself (focal length, distortion) is its maker's file.
- Nobody here knows the target's reflectance: what it is said to be is believed, and kept in the file.
- Beyond a limit it is refused, with the figure, the limit and what to look for; a module is made all the same, so that
  the figures can be looked at, but is not to be used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np

from drivers.camera.flood import WHITE, lit_of, response_of
from drivers.camera.interface import Intrinsics
from drivers.camera.plane import fit_plane
from drivers.camera.structured_light.calibration import Calibration, CalibrationError
from drivers.camera.structured_light.decoder import Decoder
from drivers.camera.structured_light.dot_size import dot_sigma_px
from drivers.camera.structured_light.drift import dots_per_flood
from drivers.camera.structured_light.flat_target import F64, U8, Moves, Progress, Stack, moves, nothing
from drivers.camera.structured_light.module_file import Lens, MeasuredPlane, Module, make_module
from drivers.camera.structured_light.rectify import Rectifier

REFERENCE_MM = 500.0
NEAREST_MM, FARTHEST_MM = 294.0, 1070.0  # the capture volume, 0.30 to 1.0 m, and some
# Limits, and why.
MIN_DISTANCES = 3  # two lie on any line
MIN_RATIO = 1.4  # farthest over nearest: less, and a millimetre of tape becomes a percent of baseline
MIN_PIECES = 60  # of 252 found again
MAX_TURN_DEG = 6.0  # no module is built so; a lens file of another module is likelier
MAX_ROWS_PX = 0.25  # left after rectification: half of what begins to cost depth
MAX_OFF = 0.01  # of the distance, decoded against set up: a tape is better
MAX_RMS = 0.003  # of the distance: 1.5 mm at 0.5 m, five times what the simulated module has
MIN_VALID = 0.9
MAX_RESPONSE_OFF = 0.15  # of the flood between one distance and all: a light beside the lens is not one in it
MAX_TILT_DEG = 1.0  # of the decoded plane against square: 0.5 m of it is 9 mm nearer on one side


@dataclass(frozen=True)
class Calibrated:
    """What came of it.

    Attributes:
        module: the calibration file's content, with the figures of every distance in `module.planes`.
        roll_deg: how far the lens was found turned about its axis against the line to the projector.
        yaw_deg: how far that line was found leaning out of the sensor's plane.
        tilts_deg: of the decoded planes against square, in the order of `module.planes`.
        refusals: why this must not be used, plain sentences; empty where it may.
    """

    module: Module
    roll_deg: float
    yaw_deg: float
    tilts_deg: tuple[float, ...]
    refusals: tuple[str, ...]


def calibrate(
    stacks: Sequence[Stack],
    lens: Lens,
    serial: str,
    reference_mm: float = REFERENCE_MM,
    progress: Progress = nothing,
    reflectance: float = WHITE,
) -> Calibrated:
    """Calibrate one module.

    Args:
        stacks: from `take_stack`, at `MIN_DISTANCES` distances or more.
        lens: of the raw image, from the module's maker (`load_lens`).
        serial: of the sensor.
        reference_mm: the stack nearest to this becomes the reference.
        progress: told of stacks done, of how many.
        reflectance: of the target at the flood's wavelength, 0..1.

    Raises:
        CalibrationError: nothing can be made of these: too few distances, too alike, or no dots found again.
    """
    stacks = sorted(stacks, key=lambda one: one.distance_mm)
    _check_distances([one.distance_mm for one in stacks])
    base = min(stacks, key=lambda one: abs(one.distance_mm - reference_mm))
    others = [one for one in stacks if one is not base]
    towards = _towards_projector(base, others, lens)
    turn = _turn(towards)
    rectify = Rectifier(lens, turn, lens.intrinsics)
    baseline_mm = _baseline(base, others, lens.intrinsics, turn, rectify)
    calibration = _spanning(lens.intrinsics, baseline_mm, base.distance_mm)
    reference = _reference(base, lens, turn, calibration)
    # the decoder measures disparity better than whole pieces do: once more with it
    baseline_mm *= _correction(stacks, rectify, reference, calibration, turn)
    calibration = _spanning(lens.intrinsics, baseline_mm, base.distance_mm)
    reference = _reference(base, lens, turn, calibration)
    decoder = Decoder(reference, calibration)
    planes, tilts = [], []
    for done, stack in enumerate(stacks):
        plane, tilt_deg = _measured(stack, rectify, decoder, reference, calibration, turn)
        plane = msgspec.structs.replace(plane, flood_response=_response(stack, lens.intrinsics, reflectance))
        planes.append(plane)
        tilts.append(tilt_deg)
        progress(done + 1, len(stacks))
    strength = dots_per_flood(base.cycle)
    if strength is None:
        raise CalibrationError("calibration: the flood is not seen on the target")
    responses = [plane.flood_response for plane in planes if plane.flood_response is not None]
    sigma_px = dot_sigma_px(base.cycle.dots.image)
    if not responses:
        raise CalibrationError("calibration: the flood is too bright or too dim on the target; change `exposure_us`")
    if sigma_px is None:
        raise CalibrationError("calibration: single dots cannot be made out; is the lens in focus?")
    module = make_module(
        serial=serial,
        lens=lens,
        turn=turn,
        calibration=calibration,
        reference=reference,
        dots_per_flood=strength,
        flood_response=round(float(np.median(responses)), 6),
        dot_sigma_px=round(sigma_px, 4),
        target_reflectance=reflectance,
        planes=tuple(planes),
    )
    roll_deg, yaw_deg = (float(np.degrees(np.arctan2(turn[k, 0], turn[0, 0]))) for k in (1, 2))
    refusals = tuple(_refusals(module, roll_deg, yaw_deg, tilts))
    return Calibrated(module, roll_deg, yaw_deg, tuple(tilts), refusals)


def _check_distances(distances: list[float]) -> None:
    if len(set(distances)) < MIN_DISTANCES:
        raise CalibrationError(f"calibration: {len(set(distances))} distances, at least {MIN_DISTANCES} are needed")
    if distances[-1] < MIN_RATIO * distances[0]:
        raise CalibrationError(
            f"calibration: distances from {distances[0]:g} to {distances[-1]:g} mm are too alike; "
            f"the farthest must be {MIN_RATIO} times the nearest"
        )


def _found(before: U8, after: U8, stack: Stack) -> Moves:
    found = moves(before, after)
    if len(found.places) < MIN_PIECES:
        raise CalibrationError(
            f"calibration: at {stack.distance_mm:g} mm only {len(found.places)} pieces of the pattern are found; "
            "does a plain, light target fill the view, and is the lens file this module's?"
        )
    return found


def _towards_projector(base: Stack, others: list[Stack], lens: Lens) -> F64:
    """(3,) unit vector in raw axes: the point at which all lines meet along which dots move."""
    straight, camera = Rectifier(lens, np.eye(3), lens.intrinsics), lens.intrinsics
    before = straight(base.cycle.dots.image)
    rows, right = [], []
    for stack in others:
        found = _found(before, straight(stack.cycle.dots.image), stack)
        x, y = ((found.places - [camera.cx, camera.cy]) / [camera.fx, camera.fy]).T
        dx, dy = (found.steps / [camera.fx, camera.fy]).T
        # (b / b_z - p) is parallel to the step: dy b_x - dx b_y - (x dy - y dx) b_z = 0, with b_x = 1
        rows.append(np.column_stack([dx, x * dy - y * dx]))
        right.append(dy)
    b_y, b_z = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    towards = np.array([1.0, b_y, b_z])
    return np.asarray(towards / np.linalg.norm(towards))


def _turn(towards: F64) -> F64:
    """(3, 3): the smallest rotation that carries `towards` to +x."""
    axis = np.cross(towards, [1.0, 0.0, 0.0])
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        return np.eye(3)
    return np.asarray(cv2.Rodrigues(axis / sine * np.arctan2(sine, towards[0]))[0], np.float64)


def _inverse_mm(distance_mm: float, turn: F64, camera: Intrinsics, column: F64, row: F64) -> F64:
    """1/z at rectified pixels of a plane that stands square to the raw lens at `distance_mm`."""
    normal = turn[:, 2]
    x, y = (column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy
    return np.asarray((normal[0] * x + normal[1] * y + normal[2]) / distance_mm)


def _baseline(base: Stack, others: list[Stack], camera: Intrinsics, turn: F64, rectify: Rectifier) -> float:
    """Slope of disparity against 1/z, by focal length."""
    before = rectify(base.cycle.dots.image)
    at = np.array([camera.cx]), np.array([camera.cy])
    steps, inverses = [], []
    for stack in others:
        a, b, c = _found(before, rectify(stack.cycle.dots.image), stack).plane(0)
        steps.append(a + b * camera.cx + c * camera.cy)
        inverse, its = (_inverse_mm(one.distance_mm, turn, camera, *at)[0] for one in (stack, base))
        inverses.append(inverse - its)
    slope = float(np.dot(steps, inverses) / np.dot(inverses, inverses))
    return slope / camera.fx


def _spanning(camera: Intrinsics, baseline_mm: float, reference_mm: float) -> Calibration:
    return Calibration.spanning(camera, baseline_mm, reference_mm, NEAREST_MM, FARTHEST_MM)


def _reference(base: Stack, lens: Lens, turn: F64, calibration: Calibration) -> U8:
    """(H, W) uint8: the dots as they would be on a plane square to the rectified lens."""
    camera = calibration.intrinsics
    column, row = cv2.initUndistortRectifyMap(
        lens.matrix, np.array(lens.distortion), turn, lens.matrix, (camera.width, camera.height), cv2.CV_32FC1
    )
    y, x = np.indices((camera.height, camera.width)).astype(np.float64)
    inverse = _inverse_mm(base.distance_mm, turn, camera, x, y)
    seen_at = (x - calibration.product * (1 / calibration.reference_mm - inverse)).astype(np.float32)
    at = seen_at, y.astype(np.float32)
    edge = cv2.BORDER_REPLICATE
    maps = [cv2.remap(one, *at, interpolation=cv2.INTER_LINEAR, borderMode=edge) for one in (column, row)]
    return np.asarray(cv2.remap(base.cycle.dots.image, maps[0], maps[1], cv2.INTER_LINEAR), np.uint8)


def _correction(
    stacks: Sequence[Stack], rectify: Rectifier, reference: U8, calibration: Calibration, turn: F64
) -> float:
    """True baseline over the calibration's: decoded disparities against 1/z."""
    decoder, camera = Decoder(reference, calibration), calibration.intrinsics
    rows, columns = slice(camera.height // 3, -camera.height // 3), slice(camera.width // 3, -camera.width // 3)
    y, x = np.indices((camera.height, camera.width))[:, rows, columns].astype(np.float64)
    decoded, true = [], []
    for stack in stacks:
        region = columns.start, rows.start, camera.width + columns.stop, camera.height + rows.stop
        depth_mm = decoder.decode(rectify(stack.cycle.dots.image), region)[rows, columns]
        known = np.isfinite(depth_mm)
        if not known.any():
            continue
        inverse = _inverse_mm(stack.distance_mm, turn, camera, x, y)
        decoded.append(float(np.median((1 / depth_mm - 1 / calibration.reference_mm)[known])))
        true.append(float(np.median((inverse - 1 / calibration.reference_mm)[known])))
    if not np.any(true):
        raise CalibrationError("calibration: nothing was decoded with it; is the lens file this module's?")
    return float(np.dot(decoded, true) / np.dot(true, true))


def _measured(
    stack: Stack, rectify: Rectifier, decoder: Decoder, reference: U8, calibration: Calibration, turn: F64
) -> tuple[MeasuredPlane, float]:
    """One distance as it will be in service, from a single exposure; and its tilt against square, degrees."""
    plane = fit_plane(decoder.decode(rectify(stack.single)), calibration.intrinsics)
    if plane is None:
        raise CalibrationError(f"calibration: at {stack.distance_mm:g} mm the target is not decoded")
    leaning = float(np.degrees(np.arccos(np.clip(turn[2, 2], -1, 1))))  # what square to the raw lens is by itself
    found = _found(reference, rectify(stack.cycle.dots.image), stack)
    return MeasuredPlane(
        distance_mm=stack.distance_mm,
        measured_mm=round(plane.distance_mm * float(turn[2, 2]), 2),
        rms_mm=round(plane.rms_mm, 3),
        valid=round(plane.valid, 4),
        rows_px=round(float(np.sqrt(np.mean(found.steps[:, 1] ** 2))), 3),
    ), abs(plane.tilt_deg - leaning)


def _response(stack: Stack, camera: Intrinsics, reflectance: float) -> float | None:
    """The flood's response as this distance has it; the lens bends the picture's middle too little to matter."""
    flood, dark = stack.cycle.flood, stack.cycle.dark
    without = dark.image * (dark.light / flood.light)
    lit = lit_of(flood.image / 255, without / 255, 1 / flood.light)
    found = response_of(lit, camera, stack.distance_mm, reflectance)
    return round(found, 6) if found is not None else None


def _refusals(module: Module, roll_deg: float, yaw_deg: float, tilts: list[float]) -> list[str]:
    """Every limit that is passed."""
    said = []
    for name, turned in (("roll", roll_deg), ("yaw", yaw_deg)):
        if abs(turned) > MAX_TURN_DEG:
            said.append(f"{name} of the lens is {turned:.1f} degrees, at most {MAX_TURN_DEG:g}: another module's lens?")
    for plane, tilt_deg in zip(module.planes, tilts, strict=True):
        at, distance_mm = f"at {plane.distance_mm:g} mm", plane.distance_mm
        off = abs(plane.measured_mm - distance_mm) / distance_mm
        if off > MAX_OFF:
            said.append(
                f"{at} it measures {plane.measured_mm:.1f} mm, {off:.1%} off, at most {MAX_OFF:.0%}: measured right?"
            )
        if plane.rms_mm > MAX_RMS * distance_mm:
            said.append(f"{at} plane RMS is {plane.rms_mm:.2f} mm, at most {MAX_RMS * distance_mm:.2f}: is it flat?")
        if plane.rows_px > MAX_ROWS_PX:
            said.append(f"{at} rows are {plane.rows_px:.2f} px off, at most {MAX_ROWS_PX}: is the lens file right?")
        if plane.valid < MIN_VALID:
            said.append(f"{at} {plane.valid:.0%} is decoded, at least {MIN_VALID:.0%}: does the target fill the view?")
        if plane.flood_response is not None:
            off = plane.flood_response / module.flood_response - 1
            if abs(off) > MAX_RESPONSE_OFF:
                said.append(
                    f"{at} the flood is {off:+.0%} off what all distances say, at most {MAX_RESPONSE_OFF:.0%}: "
                    "is the target matt, does it fill the view, does the exposure stay?"
                )
        if tilt_deg > MAX_TILT_DEG:
            said.append(f"{at} the target is tilted by {tilt_deg:.1f} degrees, at most {MAX_TILT_DEG:g}: set it square")
    return said
