"""Error rates of scored pairs, and how far they can be trusted.

Rules kept here:
- A score says how alike two sides are, larger is more alike; a pair matches at or above a threshold.
- A true accept rate is given at a false accept rate that the impostor pairs can show, or not at all: `RULE_OF_30`.
- Pairs share people, so intervals come from drawing people anew, never pairs; a rate without an error still has one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

RULE_OF_30 = 30
"""False accepts behind a rate: with 30 of them the true rate is within 30 % of it, 9 times in 10 (Doddington 1998)."""
FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
ROUNDS = 400
LEVEL = 0.95
_SEED = 0xFACE


class RatesError(ValueError):
    """There are not the pairs that a rate needs."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, and the bounds within which it lies 19 times in 20."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Scored pairs.

    Attributes:
        scores: (n,) float64, finite.
        same: (n,) bool, whether both sides are one person.
        first: (n,) int64, who one side is.
        second: (n,) int64, who the other side is.
    """

    scores: F64
    same: NDArray[np.bool_]
    first: I64
    second: I64

    def __post_init__(self) -> None:
        """Check that the columns belong together. Raises RatesError."""
        if not len(self.scores) == len(self.same) == len(self.first) == len(self.second):
            raise RatesError("scores and people are not of one length")
        if not np.isfinite(self.scores).all():
            raise RatesError("a score is not a number")
        if (self.same != (self.first == self.second)).any():
            raise RatesError("a pair is genuine where both sides are one person, and only there")

    @property
    def genuine(self) -> F64:
        """Scores of one person with himself."""
        return self.scores[self.same]

    @property
    def impostor(self) -> F64:
        """Scores of two people."""
        return self.scores[~self.same]

    @property
    def people(self) -> int:
        """How many take part."""
        return len(np.union1d(self.first, self.second))

    def where(self, chosen: NDArray[np.bool_]) -> "Trials":
        """Those pairs only."""
        return Trials(self.scores[chosen], self.same[chosen], self.first[chosen], self.second[chosen])


def needed(far: float) -> int:
    """Impostor pairs that a false accept rate needs before it is spoken of."""
    return round(RULE_OF_30 / far)


def supported(far: float, impostors: int) -> bool:
    """Whether so many impostor pairs can show `far`."""
    return impostors >= needed(far)


@dataclass(frozen=True, slots=True)
class Tar:
    """The true accept rate at the least threshold whose false accept rate is at most `far`."""

    far: float
    threshold: float
    rate: Rate


@dataclass(frozen=True, slots=True)
class Rates:
    """What the pairs show.

    Attributes:
        genuine: pairs of one person.
        impostor: pairs of two.
        people: who take part.
        eer: the rate at which false accepts and false rejects are equally many.
        auc: chance that a genuine pair scores above an impostor pair, ties half.
        tar: at each false accept rate that the pairs support.
    """

    genuine: int
    impostor: int
    people: int
    eer: Rate
    auc: Rate
    tar: tuple[Tar, ...]

    def at(self, far: float) -> Tar | None:
        """The true accept rate at `far`, None where the pairs cannot show it."""
        return next((tar for tar in self.tar if tar.far == far), None)


def rates(trials: Trials, rounds: int = ROUNDS, fars: tuple[float, ...] = FARS) -> Rates:
    """Measure. Raises RatesError where there is no genuine or no impostor pair."""
    ranked = _Ranked(trials)
    plain = ranked.weigh(np.ones(ranked.people), fars)
    rng = np.random.default_rng(_SEED)
    drawn = [ranked.weigh(ranked.draw(rng), fars) for _ in range(rounds)]
    trusted = [number for number, far in enumerate(fars) if supported(far, ranked.impostor)]
    rejects = round(plain.frr * ranked.genuine)
    return Rates(
        genuine=ranked.genuine,
        impostor=ranked.impostor,
        people=ranked.people,
        eer=_widened(plain.eer, [one.eer for one in drawn], rejects, ranked.genuine),
        auc=_between(plain.auc, [one.auc for one in drawn]),
        tar=tuple(
            Tar(
                fars[k],
                plain.threshold[k],
                _widened(
                    plain.tar[k],
                    [one.tar[k] for one in drawn],
                    round(plain.tar[k] * ranked.genuine),
                    ranked.genuine,
                ),
            )
            for k in trusted
        ),
    )


@dataclass(frozen=True, slots=True)
class _Weighed:
    """One weighing of the people. `frr`: false reject rate at the threshold of `eer`."""

    eer: float
    frr: float
    auc: float
    tar: tuple[float, ...]
    threshold: tuple[float, ...]


class _Ranked:
    """Pairs sorted once, best score first, so that weighing the people anew costs sums only."""

    def __init__(self, trials: Trials) -> None:
        self.genuine, self.impostor = int(trials.same.sum()), int((~trials.same).sum())
        if not self.genuine or not self.impostor:
            raise RatesError(f"{self.genuine} genuine and {self.impostor} impostor pairs: both kinds are needed")
        order = np.argsort(-trials.scores, kind="stable")
        self._scores, self._same = trials.scores[order], trials.same[order]
        names, index = np.unique(np.concatenate([trials.first, trials.second]), return_inverse=True)
        self.people = len(names)
        self._first, self._second = index[: len(order)][order], index[len(order) :][order]
        self._ends = np.flatnonzero(np.append(self._scores[1:] != self._scores[:-1], True))  # equal scores: one step

    def draw(self, rng: np.random.Generator) -> F64:
        """(people,) how often each is drawn, once there is a genuine and an impostor pair among them."""
        while True:
            times = np.bincount(rng.integers(0, self.people, self.people), minlength=self.people).astype(np.float64)
            pairs = times[self._first] * times[self._second]
            if pairs[self._same].any() and pairs[~self._same].any():
                return times

    def weigh(self, times: F64, fars: tuple[float, ...]) -> _Weighed:
        """The rates when person k counts `times[k]` times: his genuine pairs as often, others as both sides say."""
        one, other = times[self._first], times[self._second]
        accepted = np.cumsum(np.where(self._same, one, 0.0))[self._ends]
        false = np.cumsum(np.where(self._same, 0.0, one * other))[self._ends]
        tar, far = accepted / accepted[-1], false / false[-1]
        # one point before the first score: nobody is accepted
        tar, far = np.append(0.0, tar), np.append(0.0, far)
        cross = int(np.argmin(np.abs(far - (1 - tar))))
        last = [int(np.searchsorted(far, rate * (1 + 1e-12), side="right")) - 1 for rate in fars]
        auc = float(np.sum(np.diff(far) * (tar[1:] + tar[:-1]) / 2))
        return _Weighed(
            eer=float(far[cross] + 1 - tar[cross]) / 2,
            frr=float(1 - tar[cross]),
            auc=auc,
            tar=tuple(float(tar[k]) for k in last),
            threshold=tuple(self._threshold(k) for k in last),
        )

    def _threshold(self, point: int) -> float:
        """That accepts the first `point` distinct scores."""
        if point == 0:
            return float(np.nextafter(self._scores[0], np.inf))
        return float(self._scores[self._ends[point - 1]])


def exact_bounds(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Clopper-Pearson bounds of `hits` in `trials`."""
    low = 0.0 if hits == 0 else float(beta.ppf((1 - level) / 2, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf((1 + level) / 2, hits + 1, trials - hits))
    return low, high


def _between(value: float, drawn: list[float]) -> Rate:
    """What drawing people anew says."""
    low, high = (float(edge) for edge in np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]))
    return Rate(value, min(low, value), max(high, value))


def _widened(value: float, drawn: list[float], hits: int, trials: int) -> Rate:
    """The wider of what drawing people anew says and what so many trials can say."""
    people, exact = _between(value, drawn), exact_bounds(hits, trials)
    return Rate(value, min(people.low, exact[0]), max(people.high, exact[1]))


def curve(trials: Trials) -> tuple[F64, F64]:
    """(false accept rates, true accept rates), rising, one point a distinct score: for a drawing."""
    scores = np.unique(trials.scores)[::-1]
    genuine, impostor = np.sort(trials.genuine), np.sort(trials.impostor)
    accepted = 1 - np.searchsorted(genuine, scores, side="left") / len(genuine)
    false = 1 - np.searchsorted(impostor, scores, side="left") / len(impostor)
    return np.asarray(false, np.float64), np.asarray(accepted, np.float64)
