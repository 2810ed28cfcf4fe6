"""`tessera bench --only faults`: how soon core knows a broken camera, and how soon a mended one serves again.

The faults are those of `camera_faults` and `module_faults`, injected into a whole terminal of real processes before
the virtual camera, or behind the structured-light driver with a simulated emitter board, while it captures. Nothing is
waited for but the terminal's own words.
"""

import statistics
import tempfile
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from hil.rig.camera_faults import CUSTOMER, FAULTS, PAYER, Broken, Fault, MisnamedError, break_and_mend
from hil.rig.customer import enrol
from hil.rig.module_faults import lit_module
from hil.rig.site import Site

RUNS = 10
SEED = 96_000
# A payment needs five good frames: the fault comes before.
LATEST_FRAME = 3
# The camera process dies of these. Each run has a terminal started anew, or it would be measured how much longer the
# supervisor waits each time before it starts what keeps dying (5 s at most).
KILLED = ("hung", "crashed")


class Recovery(msgspec.Struct, frozen=True):
    """Seconds over `runs` runs.

    Attributes:
        cause: what core called it, every time.
        known_s: from the last frame until core knew, by core's clock: median and most. None where it shows at opening.
        back_s: from mending until the next frame was judged, tap and all: median and most.
        others: runs besides, that ended as something else: what, and how often. A busy machine does that.
    """

    cause: str
    runs: int
    known_s: tuple[float, float] | None
    back_s: tuple[float, float]
    others: dict[str, int]


def measure(runs: int = RUNS) -> dict[str, Recovery]:
    """Rows by fault.

    Raises:
        SiteError: something did not start or come back, or core more often called a fault by another name than its own.
    """
    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory(prefix="tessera-") as folder, Site.make(Path(folder) / "site") as site:
        enrol(site, CUSTOMER, PAYER)
        rows = _rows(site, FAULTS, rng, runs)
    with (
        tempfile.TemporaryDirectory(prefix="tessera-") as folder,
        lit_module(Path(folder) / "module") as (site, faults),
    ):
        return rows | _rows(site, faults, rng, runs)


def _rows(site: Site, faults: dict[str, Fault], rng: np.random.Generator, runs: int) -> dict[str, Recovery]:
    return {name: _row(site, fault, rng.integers(1, LATEST_FRAME + 1, runs).tolist()) for name, fault in faults.items()}


def _row(site: Site, fault: Fault, at_frames: list[int]) -> Recovery:
    broken: list[Broken] = []
    others: dict[str, int] = {}
    while len(broken) < len(at_frames):
        if fault.cause in KILLED:
            site.stop_terminal()
            site.start_terminal()
        try:
            broken.append(break_and_mend(site, fault, at_frames[len(broken)]))
        except MisnamedError as error:
            others[error.ended_as] = others.get(error.ended_as, 0) + 1
            if sum(others.values()) > len(at_frames):
                raise
    known = [each.look.silent_s for each in broken if each.look.silent_s is not None]
    return Recovery(
        cause=fault.cause,
        runs=len(broken),
        known_s=_median_and_most(known) if known else None,
        back_s=_median_and_most([each.back_s for each in broken]),
        others=others,
    )


def _median_and_most(seconds: list[float]) -> tuple[float, float]:
    return round(statistics.median(seconds), 2), round(max(seconds), 2)


def show(console: Console, rows: dict[str, Recovery]) -> None:
    """Print `rows` as a table."""
    table = Table("fault", "cause", "known after s, median, most", "back after s, median, most", "runs", "others")
    for name, row in rows.items():
        known = "at opening" if row.known_s is None else f"{row.known_s[0]:.2f}  {row.known_s[1]:.2f}"
        others = ", ".join(f"{other} {count}" for other, count in row.others.items())
        table.add_row(name, row.cause, known, f"{row.back_s[0]:.2f}  {row.back_s[1]:.2f}", str(row.runs), others)
    console.print(table)
