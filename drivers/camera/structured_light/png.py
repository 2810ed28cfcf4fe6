"""Grey PNG pictures from files nobody vouches for: the header is read before anything is decoded.

Rules kept here:
- Size and kind are checked in the header, so that a small file cannot unfold into a large picture.
- 8 bits of grey and nothing else; whatever is not that is a ValueError saying what it is.
"""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8sI4sIIBB")  # signature, length, b"IHDR", width, height, bits, colour
_GREY = 0


def read_png(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Decode a grey PNG of exactly this size to (H, W) uint8. Raises ValueError."""
    if len(data) < _HEADER.size:
        raise ValueError("not a PNG")
    signature, _, kind, wide, high, bits, colour = _HEADER.unpack_from(data)
    if signature != _SIGNATURE or kind != b"IHDR":
        raise ValueError("not a PNG")
    if (wide, high, bits, colour) != (width, height, 8, _GREY):
        raise ValueError(
            f"a PNG of {wide} x {high}, {bits} bits, colour type {colour}; expected {width} x {height}, 8, grey"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f"a PNG that cannot be decoded: {error.err}") from error
    if image is None or image.shape != (height, width) or image.dtype != np.uint8:
        raise ValueError("a PNG that cannot be decoded whole")
    return np.asarray(image, np.uint8)


def write_png(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W) uint8."""
    _, data = cv2.imencode(".png", image)
    return data.tobytes()
