"""One picture of a recording: infrared above, depth below, number, time and last prompt of a few frames."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.camera import pictures
from drivers.camera.interface import CameraError
from drivers.camera.recording.session import Prompt
from drivers.camera.recording.summary import TILE_WIDTH_PX, Summary, Tile

TILES, COLUMNS, EDGE_PX = 12, 4, 2


def write_contact_sheet(summary: Summary, path: Path) -> None:
    """Write the sheet as PNG; an older one is replaced.

    Raises:
        CameraError: the recording has no frame, or the file cannot be written.
    """
    if not summary.tiles:
        raise CameraError(f"{summary.path}: a recording without frames has no contact sheet")
    pictures.save(path, draw(summary), {"Consent": summary.consent})


def draw(summary: Summary) -> NDArray[np.uint8]:
    """Return the sheet, (H, W, 3) uint8 BGR. Brightness and depth colours are common to all its pictures."""
    chosen = np.linspace(0, len(summary.tiles) - 1, min(TILES, len(summary.tiles))).round().astype(int)
    tiles = [summary.tiles[i] for i in chosen]
    white = pictures.white_of(tile.ir for tile in tiles)
    near_mm, far_mm = pictures.range_of(tile.depth_mm for tile in tiles)
    drawn = [_panel(tile, _label(tile, summary), white, near_mm, far_mm) for tile in tiles]
    drawn += [np.full_like(drawn[0], pictures.BACK)] * (-len(drawn) % COLUMNS)
    sheet = np.vstack([np.hstack(drawn[i : i + COLUMNS]) for i in range(0, len(drawn), COLUMNS)])
    width = sheet.shape[1]
    head = pictures.band(width, f"{summary.path.name}: {_source(summary)}")
    consent = pictures.band(width, f"consent: {summary.consent or 'none named'}", pictures.GREY)
    return np.vstack([head, consent, pictures.legend(width, white, near_mm, far_mm), sheet])


def _source(summary: Summary) -> str:
    simulated = ", SIMULATED (it holds ground truth)" if summary.shown else ""
    serial = summary.camera.serial if summary.camera else "-"
    return f"{len(summary.sequences)} frames, camera {serial}{simulated}"


def _label(tile: Tile, summary: Summary) -> str:
    seconds = (tile.timestamp_ns - summary.timestamps_ns[0]) / 1e9
    asked = [event.prompt for event in summary.events if isinstance(event, Prompt) and event.at_ns <= tile.timestamp_ns]
    return "  ".join([f"#{tile.sequence}", f"{seconds:.2f} s", f"depth {tile.valid:.0%}", *asked[-1:]])


def _panel(tile: Tile, label: str, white: float, near_mm: float, far_mm: float) -> NDArray[np.uint8]:
    infrared = pictures.grey(tile.ir, white)
    depth = pictures.colours(tile.depth_mm, near_mm, far_mm)
    panel = np.vstack([infrared, depth, pictures.band(TILE_WIDTH_PX, label)])
    return np.pad(panel, ((EDGE_PX, EDGE_PX), (EDGE_PX, EDGE_PX), (0, 0)), constant_values=pictures.BACK)
