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
FINE = 30_000
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
        eer: the rate at which false accepts and false rejects are equal, between two thresholds in a straight line.
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
    plain = ranked.plain(fars)
    rng = np.random.default_rng(_SEED)
    drawn = [ranked.drawn(fars, rng) for _ in range(rounds)]
    trusted = [number for number, far in enumerate(fars) if supported(far, ranked.impostor)]
    rejects = round(plain.eer * ranked.genuine)
    return Rates(
        genuine=ranked.genuine,
        impostor=ranked.impostor,
        people=ranked.people,
        eer=_widened(plain.eer, [one.eer for one in drawn], rejects, ranked.genuine),
        auc=_between(plain.auc, [one.auc for one in drawn]),
        tar=tuple(
            Tar(
                fars[k],
                ranked.threshold(plain.last[k]),
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
    """One weighing of the people.

    `last` is, by false accept rate, how many distinct scores get in.
    """

    eer: float
    auc: float
    tar: tuple[float, ...]
    last: tuple[int, ...]


class _Ranked:
    """Pairs by rank, best score first, so that weighing the people anew costs sums only.

    Ranks are the distinct scores; for the drawing anew those beyond the best `FINE` are taken together.
    """

    def __init__(self, trials: Trials) -> None:
        self.genuine, self.impostor = int(trials.same.sum()), int((~trials.same).sum())
        if not self.genuine or not self.impostor:
            raise RatesError(f"{self.genuine} genuine and {self.impostor} impostor pairs: both kinds are needed")
        self._scores, place = np.unique(-trials.scores, return_inverse=True)
        names, index = np.unique(np.concatenate([trials.first, trials.second]), return_inverse=True)
        self.people = len(names)
        first, second = index[: len(place)], index[len(place) :]
        self._who = first[trials.same]
        self._sides = first[~trials.same], second[~trials.same]
        self._fine = place[trials.same], place[~trials.same], len(self._scores)
        together = np.arange(len(self._scores))
        beyond = np.maximum(together - FINE, 0)
        together = np.minimum(together, FINE) + beyond // max(1, -(-len(together) // FINE))
        self._coarse = together[self._fine[0]], together[self._fine[1]], int(together[-1]) + 1

    def plain(self, fars: tuple[float, ...]) -> _Weighed:
        """Everybody counts once."""
        return self._weigh(np.ones(self.people), fars, self._fine)

    def drawn(self, fars: tuple[float, ...], rng: np.random.Generator) -> _Weighed:
        """People drawn anew, until there is a genuine and an impostor pair among them."""
        while True:
            times = np.bincount(rng.integers(0, self.people, self.people), minlength=self.people).astype(np.float64)
            if times[self._who].any() and (times[self._sides[0]] * times[self._sides[1]]).any():
                return self._weigh(times, fars, self._coarse)

    def _weigh(self, times: F64, fars: tuple[float, ...], ranks: tuple[I64, I64, int]) -> _Weighed:
        """Person k counts `times[k]` times: his genuine pairs as often, others as both sides say."""
        genuine, impostor, count = ranks
        accepted = np.cumsum(np.bincount(genuine, times[self._who], count))
        false = np.cumsum(np.bincount(impostor, times[self._sides[0]] * times[self._sides[1]], count))
        # one point before the first rank: nobody is accepted
        tar, far = (np.append(0.0, reached / reached[-1]) for reached in (accepted, false))
        after = int(np.argmax(far + tar >= 1))  # the first point where false accepts are no fewer than false rejects
        more = far[after] + tar[after] - (far[after - 1] + tar[after - 1])
        share = (1 - far[after - 1] - tar[after - 1]) / more
        eer = float(far[after - 1] + share * (far[after] - far[after - 1]))
        last = [int(np.searchsorted(far, rate * (1 + 1e-12), side="right")) - 1 for rate in fars]
        return _Weighed(
            eer=eer,
            auc=float(np.sum(np.diff(far) * (tar[1:] + tar[:-1]) / 2)),
            tar=tuple(float(tar[k]) for k in last),
            last=tuple(last),
        )

    def threshold(self, rank: int) -> float:
        """The least score that accepts the best `rank` distinct scores."""
        return float(-self._scores[rank - 1] if rank else np.nextafter(-self._scores[0], np.inf))


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
