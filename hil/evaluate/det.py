"""Drawing error rates against each other on normal-deviate axes (DET, Martin 1997)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from scipy.stats import norm

TICKS = (1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5)
NO_ERROR = 3e-4
"""Where a rate of zero is drawn: the axes have none."""
_TICKS = (NO_ERROR, 1e-3, 1e-2, 0.05, 0.2, 0.5, 0.8, 0.95)
SCALE_END = 0.99

Scores = Sequence[float | None]
"""Of trials, larger is more alive; None is behind the gates: no threshold lets it in."""


def probit_axes(axes: Any, ticks: Sequence[float] = TICKS) -> None:
    """Label both axes of a drawing whose values went through `norm.ppf`."""
    names = ["none" if tick == NO_ERROR else f"{tick:g}" for tick in ticks]
    axes.set_xticks(norm.ppf(ticks), names, rotation=45)
    axes.set_yticks(norm.ppf(ticks), names)


def det(bona_fide: Scores, attack: Scores) -> tuple[list[float], list[float]]:
    """(APCER, BPCER) at every threshold of the score, the gates always on; the first point lets all in that they do."""
    known = sorted({score for score in (*bona_fide, *attack) if score is not None})
    return _at(bona_fide, attack, [*known, np.inf])


def _at(bona_fide: Scores, attack: Scores, thresholds: Sequence[float]) -> tuple[list[float], list[float]]:
    """APCER and BPCER at these."""
    below = [
        np.searchsorted(np.sort([-np.inf if score is None else score for score in scores]), thresholds) / len(scores)
        for scores in (attack, bona_fide)
    ]
    return (1 - below[0]).tolist(), below[1].tolist()


def draw(path: Path, bona_fide: Scores, species: Mapping[str, Scores], least: float, note: str) -> None:
    """One curve a species, a ring where the policy's `least` score stands; in words, what the gates alone decide."""
    matplotlib.use("Agg")
    from matplotlib import pyplot  # after the backend is chosen: no display on a terminal

    figure, axes = pyplot.subplots(figsize=(6.6, 7.2), dpi=110)
    behind, drawn = [], 0
    for name, scores in species.items():
        passed = sum(score is not None for score in scores)
        if not passed or not bona_fide:
            behind.append(f"{name} {passed} of {len(scores)}")
            continue
        false, missed = (np.clip(rates, NO_ERROR, SCALE_END) for rates in det(bona_fide, scores))
        label = f"{name}: {passed} of {len(scores)} past the gates"
        (curve,) = axes.step(norm.ppf(false), norm.ppf(missed), where="post", marker=".", markersize=3, label=label)
        place = norm.ppf(np.clip(_at(bona_fide, scores, [least]), NO_ERROR, SCALE_END))
        axes.plot(*place, "o", markersize=9, fillstyle="none", color=curve.get_color())
        drawn += 1
    refused = sum(score is None for score in bona_fide)
    words = f"Rings: the policy. Gates alone refuse {refused} of {len(bona_fide)} bona fide: no curve goes below that."
    if behind:
        words += "\nNo curve, for none got past the gates or there is nothing to set it against: " + ", ".join(behind)
    probit_axes(axes, _TICKS)
    axes.set(
        xlim=norm.ppf((NO_ERROR / 1.5, SCALE_END + 0.002)),
        ylim=norm.ppf((NO_ERROR / 1.5, SCALE_END + 0.002)),
        xlabel="APCER of the species (pairs)",
        ylabel="BPCER",
        title=f"DET by species over the fused score {note}".strip(),
    )
    axes.grid(alpha=0.3)
    if drawn:
        axes.legend(loc="lower left", fontsize=7)
    figure.text(0.02, 0.01, f"{words}", fontsize=7, wrap=True)
    figure.subplots_adjust(left=0.12, right=0.97, top=0.94, bottom=0.2)
    figure.savefig(path)
    pyplot.close(figure)
