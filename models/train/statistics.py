"""Error rates with their intervals, and the fit that turns a cosine into a likelihood ratio."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import beta

Scores = NDArray[np.float64]


def upper_bound(errors: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson upper bound of an error rate; about 3 / trials where there was no error."""
    return 1.0 if errors >= trials else float(beta.ppf(confidence, errors + 1, trials - errors))


def threshold_for(impostor: Scores, rate: float) -> float:
    """Return the least threshold, on a grid of 0.0001, with at most `rate` of `impostor` at or above it."""
    allowed = int(rate * len(impostor))
    ranked = np.sort(impostor)[::-1]
    return float(np.floor(ranked[allowed] * 1e4 + 1) / 1e4)


@dataclass(frozen=True, slots=True)
class Fit:
    """log likelihood ratio = slope * cosine + offset, natural logarithm."""

    slope: float
    offset: float


def fit_llr(genuine: Scores, impostor: Scores, ridge: float = 1e-6) -> Fit:
    """Logistic regression with both classes weighing the same, so that its log-odds are a log likelihood ratio."""

    def loss(parameters: Scores) -> float:
        slope, offset = parameters
        return float(
            np.logaddexp(0, -(slope * genuine + offset)).mean()
            + np.logaddexp(0, slope * impostor + offset).mean()
            + ridge * slope**2
        )

    slope, offset = minimize(loss, np.array([20.0, -6.0]), method="Nelder-Mead").x
    return Fit(float(slope), float(offset))


def bootstrap_rates(
    scores: Scores, first: NDArray[np.int64], second: NDArray[np.int64], threshold: float, rounds: int, seed: int
) -> Scores:
    """False match rates over resampled people: pairs share people, so pairs alone claim too much.

    Args:
        scores: (n,) impostor cosines.
        first: (n,) person on one side.
        second: (n,) person on the other side.
        threshold: a cosine at or above it is a match.
        rounds: resamplings.
        seed: of the resampling.

    Returns:
        (rounds,) rates; a person drawn k times weighs k times in each of his pairs.
    """
    people, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = index[: len(first)], index[len(first) :]
    hit = scores >= threshold
    rng = np.random.default_rng(seed)
    rates = np.empty(rounds)
    for i in range(rounds):
        drawn = np.bincount(rng.integers(0, len(people), len(people)), minlength=len(people)).astype(np.float64)
        weight = drawn[a] * drawn[b]
        rates[i] = weight[hit].sum() / weight.sum()
    return rates
