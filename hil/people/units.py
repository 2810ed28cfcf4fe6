"""Which face units make up each movement of `Expression`: both generators speak ARKit's names, spelled their own way.

Each movement is a weighted sum of units. `_L` and `_R` are the person's own; ICT writes them so, MakeHuman writes
`Left` and `Right` and has some pairs as one unit.
"""

from collections.abc import Callable

import numpy as np

from hil.people.actor import MOVEMENTS
from hil.people.head import PeopleError
from hil.sensor.surface import F32, I32

MOVED_MM = 0.02  # smaller offsets are left out: below the sensor's noise by far


def _both(name: str, weight: float = 1.0) -> tuple[tuple[str, float], ...]:
    return (f"{name}_L", weight), (f"{name}_R", weight)


UNITS: dict[str, tuple[tuple[str, float], ...]] = {
    "smile": (*_both("mouthSmile"), *_both("cheekSquint", 0.4)),
    "mouth_open": (("jawOpen", 1.0),),
    "blink_left": (("eyeBlink_L", 1.0),),
    "blink_right": (("eyeBlink_R", 1.0),),
    "brow_raise": (*_both("browInnerUp"), *_both("browOuterUp")),
    "brow_lower": _both("browDown"),
    "squint": (*_both("eyeSquint"), *_both("cheekSquint", 0.5)),
    "lips_round": (("mouthPucker", 0.8), ("mouthFunnel", 0.4)),
    "lips_wide": _both("mouthStretch"),
    "lips_press": (*_both("mouthPress"), ("mouthRollUpper", 0.4), ("mouthRollLower", 0.4)),
    "frown": _both("mouthFrown"),
    "nose_wrinkle": _both("noseSneer"),
    "cheek_puff": _both("cheekPuff"),
    "jaw_side": (("jawLeft", 0.5), ("jawRight", -0.5)),
}

Offsets = tuple[I32, F32]
"""Vertices that a movement moves (n,) and by how much at weight 1 (n, 3) float32 mm."""


def movements(unit: Callable[[str], F32]) -> dict[str, Offsets]:
    """Every movement, from a reader of dense units (V, 3) in mm by their ICT name."""
    made: dict[str, Offsets] = {}
    for movement in MOVEMENTS:
        dense = np.sum([weight * unit(name) for name, weight in UNITS[movement]], axis=0)
        made[movement] = sparse(dense)
    return made


def sparse(dense_mm: F32) -> Offsets:
    """Only the vertices that move. Raises PeopleError if none does."""
    moved = np.flatnonzero(np.abs(dense_mm).max(axis=1) > MOVED_MM).astype(np.int32)
    if not len(moved):
        raise PeopleError("a face unit moves nothing: is the data complete?")
    return moved, np.ascontiguousarray(dense_mm[moved], np.float32)
