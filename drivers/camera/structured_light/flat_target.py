"""Exposures of a flat target, averaged, and how dots moved from one picture of it to another.

Rules kept here:
- The target is plain, light, matt and fills the view; nothing is known of its distance but what is said.
- Pieces that are not found, and those that contradict the rest, do not count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import CameraLostError, FrameTimeoutError
from drivers.camera.structured_light.exposures import ExposureSource
from drivers.camera.structured_light.probe import FOUND, Looker, Plain, bell_top
from drivers.camera.structured_light.rectify import Rectifier
from drivers.camera.structured_light.sorter import Seen, Sorted, Sorter

U8: TypeAlias = NDArray[np.uint8]
F64: TypeAlias = NDArray[np.float64]
Progress: TypeAlias = Callable[[int, int], None]  # done, of how many

EXPOSURE_S = 2.0  # to wait for one
LOST = 3  # cycles' worth of exposures that may be lost for each one kept
HALF = 15  # pixels: half a piece; some thirty dots
GRID = (14, 18)  # pieces down and across
ROWS = 8  # searched up and down: a lens turned by ten degrees against the projector
ROUNDS, SPREADS, LEAST_PX = 4, 4.0, 0.1
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, eq=False)
class Stack:
    """The target at one distance.

    Attributes:
        distance_mm: along the lens's axis, from the lens, as it was set up.
        cycle: the mean of all, raw.
        single: (H, W) uint8 one dot exposure, raw, as it will be in service.
    """

    distance_mm: float
    cycle: Sorted
    single: U8


def nothing(done: int, count: int) -> None:
    """Tell nobody."""


def take_stack(source: ExposureSource, distance_mm: float, cycles: int = 12, progress: Progress = nothing) -> Stack:
    """Take `cycles` of the flat target at `distance_mm` before a source that is stopped; it is stopped afterwards.

    Raises:
        CameraLostError: as `ExposureSource.read` and `Sorter.add` do.
    """
    taken = take_cycles(source, Plain(source.height, source.width), lambda image: image, 1.0, cycles, progress)
    mean = Sorted(*(_mean([getattr(one, name) for one in taken]) for name in ("dark", "flood", "dots")))
    return Stack(distance_mm, mean, taken[-1].dots.image)


def take_cycles(
    source: ExposureSource,
    looker: Looker,
    rectify: Rectifier | Callable[[U8], U8],
    dots_per_flood: float,
    cycles: int,
    progress: Progress = nothing,
) -> list[Sorted]:
    """Take whole cycles from a source that is stopped; it is stopped afterwards. Raises CameraLostError."""
    sorter = Sorter(looker, dots_per_flood)
    taken: list[Sorted] = []
    source.start()
    try:
        for _ in range(3 * cycles * LOST):
            exposure = source.read(EXPOSURE_S)
            cycle = sorter.add(exposure, rectify(exposure.image))
            if cycle is None:
                continue
            taken.append(cycle)
            progress(len(taken), cycles)
            if len(taken) == cycles:
                return taken
    except FrameTimeoutError as error:
        raise CameraLostError(str(error), "silent") from error
    finally:
        source.stop()
    raise CameraLostError(
        f"sensor {source.serial}: {len(taken)} whole cycles of {3 * cycles * LOST} exposures", "partial"
    )


def _mean(seen: list[Seen]) -> Seen:
    image = np.rint(np.mean([one.image for one in seen], axis=0, dtype=np.float32)).astype(np.uint8)
    return Seen(seen[-1].exposure, image, seen[-1].look)


@dataclass(frozen=True, eq=False)
class Moves:
    """How pieces moved: `places` (N, 2), column and row where they are now, `steps` (N, 2) from the other picture."""

    places: F64
    steps: F64

    def plane(self, axis: int) -> F64:
        """(3,) a, b, c of `a + b column + c row`, least squares through the steps along `axis`."""
        return np.asarray(np.linalg.lstsq(_linear(self.places), self.steps[:, axis], rcond=None)[0], np.float64)


def moves(before: U8, after: U8) -> Moves:
    """Find pieces of `after` in `before`, both (H, W) uint8 pictures of dots on a plane, undistorted."""
    height, width = after.shape
    reach = width // 8
    places, steps = [], []
    for row in np.linspace(HALF + ROWS, height - 1 - HALF - ROWS, GRID[0]).astype(int):
        for column in np.linspace(HALF, width - 1 - HALF, GRID[1]).astype(int):
            piece = after[row - HALF : row + HALF + 1, column - HALF : column + HALF + 1]
            left, right = max(column - HALF - reach, 0), min(column + HALF + 1 + reach, width)
            strip = before[row - HALF - ROWS : row + HALF + ROWS + 1, left:right]
            match = np.asarray(cv2.matchTemplate(strip, piece, cv2.TM_CCOEFF_NORMED), np.float32)
            _, peak, _, (x, y) = cv2.minMaxLoc(match)
            if peak > FOUND:
                came_from = left + HALF + x + bell_top(match[y], x), row - ROWS + y + bell_top(match[:, x], y)
                places.append((column, row))
                steps.append((column - came_from[0], row - came_from[1]))
    found = Moves(np.array(places, np.float64).reshape(-1, 2), np.array(steps, np.float64).reshape(-1, 2))
    return _agreeing(found)


def _agreeing(found: Moves) -> Moves:
    """Those whose steps lie on one plane: a plane's 1/z is linear in the image."""
    for _ in range(ROUNDS):
        if len(found.places) < 8:
            return found
        off = np.stack([found.steps[:, k] - _linear(found.places) @ found.plane(k) for k in (0, 1)], axis=1)
        spread = np.maximum(_MAD_TO_SIGMA * np.median(np.abs(off), axis=0), LEAST_PX)
        keep = (np.abs(off) <= SPREADS * spread).all(axis=1)
        found = Moves(found.places[keep], found.steps[keep])
    return found


def _linear(places: F64) -> F64:
    return np.column_stack([np.ones(len(places)), places])
