"""How many presentations a claim takes, and what a list at hand can claim at best."""

from collections.abc import Sequence
from typing import Final

from hil.evaluate.presentation_manifest import BONA_FIDE, Presentation
from hil.evaluate.presentation_rates import claim, needed

TARGETS: Final = (0.15, 0.07, 0.03, 0.01)
"""Rates that schemes ask for: iBeta's BPCER, FIDO's IAPAR per species, and stricter ones."""


def supported(claimed: float) -> float | None:
    """The strictest of `TARGETS` that a claim holds; None for none."""
    return min((rate for rate in TARGETS if claimed <= rate), default=None)


def plan(rates: Sequence[float], errors: int) -> dict[float, int]:
    """Trials by rate. Raises ValueError unless every rate lies between 0 and 1."""
    return {rate: needed(rate, errors) for rate in rates}


def at_best(presentations: Sequence[Presentation]) -> dict[str, tuple[int, float]]:
    """By species, and of bona fide people: trials listed, and what they claim if none errs and all get a response."""
    trials: dict[str, set[tuple[str, str]]] = {}
    for one in presentations:
        trials.setdefault(BONA_FIDE if one.label == BONA_FIDE else one.species, set()).add(one.pair)
    return {name: (len(pairs), claim(len(pairs))) for name, pairs in sorted(trials.items())}
