"""How far the liveness network tells each group of instruments from life: on tuning people, and on groups left out.

A table row is one group: how many faces, the middle of their values, how many of a hundred lie above the value that a
fiftieth of living faces falls below, and the chance that a living face has a larger value than one of the group.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.train.liveness_faces import GROUPS, Stored, group_of

MISSED = 0.02
"""Share of living faces below the value that instruments are held against."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One group.

    Attributes:
        faces: how many.
        median: of their values.
        passed: share at or above the value that `MISSED` of living faces fall below.
        ranked: chance that a living face has the larger value (area under the curve); 0.5 is none.
    """

    faces: int
    median: float
    passed: float
    ranked: float


def rows(values: NDArray[np.float64], faces: Stored) -> dict[str, Row]:
    """By group, life first."""
    group = group_of(faces.kind)
    living = np.sort(values[group == 0])
    least = float(np.quantile(living, MISSED))
    found = {}
    for place, name in enumerate(GROUPS):
        own = values[group == place]
        if len(own):
            below = np.searchsorted(living, own, "left"), np.searchsorted(living, own, "right")
            ranked = float(1 - np.mean((below[0] + below[1]) / 2) / len(living))
            passed = float((own >= least).mean())
            found[name] = Row(len(own), *(round(one, 4) for one in (float(np.median(own)), passed, ranked)))
    return found
