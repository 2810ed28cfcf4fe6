"""From gates and cues to one word: alive, or why not.

Rules kept here:
- Every gate of `GATES` must be there and hold, with a value; one that is missing refuses. No weight can make up for it.
- Only then are the cues weighed: their log-likelihood ratios add up, each bounded, and the sum must reach the policy's
  least. Each cue of the policy counts exactly once, and what is no finite number counts against.
- What speaks against it is named before what is still missing: waiting helps no artefact. Eyes that look elsewhere are
  nobody's attack, so what the cues say is named before them: a head without eyes would else never count as one.
- What a policy wants besides (motion, attention, a secret) are gates like the others. Where motion is asked for in
  doubt, the cues say whether it is; they never make up for it once it is.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firmware.liveness.evidence import PENDING, Cue, Gate
from firmware.liveness.policy import Policy

GATES: Final[tuple[str, ...]] = (
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
ATTENTIVE: Final = "attentive"
PIN: Final = "pin"
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
    def dynamic(self) -> bool:
        """Whether it has moved as nothing rigid can."""
        return any(gate.name == DYNAMIC and holds(gate) for gate in self.gates)

    @property
    def pending(self) -> bool:
        """Whether nothing speaks against it but that more frames are needed."""
        return self.reason == PENDING


def holds(gate: Gate) -> bool:
    """Whether a gate passed. One that passed without a value, or with a reason why not, has not."""
    return gate.passed and not gate.reason and math.isfinite(gate.value)


def wanted(policy: Policy, llr: float) -> tuple[str, ...]:
    """Gates that must hold under `policy`, where the cues sum up to `llr`."""
    names = GATES
    if policy.attention:
        names = (*names, ATTENTIVE)
    if policy.dynamic in ("always", "challenge") or (policy.dynamic == "doubt" and not llr >= policy.llr_sure):
        names = (*names, DYNAMIC)
    return (*names, PIN) if policy.pin else names


def weigh(gates: Sequence[Gate], cues: Sequence[Cue], policy: Policy) -> Verdict:
    """Decide. Larger `llr` is more alive."""
    counted = [cue for cue in cues if cue.name in policy.cues]
    complete = Counter(cue.name for cue in counted) == Counter(policy.cues)
    llr = sum(cue.llr for cue in counted) if complete else math.nan
    enough = math.isfinite(llr) and llr >= policy.llr_min
    held = {gate.name for gate in gates if holds(gate)}
    failed = [gate for gate in gates if not holds(gate)]
    against = [gate.reason or UNKNOWN for gate in failed if gate.reason != PENDING and gate.name != ATTENTIVE]
    elsewhere = [gate.reason or UNKNOWN for gate in failed if gate.reason != PENDING and gate.name == ATTENTIVE]
    if against:
        reason = against[0]
    elif held.issuperset(GATES) and not enough:
        reason = NOT_ALIVE
    elif elsewhere:
        reason = elsewhere[0]
    elif failed:
        reason = PENDING
    elif not held.issuperset(wanted(policy, llr)):
        reason = UNKNOWN
    else:
        reason = ""
    return Verdict(reason, tuple(gates), tuple(cues), llr)
