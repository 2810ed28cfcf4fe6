"""What finding one of 50,000 people costs, and that nobody is lost: `tessera bench --only search`.

The people are drawn, not rendered: embeddings with the mean, the spread between people and the spread within a person
that were measured on rendered people, each with its decaying spectrum, so that strangers resemble each other as they
do in life. Independent directions would be far too easy to tell apart.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from firmware.vision.calibration import Calibration, load_calibration
from firmware.vision.embed import MODALITIES, Embedded, Modality
from firmware.vision.match import cosines
from firmware.vision.search import SearchIndex
from firmware.vision.templates import TEMPLATE_SHAPE

PEOPLE, PROBES, STRANGERS = 50_000, 60, 20
BUDGET_MS = 20.0
BEST = 2  # a decision needs the best and the second
BLOCK = 2000


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance between people and within one, summed over components, and how fast each spectrum decays (k^-x)."""

    between: float
    between_decay: float
    within: float
    within_decay: float


# 190 rendered people, eight frames each; the depth network's are those of the first, briefly trained one
SPREADS: dict[Modality, Spread] = {
    "ir": Spread(0.458, 0.86, 0.116, 0.56),
    "depth": Spread(0.539, 1.84, 0.143, 0.97),
}


class Crowd:
    """People drawn one after the other: their templates, and a further look at any of them."""

    def __init__(self, calibration: Calibration, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        size = TEMPLATE_SHAPE[2]
        order = np.arange(1, size + 1, dtype=np.float32)
        self._scales, self._means = [], []
        for modality in MODALITIES:
            spread = SPREADS[modality]
            between, within = order**-spread.between_decay, order**-spread.within_decay
            self._scales.append(
                (
                    np.sqrt(spread.between * between / between.sum()).astype(np.float32),
                    np.sqrt(spread.within * within / within.sum()).astype(np.float32),
                )
            )
            mean = calibration.of(modality).mean
            self._means.append(np.array(mean or np.zeros(size), np.float32))

    def people(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(count, 2, 3, 128) templates, and (count, 2, 128) what each person's looks scatter about."""
        centres = np.empty((count, TEMPLATE_SHAPE[0], TEMPLATE_SHAPE[2]), np.float32)
        for i, (between, _) in enumerate(self._scales):
            centres[:, i] = self._means[i] + between * self._normal(count, TEMPLATE_SHAPE[2])
        views = np.stack([self.looks(centres) for _ in range(TEMPLATE_SHAPE[1])], axis=2)
        return np.ascontiguousarray(views), centres

    def looks(self, centres: NDArray[np.float32]) -> NDArray[np.float32]:
        """(count, 2, 128) unit vectors: one look at each of (count, 2, 128) people."""
        seen = np.empty_like(centres)
        for i, (_, within) in enumerate(self._scales):
            seen[:, i] = centres[:, i] + within * self._normal(len(centres), centres.shape[2])
        return np.asarray(seen / np.linalg.norm(seen, axis=-1, keepdims=True), np.float32)

    def _normal(self, *shape: int) -> NDArray[np.float32]:
        return self._rng.standard_normal(shape, np.float32)


def measure(people: int = PEOPLE) -> dict[str, Any]:
    """CPU milliseconds of a search, how many people it scored exactly, and whether it found whom all scores find."""
    calibration = load_calibration("virtual")
    crowd = Crowd(calibration)
    templates, centres = crowd.people(people)
    _, strangers = crowd.people(STRANGERS)
    rng = np.random.default_rng(1)
    known = rng.choice(people, PROBES, replace=False)
    looks = crowd.looks(np.concatenate([centres[known], strangers]))
    began = time.process_time()
    index = SearchIndex(templates, calibration)
    built_s = time.process_time() - began
    spent, scored, right, first = [], [], 0, 0
    for number, (ir, depth) in enumerate(looks):
        probe = Embedded(ir, depth)
        before = time.process_time_ns()
        hits = index.best(probe, BEST)
        spent.append((time.process_time_ns() - before) / 1e6)
        scored.append(index.scored)
        sums = _exhaustive(probe, templates, calibration)
        truth = np.sort(sums)[::-1][:BEST]
        right += int(
            np.allclose([hit.llr for hit in hits], truth, atol=1e-3) and abs(sums[hits[0].who] - truth[0]) < 1e-3
        )
        first += int(number < PROBES and hits[0].who == known[number])
    return {
        "people": people,
        "templates": int(np.prod(templates.shape[:3])),
        "probes": len(looks),
        "median_ms": round(statistics.median(spent), 2),
        "p95_ms": round(float(np.percentile(spent, 95)), 2),
        "budget_ms": BUDGET_MS,
        "met": statistics.median(spent) <= BUDGET_MS,
        "recall": right / len(looks),
        "enrolled_found_first": first / PROBES,
        "scored_exactly_median": int(statistics.median(scored)),
        "scored_exactly_most": max(scored),
        "coarse_mb": round(index.bytes_coarse / 1e6, 1),
        "templates_mb": round(templates.nbytes / 1e6, 1),
        "build_s": round(built_s, 2),
    }


def _exhaustive(probe: Embedded, templates: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float64]:
    """(people,) sum of log-likelihood ratios, by comparing with everybody in floats."""
    total = np.zeros(len(templates))
    for i, modality in enumerate(MODALITIES):
        reading, vector = calibration.of(modality), probe.of(modality)
        if vector is not None:
            for start in range(0, len(templates), BLOCK):
                cosine = cosines(vector, templates[start : start + BLOCK, i], reading)
                ratio = np.clip(reading.slope * cosine + reading.offset, -reading.limit, reading.limit)
                total[start : start + BLOCK] += ratio
    return total


def show(console: Console, row: dict[str, Any]) -> None:
    """Print what was measured."""
    table = Table(
        "people", "templates", "CPU ms, median", "p95", "budget", "recall", "scored exactly", "bytes", "templates"
    )
    table.add_row(
        f"{row['people']:,}", f"{row['templates']:,}", f"{row['median_ms']:.1f}", f"{row['p95_ms']:.1f}",
        f"{row['budget_ms']:g} {'met' if row['met'] else 'missed'}", f"{row['recall']:.0%} of {row['probes']}",
        f"{row['scored_exactly_median']}, at most {row['scored_exactly_most']}",
        f"{row['coarse_mb']:.0f} MB", f"{row['templates_mb']:.0f} MB",
    )  # fmt: skip
    console.print(table)
    console.print(
        f"recall: the best {BEST} are those of comparing with everybody; {row['enrolled_found_first']:.0%} of the "
        "enrolled had themselves as the best, before any threshold. Drawn people, with the spread of rendered ones"
    )
