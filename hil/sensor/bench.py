"""What the virtual module goes through on its bench: a flat target before it, and mishaps. A small JSON file.

Rules kept here:
- The file is replaced whole, never edited in place, and looked at again whenever it changes.
- It is decoded strictly and bounded in size.
- Its light is the emitter board's business and has a file of its own (`hil.emitter.light`).
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from hil import json_file

MAX_BENCH_BYTES = 4096

Share = Annotated[float, Meta(ge=0, le=1)]


class BenchError(Exception):
    """The bench file is missing or says something impossible; the message names it."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plain, light, matt board, its distance measured along the lens's axis.

    Attributes:
        distance_mm: from the lens.
        tilt_deg: its front turned towards the right of the image; 0 is square to the lens's axis.
        width_mm: of the board, which is five sixths of it high; by default it fills the view.
    """

    distance_mm: Annotated[float, Meta(ge=200, le=2000)] = 500.0
    tilt_deg: Annotated[float, Meta(ge=-45, le=45)] = 0.0
    width_mm: Annotated[float, Meta(ge=100, le=2400)] = 2400.0


class Bench(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The module's state.

    Attributes:
        target: stands there instead of whoever the stage names.
        rows_off_px: how much lower the image falls onto the sensor than when the module was calibrated.
        rows_px_per_s: how fast that grows from `start` on.
        half: share of exposures of which only half arrives.
        lost: share of exposures that do not arrive.
    """

    target: Target | None = None
    rows_off_px: Annotated[float, Meta(ge=-10, le=10)] = 0.0
    rows_px_per_s: Annotated[float, Meta(ge=-1, le=1)] = 0.0
    half: Share = 0.0
    lost: Share = 0.0


def write_bench(path: Path, bench: Bench) -> None:
    """Replace the bench file by `bench`, atomically."""
    json_file.write(path, bench)


def read_bench(path: Path) -> Bench:
    """Read the bench file.

    Raises:
        BenchError: it is missing, too large, or not a bench.
    """
    return json_file.read(path, Bench, MAX_BENCH_BYTES, "bench", BenchError)
