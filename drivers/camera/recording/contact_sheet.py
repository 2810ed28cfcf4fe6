"""One picture of a recording: infrared above, depth below, number, time and last prompt of a few frames.

It shows a face: like the recording, the file is readable by its owner only.
"""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import CameraError
from drivers.camera.recording.session import Prompt
from drivers.camera.recording.summary import TILE_WIDTH_PX, Summary, Tile

TILES, COLUMNS, BAND_PX, EDGE_PX = 12, 4, 24, 2
RAMP_PX = 200
BACK, WHITE, GREY = 24, (235, 235, 235), (150, 150, 150)
UNKNOWN = (40, 40, 40)  # depth that is not known


def write_contact_sheet(summary: Summary, path: Path) -> None:
    """Write the sheet as PNG; an older one is replaced.

    Raises:
        CameraError: the recording has no frame, or the file cannot be written.
    """
    if not summary.tiles:
        raise CameraError(f"{summary.path}: a recording without frames has no contact sheet")
    _, data = cv2.imencode(".png", draw(summary))
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.tobytes())
        part.replace(path)
    except OSError as error:
        raise CameraError(f"{path}: the contact sheet cannot be written: {error.strerror}") from error


def draw(summary: Summary) -> NDArray[np.uint8]:
    """Return the sheet, (H, W, 3) uint8 BGR. Brightness and depth colours are common to all its pictures."""
    chosen = np.linspace(0, len(summary.tiles) - 1, min(TILES, len(summary.tiles))).round().astype(int)
    tiles = [summary.tiles[i] for i in chosen]
    white = max(1.0, float(np.percentile(np.concatenate([tile.ir.ravel() for tile in tiles]), 99.8)))
    near_mm, far_mm = _range(tiles)
    drawn = [_panel(tile, _label(tile, summary), white, near_mm, far_mm) for tile in tiles]
    drawn += [np.full_like(drawn[0], BACK)] * (-len(drawn) % COLUMNS)
    sheet = np.vstack([np.hstack(drawn[i : i + COLUMNS]) for i in range(0, len(drawn), COLUMNS)])
    head = _band(sheet.shape[1], f"{summary.path.name}: {_source(summary)}", WHITE)
    consent = _band(sheet.shape[1], f"consent: {summary.consent or 'none named'}", GREY)
    legend = np.hstack(
        [
            _band(300, f"infrared above, white is {white:.0f};", GREY),
            _band(220, f"depth below, {near_mm:.0f} mm", GREY),
            _ramp(),
            _band(sheet.shape[1] - 300 - 220 - RAMP_PX, f"{far_mm:.0f} mm, grey is unknown", GREY),
        ]
    )
    return np.vstack([head, consent, legend, sheet])


def _ramp() -> NDArray[np.uint8]:
    levels = np.linspace(255, 0, RAMP_PX).astype(np.uint8)[None].repeat(BAND_PX, axis=0)
    ramp: NDArray[np.uint8] = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO).astype(np.uint8)
    ramp[:6] = ramp[-6:] = BACK
    return ramp


def _source(summary: Summary) -> str:
    simulated = ", SIMULATED (it holds ground truth)" if summary.shown else ""
    serial = summary.camera.serial if summary.camera else "-"
    return f"{len(summary.sequences)} frames, camera {serial}{simulated}"


def _range(tiles: list[Tile]) -> tuple[float, float]:
    known = np.concatenate([tile.depth_mm[np.isfinite(tile.depth_mm)] for tile in tiles])
    if not known.size:
        return 0.0, 1.0
    near_mm, far_mm = np.percentile(known, (1, 99))
    return float(near_mm), max(float(far_mm), float(near_mm) + 1.0)


def _label(tile: Tile, summary: Summary) -> str:
    seconds = (tile.timestamp_ns - summary.timestamps_ns[0]) / 1e9
    asked = [event.prompt for event in summary.events if isinstance(event, Prompt) and event.at_ns <= tile.timestamp_ns]
    return "  ".join([f"#{tile.sequence}", f"{seconds:.2f} s", f"depth {tile.valid:.0%}", *asked[-1:]])


def _panel(tile: Tile, label: str, white: float, near_mm: float, far_mm: float) -> NDArray[np.uint8]:
    infrared = cv2.cvtColor(np.clip(tile.ir * (255 / white), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    known = np.isfinite(tile.depth_mm)
    scaled = np.clip((far_mm - np.where(known, tile.depth_mm, far_mm)) / (far_mm - near_mm), 0, 1)
    depth = cv2.applyColorMap((scaled * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    depth[~known] = UNKNOWN
    panel = np.vstack([infrared, depth, _band(TILE_WIDTH_PX, label, WHITE)])
    return np.pad(panel, ((EDGE_PX, EDGE_PX), (EDGE_PX, EDGE_PX), (0, 0)), constant_values=BACK)


def _band(width: int, text: str, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    band = np.full((BAND_PX, width, 3), BACK, np.uint8)
    plain = text.encode("ascii", "replace").decode()  # the font has no more
    cv2.putText(band, plain, (8, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return band
