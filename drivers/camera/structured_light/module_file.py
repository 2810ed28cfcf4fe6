"""The calibration file of one module: everything that was measured of it, and a digest over all of it.

Rules kept here:
- Strict JSON, bounded in size, frozen. What is missing, unknown, impossible or changed by hand is a CalibrationError.
- The digest is SHA-256 over the canonical content. It finds damage and mix-ups and is what `CameraInfo` reports; it
  is no signature: who can write the file can write its digest.
- It belongs to one sensor, by serial number.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from drivers.camera.interface import DotSigma, FloodResponse, Intrinsics
from drivers.camera.structured_light.calibration import Calibration, CalibrationError, within
from drivers.camera.structured_light.png import read_png, write_png

MAX_BYTES = 8 << 20  # twice what a noisy reference of 4 megapixels takes
MAX_PLANES = 32
NOT_SQUARE = 1e-6  # how far R R' may be from the identity

Nine = tuple[float, float, float, float, float, float, float, float, float]
Five = tuple[float, float, float, float, float]

_T = TypeVar("_T", bound=msgspec.Struct)


class Lens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lens before rectification: what `--lens` holds. Raises CalibrationError when built of impossible values.

    Attributes:
        intrinsics: of the raw image, pixels.
        distortion: k1, k2, p1, p2, k3 as OpenCV has them.
    """

    intrinsics: Intrinsics
    distortion: Five = (0.0, 0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Check every field."""
        lens = self.intrinsics
        within("lens.intrinsics.width", lens.width, 64, 4096)
        within("lens.intrinsics.height", lens.height, 64, 4096)
        within("lens.intrinsics.fx", lens.fx, 100, 10_000)
        within("lens.intrinsics.fy", lens.fy, 100, 10_000)
        within("lens.intrinsics.cx", lens.cx, 0, lens.width)
        within("lens.intrinsics.cy", lens.cy, 0, lens.height)
        for name, value in zip(("k1", "k2", "p1", "p2", "k3"), self.distortion, strict=True):
            within(f"lens.distortion {name}", value, -5, 5)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) camera matrix as OpenCV has it."""
        lens = self.intrinsics
        return np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])


class MeasuredPlane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the module made of the flat target at one distance when it was calibrated.

    Attributes:
        distance_mm: as it was set up.
        measured_mm: as it was decoded.
        rms_mm: of one exposure's depth about the plane.
        valid: share of the middle that was decoded, 0..1.
        rows_px: rms of what was left of row shifts after rectification.
        flood_response: what this distance alone says of it; None where the flood was too bright or too dim there.
    """

    distance_mm: float
    measured_mm: float
    rms_mm: float
    valid: float
    rows_px: float
    flood_response: FloodResponse | None = None


class Module(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One module. Raises CalibrationError when built of impossible values.

    Attributes:
        serial: of the sensor.
        lens: before rectification.
        rotation: row by row; carries rays of the raw image to those of the rectified one, where dots move along rows.
        calibration: after rectification.
        reference_png: the dots on the flat plane at `calibration.reference_mm`, rectified, as a grey PNG.
        dots_per_flood: mean light of the dots over mean light of the flood, both per microsecond and gain, as new.
        flood_response: as in `CameraInfo`.
        dot_sigma_px: as in `CameraInfo`.
        target_reflectance: that the flat target was said to have: `flood_response` is as right as this.
        planes: what was measured when it was made.
        digest: SHA-256 of all else, hex.
        format: of this file.
    """

    serial: Annotated[str, Meta(min_length=1, max_length=64)]
    lens: Lens
    rotation: Nine
    calibration: Calibration
    reference_png: Annotated[bytes, Meta(min_length=1, max_length=MAX_BYTES)]
    dots_per_flood: float
    flood_response: FloodResponse
    dot_sigma_px: DotSigma
    target_reflectance: Annotated[float, Meta(gt=0, le=1)]
    planes: Annotated[tuple[MeasuredPlane, ...], Meta(max_length=MAX_PLANES)] = ()
    digest: str = ""
    format: Literal["tessera-structured-light-2"] = "tessera-structured-light-2"

    def __post_init__(self) -> None:
        """Check what the fields' own types do not."""
        turn = self.turn
        if not np.allclose(turn @ turn.T, np.eye(3), atol=NOT_SQUARE) or np.linalg.det(turn) < 0:
            raise CalibrationError("calibration: rotation is no rotation")
        within("dots_per_flood", self.dots_per_flood, 1e-4, 1e4)
        within("flood_response", self.flood_response, 1e-4, 1e2)
        within("dot_sigma_px", self.dot_sigma_px, 0.2, 10)
        within("target_reflectance", self.target_reflectance, 0.05, 1)

    @property
    def turn(self) -> NDArray[np.float64]:
        """`rotation` as (3, 3)."""
        return np.array(self.rotation).reshape(3, 3)

    def reference(self) -> NDArray[np.uint8]:
        """Decode the reference image. Raises CalibrationError."""
        size = self.calibration.intrinsics
        try:
            return read_png(self.reference_png, size.width, size.height)
        except ValueError as error:
            raise CalibrationError(f"calibration: reference_png is {error}") from error


def make_module(
    serial: str,
    lens: Lens,
    turn: NDArray[np.float64],
    calibration: Calibration,
    reference: NDArray[np.uint8],
    dots_per_flood: float,
    flood_response: float,
    dot_sigma_px: float,
    target_reflectance: float,
    planes: tuple[MeasuredPlane, ...] = (),
) -> Module:
    """Build a module of what was measured, with its digest. Raises CalibrationError."""
    light = dots_per_flood, flood_response, dot_sigma_px, target_reflectance
    made = Module(serial, lens, _nine(turn), calibration, write_png(reference), *light, planes)
    return msgspec.structs.replace(made, digest=digest_of(made))


def digest_of(module: Module) -> str:
    """SHA-256 over the canonical content, hex."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(module, digest=""))).hexdigest()


def save_module(path: Path, module: Module) -> None:
    """Write the file whole or not at all. Raises CalibrationError where it cannot be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as aside:
            aside.write(msgspec.json.format(msgspec.json.encode(module)) + b"\n")
        os.replace(aside.name, path)
    except OSError as error:
        raise CalibrationError(f"{path}: the calibration cannot be written: {error.strerror}") from error


def load_module(path: Path) -> Module:
    """Read a calibration file.

    Raises:
        CalibrationError: it is missing, too large, not a calibration, impossible, or not what was written.
    """
    module = _read(path, Module)
    if digest_of(module) != module.digest:
        raise CalibrationError(f"{path}: the calibration is not what its digest says: damaged, or changed by hand")
    module.reference()
    return module


def load_lens(path: Path) -> Lens:
    """Read a maker's lens file: JSON with `intrinsics` and `distortion`. Raises CalibrationError."""
    return _read(path, Lens)


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        with path.open("rb") as file:
            raw = file.read(2 * MAX_BYTES + 1)
    except OSError as error:
        raise CalibrationError(f"{path}: the calibration cannot be read: {error.strerror}") from error
    if len(raw) > 2 * MAX_BYTES:
        raise CalibrationError(f"{path}: larger than {2 * MAX_BYTES} bytes")
    try:
        return msgspec.json.decode(raw, type=kind, strict=True)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: not a calibration: {error}") from error


def _nine(turn: NDArray[np.float64]) -> Nine:
    a, b, c, d, e, f, g, h, i = (float(x) for x in turn.ravel())
    return a, b, c, d, e, f, g, h, i
