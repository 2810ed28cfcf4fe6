"""Reading somebody's pictures: infrared or colour ones, and 16-bit depth.

Rules kept here:
- PNG, JPEG, BMP, PGM and PPM. The size is read from the header before anything is unpacked: a small file may claim a
  huge picture.
- A picture that cannot be read is an error with its name, never a black one.
"""

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from hil.evaluate.errors import EvaluateError

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 40_000_000
LEAST_PX = 24
MM_LIMIT = 10_000  # farther is no face and most likely no millimetres
_JPEG_SIZES = {0xC0, 0xC1, 0xC2}


def read_grey(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(H, W) uint8 or uint16; colour becomes grey. Raises EvaluateError."""
    picture = _decoded(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if picture.dtype not in (np.uint8, np.uint16):
        raise EvaluateError(f"{path}: pixels are {picture.dtype}, must be 8 or 16 bit")
    return picture


def read_depth(path: Path, intrinsics: Intrinsics) -> NDArray[np.float32]:
    """(H, W) float32 mm, NaN where unknown, of a 16-bit PNG in mm with 0 for unknown. Raises EvaluateError."""
    if path.suffix.lower() != ".png":
        raise EvaluateError(f"{path}: depth is a 16-bit PNG in mm")
    picture = _decoded(path, cv2.IMREAD_UNCHANGED)
    if picture.dtype != np.uint16 or picture.ndim != 2:
        raise EvaluateError(f"{path}: depth is one channel of 16 bit, this is {picture.shape} {picture.dtype}")
    if picture.shape != (intrinsics.height, intrinsics.width):
        raise EvaluateError(
            f"{path}: {picture.shape[1]} x {picture.shape[0]} pixels, the intrinsics are for "
            f"{intrinsics.width} x {intrinsics.height}"
        )
    depth_mm = picture.astype(np.float32)
    depth_mm[(picture == 0) | (picture > MM_LIMIT)] = np.nan
    return depth_mm


def _decoded(path: Path, how: int) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise EvaluateError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise EvaluateError(f"{path}: larger than {MAX_BYTES} bytes")
    size = _claimed_size(raw)
    if size is None:
        raise EvaluateError(f"{path}: not a PNG, JPEG, BMP, PGM or PPM picture")
    if min(size) < LEAST_PX or size[0] * size[1] > MAX_PIXELS:
        raise EvaluateError(f"{path}: {size[0]} x {size[1]} pixels; must be {LEAST_PX} a side to {MAX_PIXELS} in all")
    try:
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), how)
    except cv2.error as error:
        raise EvaluateError(f"{path}: a damaged picture") from error
    if picture is None or sorted(picture.shape[:2]) != sorted(size):  # a JPEG may say that it lies on its side
        raise EvaluateError(f"{path}: a damaged picture")
    return picture


def _claimed_size(raw: bytes) -> tuple[int, int] | None:
    """Width and height that the header claims; None where it is no picture of a kind known here."""
    try:
        if raw[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack(">II", raw[16:24])
        if raw[:2] == b"BM":
            width, height = struct.unpack("<ii", raw[18:26])
            return abs(width), abs(height)
        if raw[:2] in (b"P2", b"P3", b"P5", b"P6"):
            words = b" ".join(line.split(b"#")[0] for line in raw[2:4096].split(b"\n")).split()
            return int(words[0]), int(words[1])
        if raw[:2] == b"\xff\xd8":
            return _jpeg_size(raw)
    except (struct.error, ValueError, IndexError):
        return None
    return None


def _jpeg_size(raw: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(raw) and raw[at] == 0xFF:
        kind, length = raw[at + 1], int.from_bytes(raw[at + 2 : at + 4], "big")
        if kind in _JPEG_SIZES:
            height, width = struct.unpack(">HH", raw[at + 5 : at + 9])
            return width, height
        at += 1 if kind == 0xFF else 2 + length
    return None
