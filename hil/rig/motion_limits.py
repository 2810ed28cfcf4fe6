"""`python -m hil.rig.motion_limits`: how far people who move lie from rigid things, and what the limit rests on.

Simulated: the trials of `hil.rig.motion_trials`. The rule: the limit is `MARGIN` times the largest deformation that any
rigid thing seemed to show for two frames in a row, as an answer must, relative to its distance and pose. Leaving out
one species at a time, the rule is applied to the others, and the species left out is held against what comes out:
whether a limit would hold for what it was not chosen on.
"""

import math
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.liveness.challenge import SOONEST_S
from firmware.liveness.limits import load_limits
from firmware.vision.detect import Detector
from firmware.vision.networks import DETECTOR, load_network
from hil.rig.motion_trials import ASKED, ASKED_AT_S, RIGID, SILICONE, Moved, Trial, answer, measured, trials
from hil.rig.scenario import BONA_FIDE

MARGIN = 1.45

Found = dict[Trial, list[Moved]]


def main(
    people: Annotated[int, typer.Option(min=3, help="How many people.")] = 45,
    instruments: Annotated[int, typer.Option(min=3, help="Instruments of each species.")] = 20,
    root: Annotated[Path | None, typer.Option(help="Folder to keep the frames in.")] = None,
) -> None:
    """Print what people and instruments reach, what the rule makes of it, and the same with each species left out."""
    console, detector, (limits, _) = Console(width=140), Detector(load_network(DETECTOR)), load_limits()
    with tempfile.TemporaryDirectory() as folder:
        wanted = list(trials(people, instruments))
        found = {
            trial: measured(trial, detector, limits, root or Path(folder))
            for trial in track(wanted, "measuring", console=console, transient=True)
        }
    console.print(_separation(found, limits.motion_passive_times))
    console.print(_left_out(found))


def _separation(found: Found, passive_times: float) -> Table:
    table = Table(
        "shown",
        "n",
        "smallest",
        "median",
        "largest",
        "reach 1",
        f"reach {passive_times:g}",
        title="excess, kept up for two frames",
    )

    def add(name: str, shown: Iterable[Trial], since_s: float = 0.0) -> None:
        kept = sorted(kept_up(found[trial], since_s) for trial in shown)
        if kept:
            counts = (str(sum(value >= limit for value in kept)) for limit in (1.0, passive_times))
            table.add_row(
                name, str(len(kept)), *(f"{value:.2f}" for value in (kept[0], np.median(kept), kept[-1])), *counts
            )

    alive = [trial for trial in found if trial.name == BONA_FIDE]
    for asked in ASKED:
        add(
            f"people asked: {asked}",
            (t for t in alive if t.asked == asked and not answer(t).refused),
            ASKED_AT_S + SOONEST_S,
        )
    add("people who do not obey", (t for t in alive if answer(t).refused), ASKED_AT_S + SOONEST_S)
    for name in RIGID:
        add(name, (t for t in found if t.name == name and not t.touched))
    add("any of them, touched by fingers", (t for t in found if t.touched))
    for asked in ASKED:
        add(f"{SILICONE}: {asked}", (t for t in found if t.name == SILICONE and t.asked == asked))
    return table


def _left_out(found: Found) -> Table:
    table = Table(
        "left out",
        "n",
        "limit, of the shipped one",
        "largest it shows, of that limit",
        "reach it",
        title=f"{MARGIN} times the others' largest",
    )
    table.add_row("none", str(len([t for t in found if t.name in RIGID])), f"{fitted(found, RIGID):.2f}", "", "")
    for name in RIGID:
        limit = fitted(found, [other for other in RIGID if other != name])
        shown = [kept_up(found[trial]) for trial in found if trial.name == name]
        largest = largest_of(found, [name])
        table.add_row(
            name, str(len(shown)), f"{limit:.2f}", f"{largest / limit:.2f}", str(sum(value >= limit for value in shown))
        )
    return table


def kept_up(moved: list[Moved], since_s: float = 0.0) -> float:
    """The largest excess that lasted for two frames in a row; 0 where none was measured."""
    excess = [one.deformation.excess for one in moved if one.time_s >= since_s]
    return max((min(pair) for pair in pairwise(excess)), default=0.0)


def largest_of(found: Found, names: Iterable[str]) -> float:
    """The largest excess that any instrument of these species kept up."""
    chosen = set(names)
    return max((kept_up(moved) for trial, moved in found.items() if trial.name in chosen), default=math.nan)


def fitted(found: Found, names: Iterable[str]) -> float:
    """The limit that the rule makes of these species, relative to the one that ships."""
    return MARGIN * largest_of(found, names)


if __name__ == "__main__":
    typer.run(main)
