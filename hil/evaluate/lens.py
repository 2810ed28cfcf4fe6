"""The intrinsics of a depth camera, as a small TOML file."""

from pathlib import Path

import msgspec

from drivers.camera import Intrinsics
from hil.evaluate.errors import EvaluateError

MAX_BYTES = 4096
SIDE_PX = (24, 8192)
FOCAL_PX = (20.0, 20_000.0)


class _Lens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


def read_intrinsics(path: Path) -> Intrinsics:
    """Read `width`, `height`, `fx`, `fy`, `cx`, `cy` (pixels, centres at integers). Raises EvaluateError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise EvaluateError(f"{path}: larger than {MAX_BYTES} bytes")
        lens = msgspec.toml.decode(raw, type=_Lens, strict=True)
    except OSError as error:
        raise EvaluateError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EvaluateError(f"{path}: {error}") from error
    for name, value, (low, high) in (
        ("width", lens.width, SIDE_PX),
        ("height", lens.height, SIDE_PX),
        ("fx", lens.fx, FOCAL_PX),
        ("fy", lens.fy, FOCAL_PX),
        ("cx", lens.cx, (0, lens.width)),
        ("cy", lens.cy, (0, lens.height)),
    ):
        if not low <= value <= high:
            raise EvaluateError(f"{path}: {name} is {value}, must be {low:g} to {high:g} pixels")
    return Intrinsics(width=lens.width, height=lens.height, fx=lens.fx, fy=lens.fy, cx=lens.cx, cy=lens.cy)
