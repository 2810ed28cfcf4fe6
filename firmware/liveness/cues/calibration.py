"""What a cue's value is worth: tables of log-likelihood ratios, shipped in `cues.toml`.

Rules kept here:
- A ratio is larger the more alive, in nats, and bounded both ways: no single cue can decide alone.
- A cue that could not be measured is worth what the file says, and that is never above nothing.
- The tables are read strictly: what is out of order, unbounded or not a number is refused.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise

import msgspec
import numpy as np

from firmware.liveness.evidence import Cue
from firmware.liveness.policy import CueName

BOUND = 3.0
"""Nats: no ratio lies further from nothing, whatever the counts."""


class CueError(ValueError):
    """The tables cannot be used."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cue: the ratio is linear between `values`, and constant beyond both ends.

    Attributes:
        values: of the cue, rising.
        llr: at each of them, nats.
        unknown: where the cue could not be measured; at most 0.
    """

    values: tuple[float, ...]
    llr: tuple[float, ...]
    unknown: float

    def __post_init__(self) -> None:
        """Check order and bounds. Raises CueError."""
        if len(self.values) != len(self.llr) or not 2 <= len(self.values) <= 200:
            raise CueError(
                f"a table has 2 to 200 values and as many ratios, not {len(self.values)} and {len(self.llr)}"
            )
        if not all(math.isfinite(number) for number in (*self.values, *self.llr, self.unknown)):
            raise CueError("a table holds what is not a number")
        if not all(one < other for one, other in pairwise(self.values)):
            raise CueError("the values of a table rise")
        if max(map(abs, (*self.llr, self.unknown))) > BOUND or self.unknown > 0:
            raise CueError(f"a ratio lies within {BOUND} nats, that of an unknown cue at or below 0")

    def at(self, value: float) -> float:
        """The ratio of `value`, nats."""
        return float(np.interp(value, self.values, self.llr)) if math.isfinite(value) else self.unknown


class CueCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables, and what they rest on.

    Attributes:
        about: kind of evidence, counts, seeds, digest of the frames.
        tables: by cue.
    """

    about: str
    tables: dict[CueName, Table]

    def weigh(self, values: Mapping[CueName, float], names: Sequence[CueName]) -> tuple[Cue, ...]:
        """What each cue of `names` says, in their order; one without a value or a table is unknown.

        A cue the file has no table for is worth as much against life as any can be.
        """
        weighed = []
        for name in names:
            value = values.get(name, math.nan)
            table = self.tables.get(name)
            weighed.append(Cue(name, value, -BOUND if table is None else table.at(value)))
        return tuple(weighed)


def parse(raw: bytes) -> CueCalibration:
    """Read `cues.toml`. Raises CueError."""
    try:
        return msgspec.toml.decode(raw, type=CueCalibration, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CueError(f"cues.toml: {error}") from error


def load_cues() -> tuple[CueCalibration, bytes]:
    """The shipped tables and the SHA-256 of their file. Raises CueError."""
    raw = (files("firmware.liveness.cues") / "cues.toml").read_bytes()
    return parse(raw), hashlib.sha256(raw).digest()
