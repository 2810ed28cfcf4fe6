"""From cue values of simulated presentations to the tables of `cues.toml`, and what the tables then decide.

    ratio(x) = log density of living people at x - log mean over species of their densities at x

Rules kept here:
- One presentation is one value: the median over its frames. Frames are no further trials.
- Every species weighs the same, however many instruments of it there are.
- Densities are Gaussian kernel estimates, each mixed with an even one worth a single presentation, so that a place
  where nothing fell is never worth more than the counts support; the ratio is bounded besides.
- Where physics says that a cue can only rise or fall with life, the table does: dots' halo rises, edges fall; so does
  the network's, by its own definition. The others speak at both ends: they rise to one best value and fall beyond it.
- Who hides a cue gains nothing: unknown is worth what the cue says of artefacts on the mean, if that is against life.
- Beyond anything that living people showed, nothing speaks for life.
"""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from firmware.liveness.cues.calibration import BOUND, CueCalibration, Table
from firmware.liveness.policy import CueName

LIVING: Final = "bona fide"
CUES: Final[tuple[CueName, ...]] = ("photometric", "dot_halo", "eyes", "mask_edges", "network")
TREND: Final[Mapping[CueName, Literal["rising", "falling"]]] = {
    "dot_halo": "rising",
    "mask_edges": "falling",
    "network": "rising",
}
WITHIN: Final[Mapping[CueName, tuple[float, float]]] = {"network": (-2.0, 1.0)}
"""Nats, of cues that are trusted less than `BOUND`. A network may be sure of what it never saw: that it recognised no
instrument is worth less than that it recognised one."""
POINTS = 33
LEAST = 8
"""Presentations with a value, for a species to count."""
SILVERMAN = 1.06  # of the spread, times n^-1/5: Silverman 1986, section 3.4
TAIL = 0.5  # percentile of all values where the table begins and ends

Measured = Mapping[CueName, float]
Values = Mapping[str, Sequence[Measured]]
"""By species, and `LIVING` for people: of each presentation the median of each cue, NaN where it was never measured."""
F64 = NDArray[np.float64]


def load_values() -> dict[str, list[dict[CueName, float]]]:
    """The training presentations' values that the shipped tables were fitted to."""
    stored = json.loads((files("hil.evaluate") / "cue_values.json").read_text())
    return {
        species: [
            {name: math.nan if value is None else value for name, value in zip(CUES, row, strict=True)} for row in rows
        ]
        for species, rows in stored["values"].items()
    }


def fit(values: Values, leave_out: str | None = None, about: str = "") -> CueCalibration:
    """Tables of every cue, without the species `leave_out`.

    Raises:
        ValueError: too few presentations, or no bona fide ones.
    """
    species = sorted(name for name in values if name not in (LIVING, leave_out))
    tables = {name: _table(name, values, species) for name in CUES}
    return CueCalibration(about, tables)


def total(calibration: CueCalibration, measured: Measured, names: Sequence[CueName]) -> float:
    """The sum of ratios that a policy with these cues compares with its least, nats."""
    return sum(cue.llr for cue in calibration.weigh(measured, names))


def _table(name: CueName, values: Values, species: Sequence[str]) -> Table:
    alive, others = _known(values.get(LIVING, ()), name), [_known(values[one], name) for one in species]
    counted = [one for one in others if len(one) >= LEAST]
    if len(alive) < LEAST or not counted:
        raise ValueError(f"{name}: {len(alive)} bona fide values and {len(counted)} species with {LEAST} are too few")
    pooled = np.concatenate([alive, *counted])
    low, high = np.percentile(pooled, [TAIL, 100 - TAIL])
    width = _width(alive)
    grid = np.linspace(min(low, alive.min() - width), max(high, alive.max() + 3 * width), POINTS)
    density = _density(alive, grid)
    against = np.mean([_density(one, grid) for one in counted], axis=0)
    ratio = np.log(density) - np.log(against)
    ratio = _shaped(ratio, density + against, TREND.get(name))
    bound = min(BOUND, math.log(len(alive) / 3), math.log(sum(map(len, counted)) / 3))
    least, most = WITHIN.get(name, (-bound, bound))
    ratio = np.clip(ratio, max(-bound, least), min(bound, most))
    beyond = (grid > alive.max() + 2 * width) | (grid < alive.min() - 2 * width)
    ratio[beyond] = np.minimum(ratio[beyond], 0)
    hidden = float(np.mean([np.interp(one, grid, ratio).mean() for one in counted]))
    return Table(_rounded(grid), _rounded(ratio), round(min(hidden, 0.0), 4))


def _shaped(ratio: F64, weights: F64, trend: str | None) -> F64:
    """The nearest that only rises or falls, or has one top, in least squares."""
    if trend is not None:
        return np.asarray(isotonic_regression(ratio, weights=weights, increasing=trend == "rising").x, np.float64)
    top = int(np.argmax(ratio))
    rising = isotonic_regression(ratio[: top + 1], weights=weights[: top + 1]).x
    falling = isotonic_regression(ratio[top:], weights=weights[top:], increasing=False).x
    return np.asarray(np.concatenate([rising, falling[1:]]), np.float64)


def _known(measured: Sequence[Measured], name: CueName) -> F64:
    every = np.array([one.get(name, math.nan) for one in measured], np.float64)
    return every[np.isfinite(every)]


def _width(own: F64) -> float:
    """Kernel width after Silverman; robust against far values."""
    quartiles = np.percentile(own, [25, 75])
    spread = min(float(own.std()), float(quartiles[1] - quartiles[0]) / 1.34)
    return max(SILVERMAN * spread / math.pow(len(own), 0.2), 0.01)


def _density(own: F64, grid: F64) -> F64:
    """At each of `grid`, per unit; one more presentation than there was is spread evenly over the grid."""
    width = _width(own)
    kernels = np.exp(-np.square((grid[:, None] - own) / width) / 2).mean(axis=1) / (width * math.sqrt(2 * math.pi))
    even = 1 / (len(own) + 1)
    return np.asarray((1 - even) * kernels + even / (grid[-1] - grid[0]), np.float64)


def _rounded(numbers: F64) -> tuple[float, ...]:
    return tuple(round(float(number), 4) for number in numbers)
