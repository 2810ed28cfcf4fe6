"""Error rates of presentation attack detection, and what so many trials may claim (ISO/IEC 30107-3).

- APCER, of one species: the share of its distinct identity x instrument pairs that got a response and of which any
  presentation was accepted. Ten tries of one mask of one person are one trial, and accepted if one of them was.
- BPCER: the share of bona fide presentations that got a response and were refused.
- Non-responses are in neither: they are counted beside.

Rules kept here:
- There is no rate over several species, and no mean of the two: the worst species speaks for all.
- Frames are no trials, and presentations of one person are not independent: beside the exact interval stands one from
  drawing people anew, and where nobody or everybody erred, which no drawing can vary, the exact one of so many people.
- No error in n trials claims 1 - 0.05^(1/n), about 3/n, and no less.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from hil.evaluate.rates import LEVEL, exact_bounds

ROUNDS = 1000
LEAST_CELL = 100
"""People in a group below which no rate is printed."""
_SEED = 0xBADFACE


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Errors in trials; both intervals hold 19 times in 20.

    Attributes:
        errors: attacks accepted, or bona fide presentations refused.
        trials: as the module says, with a response.
        people: identities among them.
        value: errors over trials.
        interval: Clopper-Pearson.
        bootstrap: from drawing people anew.
        claim: what may be claimed: the true rate is no larger, 19 times in 20.
    """

    errors: int
    trials: int
    people: int
    value: float
    interval: tuple[float, float]
    bootstrap: tuple[float, float]
    claim: float


def apcer(responses: Iterable[tuple[str, str, bool]]) -> ErrorRate | None:
    """Of one species, from subject, instrument and whether accepted, once a presentation; None without any."""
    pairs: dict[tuple[str, str], bool] = {}
    for subject, instrument, accepted in responses:
        pairs[subject, instrument] = accepted or pairs.get((subject, instrument), False)
    if not pairs:
        return None
    errors, trials = _by_person((subject, wrong) for (subject, _), wrong in pairs.items())
    interval = exact_bounds(sum(pairs.values()), len(pairs))
    return _rate(errors, trials, interval, claim(len(pairs), sum(pairs.values())))


def bpcer(responses: Iterable[tuple[str, bool]]) -> ErrorRate | None:
    """From subject and whether refused, once a presentation; None without any.

    The exact interval is that of so many people, erring as often: whoever comes ten times is one person.
    """
    errors, trials = _by_person(responses)
    if not errors:
        return None
    hits = sum(errors.values()) / sum(trials.values()) * len(trials)
    least, most = int(np.floor(hits + 1e-9)), int(np.ceil(hits - 1e-9))
    interval = exact_bounds(least, len(trials))[0], exact_bounds(most, len(trials))[1]
    return _rate(errors, trials, interval, claim(len(trials), most))


def claim(trials: int, errors: int = 0) -> float:
    """The least rate that so many errors in so many trials may claim: one-sided Clopper-Pearson bound at 95 %.

    Raises ValueError: there cannot be so many.
    """
    if not 0 <= errors <= trials:
        raise ValueError(f"{errors} errors in {trials} trials")
    return 1.0 if errors == trials else float(beta.ppf(LEVEL, errors + 1, trials - errors))


def needed(rate: float, errors: int = 0) -> int:
    """Trials with so many errors that a claim of `rate` takes. Raises ValueError unless 0 < `rate` < 1."""
    if not 0 < rate < 1 or errors < 0:
        raise ValueError(f"a rate of {rate} with {errors} errors")
    most = errors + 1
    while claim(most, errors) > rate:
        most *= 2
    least = errors
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if claim(middle, errors) > rate else (least, middle)
    return most


def _by_person(responses: Iterable[tuple[str, bool]]) -> tuple[dict[str, int], dict[str, int]]:
    errors: dict[str, int] = {}
    trials: dict[str, int] = {}
    for subject, wrong in responses:
        errors[subject] = errors.get(subject, 0) + wrong
        trials[subject] = trials.get(subject, 0) + 1
    return errors, trials


def _rate(
    errors: Mapping[str, int], trials: Mapping[str, int], interval: tuple[float, float], claimed: float
) -> ErrorRate:
    of, wrong = np.array(list(trials.values()), np.float64), np.array(list(errors.values()), np.float64)
    total, count, people = int(of.sum()), int(wrong.sum()), len(of)
    if 0 < count < total:
        rng = np.random.default_rng(_SEED)
        drawn = (np.bincount(rng.integers(0, people, people), minlength=people) for _ in range(ROUNDS))
        rates = [float(times @ wrong / (times @ of)) for times in drawn]
        low, high = (float(edge) for edge in np.percentile(rates, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]))
    else:
        low, high = exact_bounds(people if count else 0, people)
    return ErrorRate(count, total, people, count / total, interval, (low, high), claimed)
