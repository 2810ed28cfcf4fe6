"""One picture of the evidence of motion: how far lower faces move, of people and of rigid things."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from hil.evaluate.dynamic_protocol import MANNERS, PEOPLE, RIGID, named
from hil.evaluate.dynamic_trials import Result

LEAST = 0.02  # excess below which it is drawn there: nothing was seen to move
COLOURS = {"before a prompt": "tab:gray", "after a prompt": "tab:blue"}


def draw(path: Path, results: Sequence[Result]) -> None:
    """A row of points for each kind, one a presentation: the largest excess that was held. Raises OSError."""
    matplotlib.use("Agg")
    from matplotlib import pyplot  # after the backend is chosen: no display on a terminal

    rows = [PEOPLE, *(named(species, manner) for species in RIGID for manner in MANNERS)]
    figure, axes = pyplot.subplots(figsize=(8, 5.4), dpi=110)
    for place, row in enumerate(reversed(rows)):
        seen = [tried.alone or tried.seen for one, tried in results if one.row == row and one.policy == "payment"]
        for (name, colour), off in zip(COLOURS.items(), (0.17, -0.17), strict=True):
            excess = [one.unasked.held if off > 0 else one.answering.held for one in seen]
            known = np.maximum([value for value in excess if value is not None], LEAST)
            jitter = np.random.default_rng(place).uniform(-0.1, 0.1, len(known))
            label = name if not place else None
            axes.plot(known, place + off + jitter, ".", markersize=3, color=colour, alpha=0.5, label=label)
    axes.axvline(1, color="tab:red", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), list(reversed(rows)), fontsize=8)
    axes.set_xlabel("largest deformation of the lower face held for an answer, over what rigid things reach")
    axes.set_title("SIMULATED: at the red line a prompt is answered", fontsize=10)
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
