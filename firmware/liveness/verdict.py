"""From gates and cues to one word: alive, or why not.

Rules kept here:
- Every gate of `GATES` must be there and hold, with a value; one that is missing refuses. No weight can make up for it.
- Only then are the cues weighed: their log-likelihood ratios add up, each bounded, and the sum must reach the policy's
  least. Each cue of the policy counts exactly once, and what is no finite number counts against.
- What speaks against it is named before what is still missing: waiting helps no artefact.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firmware.liveness.evidence import PENDING, Cue, Gate
from firmware.liveness.policy import Policy

GATES: Final = (
    "fresh",
    "depth_coverage",
    "relief",
    "solid_relief",
    "plane",
    "nose",
    "edges",
    "eye_distance",
    "exposure",
    "albedo",
    "coherent",
    "code",
)
DYNAMIC: Final = "dynamic"
NOT_ALIVE: Final = "not_alive"
UNKNOWN: Final = "gate_unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a presentation so far.

    Attributes:
        reason: empty means alive; else a code of `core.reasons`.
        gates: what was computed, in order.
        cues: what was weighed.
        llr: sum of the policy's cues, nats; NaN where not all of them are there.
    """

    reason: str
    gates: tuple[Gate, ...]
    cues: tuple[Cue, ...]
    llr: float

    @property
    def alive(self) -> bool:
        """Whether every gate held and the cues weighed enough."""
        return not self.reason

    @property
    def pending(self) -> bool:
        """Whether nothing speaks against it but that more frames are needed."""
        return self.reason == PENDING


def holds(gate: Gate) -> bool:
    """Whether a gate passed. One that passed without a value, or with a reason why not, has not."""
    return gate.passed and not gate.reason and math.isfinite(gate.value)


def weigh(gates: Sequence[Gate], cues: Sequence[Cue], policy: Policy) -> Verdict:
    """Decide. Larger `llr` is more alive."""
    held = {gate.name for gate in gates if holds(gate)}
    failed = [gate.reason or UNKNOWN for gate in gates if not holds(gate)]
    against = [reason for reason in failed if reason != PENDING]
    wanted = (*GATES, DYNAMIC) if policy.dynamic else GATES
    counted = [cue for cue in cues if cue.name in policy.cues]
    complete = Counter(cue.name for cue in counted) == Counter(policy.cues)
    llr = sum(cue.llr for cue in counted) if complete else math.nan
    if against:
        reason = against[0]
    elif failed:
        reason = PENDING
    elif not held.issuperset(wanted):
        reason = UNKNOWN
    elif not (math.isfinite(llr) and llr >= policy.llr_min):
        reason = NOT_ALIVE
    else:
        reason = ""
    return Verdict(reason, tuple(gates), tuple(cues), llr)
