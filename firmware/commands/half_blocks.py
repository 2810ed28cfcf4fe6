"""Pictures in a terminal window: two pixels per character cell, the upper one its foreground, the lower its background.

Colours are few (`LEVELS`) so that what describes a cell is made once and found again.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from drivers.camera import FrameSet, pictures

LEVELS = 64
UNKNOWN = LEVELS  # index of depth that is not known
BLOCK, GAP = "▀", 2
NEAR_MM, FAR_MM = 300.0, 1000.0  # the capture volume: colours mean the same in every frame


@dataclass(frozen=True, slots=True, eq=False)
class SideBySide:
    """Infrared beside depth, as large as the window lets them be, with `lines` rows left free below."""

    frames: FrameSet
    lines: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield rows of half blocks."""
        height, width = self.frames.ir.shape
        columns = max(4, (options.max_width - GAP) // 2)
        rows = round(columns * height / width / 2)
        most = max(2, (options.height or console.height) - self.lines)
        if rows > most:
            rows, columns = most, max(4, round(most * 2 * width / height))
        infrared = levels_of_ir(self.frames, 2 * rows, columns)
        depth = levels_of_depth(self.frames.depth_mm, 2 * rows, columns)
        for row in range(rows):
            yield from _cells("ir", infrared[2 * row], infrared[2 * row + 1])
            yield Segment(" " * GAP)
            yield from _cells("depth", depth[2 * row], depth[2 * row + 1])
            yield Segment.line()


def levels_of_ir(frames: FrameSet, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return infrared as (rows, columns) of 0..LEVELS - 1, its brightest as white."""
    small = pictures.shrunk(frames.ir, columns, rows)
    levels: NDArray[np.uint8] = np.clip(small * ((LEVELS - 1) / pictures.white_of([small])), 0, LEVELS - 1).astype(
        np.uint8
    )
    return levels


def levels_of_depth(depth_mm: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return depth as (rows, columns): near is LEVELS - 1, far 0, unknown `UNKNOWN`."""
    small = pictures.thinned(depth_mm, columns, rows)
    scaled = (FAR_MM - small) * ((LEVELS - 1) / (FAR_MM - NEAR_MM))
    return np.where(np.isfinite(small), np.clip(np.nan_to_num(scaled), 0, LEVELS - 1), UNKNOWN).astype(np.uint8)


def legend(width: int) -> list[Segment]:
    """Return one line that says what the colours of depth mean."""
    near, far = f"{NEAR_MM:.0f} mm ", f" {FAR_MM:.0f} mm; dark grey is unknown"
    ramp = np.linspace(LEVELS - 1, 0, max(4, min(40, width - len(near) - len(far)))).astype(np.uint8)
    return [Segment(near), *_cells("depth", ramp, ramp), Segment(far), Segment.line()]


def _cells(palette: str, upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> list[Segment]:
    """One row of cells; neighbours alike are one segment."""
    pairs = upper.astype(np.int32) * 256 + lower
    starts = np.flatnonzero(np.diff(pairs, prepend=-1))
    lengths = np.diff(starts, append=pairs.size)
    return [
        Segment(BLOCK * int(length), _style(palette, int(upper[start]), int(lower[start])))
        for start, length in zip(starts, lengths, strict=True)
    ]


@functools.cache
def _style(palette: str, upper: int, lower: int) -> Style:
    colours = _palette(palette)
    return Style(color=colours[upper], bgcolor=colours[lower])


@functools.cache
def _palette(name: str) -> list[Color]:
    ramp = np.linspace(0, 255, LEVELS).astype(np.uint8)
    if name == "ir":
        return [Color.from_rgb(level, level, level) for level in ramp.tolist()]
    depth_mm = np.linspace(FAR_MM, NEAR_MM, LEVELS, dtype=np.float32)[None]
    shown = [*pictures.colours(depth_mm, NEAR_MM, FAR_MM)[0].tolist(), pictures.UNKNOWN]
    return [Color.from_rgb(red, green, blue) for blue, green, red in shown]
