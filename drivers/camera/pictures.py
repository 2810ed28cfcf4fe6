"""Frames as pictures a person looks at: infrared as grey, depth as colours, bands of text, and PNG files.

Rules kept here:
- Near is red, far is blue, unknown is dark grey, everywhere.
- A picture shows a face: its file is readable by its owner only, and is whole or not there at all.
"""

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import CameraError

BAND_PX, RAMP_PX = 24, 200
BACK, WHITE, GREY = 24, (235, 235, 235), (150, 150, 150)
UNKNOWN = (40, 40, 40)  # depth that is not known
_AFTER_HEADER = 33  # a PNG's signature and its IHDR chunk

Bgr: TypeAlias = NDArray[np.uint8]
Exposed: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]


def shrunk(image: Exposed, width: int, height: int) -> Exposed:
    """Return an exposure (H, W) as (height, width) of the same dtype."""
    small: Exposed = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return small


def thinned(depth_mm: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return depth (H, W) as (height, width): picked, not mixed, so that nothing floats between near and far."""
    return np.asarray(cv2.resize(depth_mm, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)


def white_of(images: Iterable[Exposed]) -> float:
    """Return the value that is shown as white, common to all of them."""
    values = [image.ravel() for image in images]
    return max(1.0, float(np.percentile(np.concatenate(values), 99.8))) if values else 1.0


def range_of(depths_mm: Iterable[NDArray[np.float32]]) -> tuple[float, float]:
    """Return nearest and farthest millimetres, common to all of them; 0 to 1 where nothing is known."""
    known = np.concatenate([np.zeros(0, np.float32), *(depth[np.isfinite(depth)] for depth in depths_mm)])
    if not known.size:
        return 0.0, 1.0
    near_mm, far_mm = np.percentile(known, (1, 99))
    return float(near_mm), max(float(far_mm), float(near_mm) + 1.0)


def grey(image: Exposed, white: float) -> Bgr:
    """Return an exposure (H, W) as (H, W, 3) uint8 BGR."""
    return np.asarray(
        cv2.cvtColor(np.clip(image * (255 / white), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR), np.uint8
    )


def colours(depth_mm: NDArray[np.float32], near_mm: float, far_mm: float) -> Bgr:
    """Return depth (H, W), NaN where unknown, as (H, W, 3) uint8 BGR."""
    known = np.isfinite(depth_mm)
    scaled = np.clip((far_mm - np.where(known, depth_mm, far_mm)) / (far_mm - near_mm), 0, 1)
    shown = np.asarray(cv2.applyColorMap((scaled * 255).astype(np.uint8), cv2.COLORMAP_TURBO), np.uint8)
    shown[~known] = UNKNOWN
    return shown


def band(width: int, text: str, colour: tuple[int, int, int] = WHITE) -> Bgr:
    """Return one line of text, (BAND_PX, width, 3)."""
    line = np.full((BAND_PX, width, 3), BACK, np.uint8)
    plain = text.encode("ascii", "replace").decode()  # the font has no more
    cv2.putText(line, plain, (8, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return line


def legend(width: int, white: float, near_mm: float, far_mm: float) -> Bgr:
    """Return the line that says what brightness and colours mean, (BAND_PX, width, 3) for a `width` of 800 and more."""
    levels = np.linspace(255, 0, RAMP_PX).astype(np.uint8)[None].repeat(BAND_PX, axis=0)
    ramp = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), np.uint8)
    ramp[:6] = ramp[-6:] = BACK
    left = [
        band(300, f"infrared above, white is {white:.0f};", GREY),
        band(220, f"depth below, {near_mm:.0f} mm", GREY),
    ]
    right = band(max(1, width - 520 - RAMP_PX), f"{far_mm:.0f} mm, grey is unknown", GREY)
    return np.hstack([*left, ramp, right])[:, :width]


def save(path: Path, picture: Bgr, about: Mapping[str, str] | None = None) -> None:
    """Write a PNG that its owner alone may read; an older one is replaced.

    Args:
        path: of the file.
        picture: (H, W, 3) uint8 BGR.
        about: text the file carries, by keyword (PNG `iTXt`; a keyword is Latin letters).

    Raises:
        CameraError: the file cannot be written.
    """
    _, encoded = cv2.imencode(".png", picture)
    data = encoded.tobytes()
    texts = b"".join(_text(keyword, text) for keyword, text in (about or {}).items())
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data[:_AFTER_HEADER] + texts + data[_AFTER_HEADER:])
        part.replace(path)
    except OSError as error:
        raise CameraError(f"{path}: the picture cannot be written: {error.strerror}") from error


def _text(keyword: str, text: str) -> bytes:
    content = b"iTXt" + keyword.encode("ascii") + b"\0\0\0\0\0" + text.encode()
    return (len(content) - 4).to_bytes(4, "big") + content + zlib.crc32(content).to_bytes(4, "big")
