"""The bytes of one exposure, as sensors pack them, to grey pictures; and what to do when bytes are missing.

Rules kept here:
- 8, 10 or 16 bits of grey, little endian, rows perhaps padded. What is narrower than 8 bits is not supported, what is
  wider loses its lowest bits: the decoder wants 8.
- An exposure that is shorter than its format says is thrown away, never filled up; many in a row are a fault.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import CameraLostError

Format = Literal["GREY", "Y10 ", "Y16 "]
_DROPPED_BITS: dict[Format, int] = {"GREY": 0, "Y10 ": 2, "Y16 ": 8}
MOST_IN_A_ROW = 9  # three cycles


def grey(data: bytes, kind: Format, width: int, height: int, stride: int) -> NDArray[np.uint8] | None:
    """Unpack one exposure.

    Args:
        data: as the driver gives it; what follows the last row is ignored.
        kind: V4L2's four letters.
        width: pixels.
        height: pixels.
        stride: bytes from one row to the next.

    Returns:
        (H, W) uint8, its own memory; None where bytes are missing.

    Raises:
        ValueError: the stride is shorter than a row.
    """
    size = 1 if kind == "GREY" else 2
    if stride < width * size:
        raise ValueError(f"rows of {stride} bytes cannot hold {width} pixels of {kind.strip()}")
    if len(data) < stride * (height - 1) + width * size:
        return None
    padded = np.zeros(stride * height, np.uint8)
    padded[: min(len(data), padded.size)] = np.frombuffer(data, np.uint8, min(len(data), padded.size))
    rows = np.ascontiguousarray(padded.reshape(height, stride)[:, : width * size])
    if size == 1:
        return rows
    numbers = rows.view("<u2") >> _DROPPED_BITS[kind]
    return np.asarray(np.minimum(numbers, 255), np.uint8)


class Incomplete:
    """Counts exposures that came incomplete since the last whole one."""

    def __init__(self, serial: str) -> None:
        self._serial, self._count = serial, 0

    def whole(self) -> None:
        """A whole one came."""
        self._count = 0

    def another(self) -> None:
        """An incomplete one came. Raises CameraLostError (`partial`) when there were too many in a row."""
        self._count += 1
        if self._count >= MOST_IN_A_ROW:
            raise CameraLostError(f"sensor {self._serial}: {self._count} incomplete exposures in a row", "partial")
