"""From comparisons to a calibration: how to read a cosine, and thresholds that claim no more than their evidence.

Rules kept here:
- A likelihood ratio is fitted with both classes weighing the same, so that log-odds are a log-likelihood ratio.
- A threshold is named by a rate only if its bound keeps that rate: the larger of Clopper-Pearson over comparisons and
  of a bootstrap over people, for comparisons share people and alone claim too much.
- Where a person is put together from one person's infrared and another's depth, both are drawn anew in the bootstrap,
  and repeated pairings of the same people count once: they steady the estimate and are no evidence.
- What does not reach its rate is left out, never loosened.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import beta

from firmware.vision.calibration import Calibration, Population, Reading, Threshold
from firmware.vision.calibration.evidence import NEEDED, Kind, weakest
from firmware.vision.embed import MODALITIES, Modality
from firmware.vision.networks import template_networks

RATES = (1e-4, 1e-5)
CONFIDENCE = 0.95
GENUINE_ABOVE_FLOOR = 0.995
FLOOR_AT_MOST = -math.log(10)  # only what speaks ten to one against may overrule the sum
LEAST = 0.0  # a match is never less likely than not
ROUNDS = 300
SAMPLED = 40_000  # comparisons that stand for all in the bootstrap's denominator

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Comparisons of probes with enrolled people, of the same person and of different ones.

    Attributes:
        cosines: by modality (n,) float32.
        probes: by modality (n,) int32, whose probe it is.
        enrolled: by modality (n,) int32, whose templates they are.
        same: (n,) bool.
        about: what was compared.
        kinds: of each modality's evidence.
        people: different people; of the modality with fewer, where they are put together.
        pairings: how often people were put together.
    """

    cosines: dict[Modality, F32]
    probes: dict[Modality, I32]
    enrolled: dict[Modality, I32]
    same: NDArray[np.bool_]
    about: str
    kinds: dict[Modality, Kind]
    people: int
    pairings: int = 1

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What was compared, in order."""
        return tuple(modality for modality in MODALITIES if modality in self.cosines)

    @property
    def pairs(self) -> int:
        """Different pairs of different people."""
        return self.people * (self.people - 1) // 2


def of_one(modality: Modality, cosines: F32, probes: I32, enrolled: I32, about: str, kind: Kind) -> Trials:
    """Trials of a single modality, (n,) each."""
    people = len(np.unique(enrolled))
    return Trials(
        {modality: cosines},
        {modality: probes},
        {modality: enrolled},
        probes == enrolled,
        about,
        {modality: kind},
        people,
    )


def upper_bound(errors: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """One-sided Clopper-Pearson upper bound of an error rate; about 3 / trials where there was no error."""
    return 1.0 if errors >= trials else float(beta.ppf(confidence, errors + 1, trials - errors))


def fit_llr(genuine: F32, impostor: F32, ridge: float = 1e-6) -> tuple[float, float]:
    """Slope and offset of the natural-log likelihood ratio: logistic regression, both classes weighing the same."""
    own, other = genuine.astype(np.float64), impostor.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> float:
        slope, offset = parameters
        return float(
            np.logaddexp(0, -(slope * own + offset)).mean()
            + np.logaddexp(0, slope * other + offset).mean()
            + ridge * slope**2
        )

    slope, offset = minimize(loss, np.array([20.0, -6.0]), method="Nelder-Mead").x
    return float(slope), float(offset)


def fit_reading(trials: Trials, mean: Sequence[float] = (), most: int = 300_000) -> Reading:
    """How to read a single modality's cosines. `most` comparisons of different people take part in the fit."""
    (modality,) = trials.modalities
    cosines = trials.cosines[modality]
    genuine, impostor = cosines[trials.same], cosines[~trials.same]
    slope, offset = fit_llr(genuine, impostor[:: max(1, len(impostor) // most)])
    floor = float(np.quantile(slope * genuine + offset, 1 - GENUINE_ABOVE_FLOOR))
    return Reading(
        about=trials.about, kind=trials.kinds[modality], people=trials.people, pairings=trials.pairings,
        comparisons=len(impostor), genuine=len(genuine),
        slope=_digits(slope), offset=_digits(offset), floor=min(_digits(FLOOR_AT_MOST), _digits(floor)),
        limit=_digits(math.log(max(min(trials.pairs, len(impostor)) / NEEDED, 1.001)), down=True),
        mean=tuple(round(float(number), 5) for number in mean),
    )  # fmt: skip


def fit_threshold(trials: Trials, readings: dict[Modality, Reading], rate: float, seed: int = 0) -> Threshold | None:
    """The least threshold whose bound keeps `rate`; None where the evidence does not reach that far."""
    sums, allowed = _sums(trials, readings)
    impostor = np.where(allowed, sums, -np.inf)[~trials.same]
    of_one_pairing = math.ceil(len(impostor) / trials.pairings)
    if min(of_one_pairing, trials.pairs) * rate < NEEDED:
        return None
    most = int(rate * len(impostor)) + 1
    order = np.argsort(impostor)[::-1][:most]
    shares = _bootstrap(trials, np.flatnonzero(~trials.same), order, seed)
    for errors in range(most - 1, -1, -1):
        beaten = float(impostor[order[errors]])
        llr = max(LEAST, math.floor(beaten * 1000 + 1) / 1000 if math.isfinite(beaten) else LEAST)
        counted = int((impostor >= llr).sum())
        resampled = float(np.quantile(shares[:, counted - 1], CONFIDENCE)) if counted else 0.0
        exact = upper_bound(math.ceil(counted / trials.pairings), of_one_pairing)
        bound = _digits(max(exact, resampled), up=True)
        if bound <= rate:
            genuine = np.where(allowed, sums, -np.inf)[trials.same]
            return Threshold(
                about=trials.about, kind=weakest(tuple(trials.kinds.values())), people=trials.people,
                pairings=trials.pairings, comparisons=len(impostor), genuine=len(genuine),
                modalities=trials.modalities, rate=rate, llr=llr, errors=counted, bound=bound,
                misses=int((genuine < llr).sum()),
            )  # fmt: skip
    return None


def fit_calibration(
    population: Population, readings: dict[Modality, Reading], alone: Sequence[Trials], both: Trials
) -> Calibration:
    """A whole calibration: thresholds of both modalities together and of each alone, where the evidence reaches."""
    thresholds = [
        found
        for trials in (both, *alone)
        for rate in RATES
        if (found := fit_threshold(trials, readings, rate)) is not None
    ]
    return Calibration(
        population=population, networks=template_networks().hex(), ir=readings["ir"], depth=readings["depth"],
        thresholds=tuple(thresholds),
    )  # fmt: skip


def _sums(trials: Trials, readings: dict[Modality, Reading]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) sum of the ratios, and whether no modality lies below its floor: as `firmware.vision.fusion` decides."""
    total = np.zeros(len(trials.same))
    allowed = np.ones(len(trials.same), bool)
    for modality in trials.modalities:
        reading = readings[modality]
        raw = reading.slope * trials.cosines[modality].astype(np.float64) + reading.offset
        ratio = np.clip(raw, -reading.limit, reading.limit)
        total += ratio
        allowed &= ratio >= reading.floor
    return total, allowed


def _bootstrap(trials: Trials, different: NDArray[np.intp], order: NDArray[np.intp], seed: int) -> NDArray[np.float64]:
    """(ROUNDS, len(order)): of people drawn anew, the false-match rate if the first so many of `order` are errors.

    A person drawn k times weighs k times in each comparison; a comparison weighs the product of everybody in it.
    """
    rng = np.random.default_rng(seed)
    hits, sample = different[order], different[:: max(1, len(different) // SAMPLED)]
    weight_hits, weight_sample = np.ones((ROUNDS, len(hits))), np.ones((ROUNDS, len(sample)))
    for modality in trials.modalities:
        probes, enrolled = trials.probes[modality], trials.enrolled[modality]
        people = int(max(probes.max(), enrolled.max())) + 1
        there = np.unique(np.concatenate([np.unique(probes), np.unique(enrolled)]))
        for i in range(ROUNDS):
            drawn = np.bincount(rng.choice(there, len(there)), minlength=people)
            weight_hits[i] *= drawn[probes[hits]] * drawn[enrolled[hits]]
            weight_sample[i] *= drawn[probes[sample]] * drawn[enrolled[sample]]
    all_of_them = weight_sample.mean(axis=1) * len(different)
    return np.asarray(np.cumsum(weight_hits, axis=1) / np.maximum(all_of_them, 1e-9)[:, None], np.float64)


def _digits(value: float, *, up: bool = False, down: bool = False) -> float:
    """Four digits, rounded to the nearest, up or down."""
    if value == 0:
        return 0.0
    scale = 10.0 ** (3 - math.floor(math.log10(abs(value))))
    number = value * scale
    whole = math.ceil(number) if up else math.floor(number) if down else round(number)
    return float(f"{whole / scale:.4g}")


def to_toml(calibration: Calibration, written_by: str) -> str:
    """The calibration as the file that `firmware.vision.calibration` reads."""
    lines = [f"# Written by {written_by}; measured, not chosen.", f'population = "{calibration.population}"']
    lines.append(f'networks = "{calibration.networks}"')
    for modality in MODALITIES:
        lines += ["", f"[{modality}]", *_table(calibration.of(modality))]
    for threshold in calibration.thresholds:
        lines += ["", "[[thresholds]]", *_table(threshold)]
    return "\n".join(lines) + "\n"


def _table(values: Reading | Threshold) -> list[str]:
    return [
        f"{name} = {_value(getattr(values, name))}" for name in values.__struct_fields__ if getattr(values, name) != ()
    ]


def _value(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple) and isinstance(value[0], str):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, tuple):
        rows = [", ".join(f"{number:.5f}" for number in value[i : i + 8]) for i in range(0, len(value), 8)]
        return "[\n" + "".join(f"    {row},\n" for row in rows) + "]"
    return repr(value)
