"""How far the liveness network tells each group of instruments from life: on tuning people, and on groups left out.

A table row is one group: how many faces, the middle of their values, how many of a hundred lie above the value that a
fiftieth of living faces falls below, and the chance that a living face has a larger value than one of the group.
"""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.train.liveness_faces import GROUPS, Stored, group_of

MISSED = 0.02
"""Share of living faces below the value that instruments are held against."""
RATES = Path(__file__).parents[1] / "cards" / "liveness.json"


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


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `liveness_left_out` measured of the recipe, by group: of a network that saw it, and of one that did not.

    Attributes:
        about: in words.
        people, epochs: of each training run.
        seen: by a network trained on every group.
        left_out: by one trained without that group.
    """

    about: str
    people: int
    epochs: int
    seen: dict[str, Row]
    left_out: dict[str, Row]


def load_rates() -> Rates:
    """What was measured last. Raises OSError or msgspec.MsgspecError."""
    return msgspec.json.decode(RATES.read_bytes(), type=Rates, strict=True)


def left_out_table(rates: Rates) -> str:
    """The table of docs and card."""
    lines = [
        "| group | faces | seen: pass | seen: ranked | left out: pass | left out: ranked |",
        "|---|---|---|---|---|---|",
    ]
    for name, unseen in rates.left_out.items():
        seen = rates.seen[name]
        lines.append(
            f"| {name.replace('_', ' ')} | {unseen.faces} | {100 * seen.passed:.0f} % | {seen.ranked:.3f} "
            f"| {100 * unseen.passed:.0f} % | {unseen.ranked:.3f} |"
        )
    return "\n".join(lines)


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
