"""From gates and cues to one word: alive, or why not.

Rules kept here:
- Every gate of `GATES` must be there and hold; one that is missing refuses. No weight can make up for it.
- Only then are the cues weighed: their log-likelihood ratios add up, each bounded, and the sum must reach the policy's
  least.
- What speaks against it is named before what is still missing: waiting helps no artefact.
"""

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
    "edges",
    "eye_distance",
    "exposure",
    "albedo",
    "coherent",
    "code",
)
DYNAMIC: Final = "dynamic"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a presentation so far.

    Attributes:
        reason: empty means alive; else a code of `core.reasons`.
        gates: what was computed, in order.
        cues: what was weighed.
        llr: sum of the policy's cues, nats.
    """

    reason: str
    gates: tuple[Gate, ...]
    cues: tuple[Cue, ...]
    llr: float

    @property
    def pending(self) -> bool:
        """Whether nothing speaks against it but that more frames are needed."""
        return self.reason == PENDING


def weigh(gates: Sequence[Gate], cues: Sequence[Cue], policy: Policy) -> Verdict:
    """Decide. Larger `llr` is more alive."""
    held = {gate.name for gate in gates if gate.passed}
    failed = [gate.reason for gate in gates if not gate.passed]
    counted = [cue for cue in cues if cue.name in policy.cues]
    llr = sum(cue.llr for cue in counted)
    against = [reason for reason in failed if reason != PENDING]
    wanted = (*GATES, DYNAMIC) if policy.dynamic else GATES
    if against:
        reason = against[0]
    elif failed:
        reason = PENDING
    elif not held.issuperset(wanted):
        reason = "gate_unknown"
    elif {cue.name for cue in counted} != set(policy.cues) or not llr >= policy.llr_min:
        reason = "not_alive"
    else:
        reason = ""
    return Verdict(reason, tuple(gates), tuple(cues), llr)
