"""What is known of a presentation: gates, which must hold, and cues, which are weighed.

Polarity, stated once: a log-likelihood ratio is larger the more alive, in nats.
"""

import math

import msgspec

PENDING = "gathering"
"""Reason of a gate that has not failed but has not seen enough frames yet. It refuses like any other."""


class Gate(msgspec.Struct, frozen=True):
    """What one gate found. `value` is NaN where it could not be computed, and then `passed` is False.

    `reason` is a code, empty where it passed; the plain sentence for it stands with all others (`core.reasons`).
    """

    name: str
    value: float
    limit: str
    passed: bool
    reason: str


class Cue(msgspec.Struct, frozen=True):
    """What one soft cue says. `value` is NaN where it could not be measured; `llr` then is what the file says of that.

    `llr`: log of how much likelier the value is on a living face than on an artefact, nats, bounded both ways.
    """

    name: str
    value: float
    llr: float


def within(name: str, value: float, low: float, high: float, unit: str, reason: str) -> Gate:
    """A gate that wants `value` within [low, high]."""
    limit = f"{low:g}..{high:g} {unit}" if math.isfinite(high) else f">= {low:g} {unit}"
    if not math.isfinite(value):
        return Gate(name, math.nan, limit, False, "gate_unknown")
    passed = low <= value <= high
    return Gate(name, value, limit, passed, "" if passed else reason)
