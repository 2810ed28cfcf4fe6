"""How near one presentation came to being accepted, as one number that a search can climb.

    0 to 1   gates of shape, light and code: the share that held, over the frames that were looked at; one that failed
             counts by how near its value is to its limit
    1 to 2   all of them held in a frame, the cues did not weigh enough: nearer to 2 the less was missing
    2 to 3   the cues weighed enough as well: the share of what the policy asks for besides (motion, attention); motion
             that was not enough counts by how much there was
    3        accepted

Rules kept here:
- It is made from the verdicts that the decision is made from; it decides nothing.
- What cannot be made, or shows no face, is as far away as can be: 0.
"""

import math
import re
from typing import Final

from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.policy import Policy
from firmware.liveness.verdict import DYNAMIC, GATES, Verdict, holds, wanted

ACCEPTED: Final = 3.0
_NATS = 4.0  # missing, that take all but a third of a step away
_NEARLY = 0.99
_FAILED = 0.9
_LIMIT = re.compile(r"(?:>= )?(?P<low>\d+(?:\.\d+)?)(?:\.\.(?P<high>\d+(?:\.\d+)?))?")


class Nearness:
    """Watches one presentation being judged.

    Attributes:
        llr: sum of the cues in the frame that came nearest, nats; None where some gate failed in every frame.
        faced: whether there was a face to judge.
        least: the cue that spoke against it most in that frame, or least for it.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._shares: list[float] = []
        self._best = 0.0
        self.faced = False
        self.llr: float | None = None
        self.least = ""

    def watch(self, finding: Verdict | str) -> None:
        """Take what was found in one frame."""
        if isinstance(finding, str):
            self._shares.append(0.0)
            return
        self.faced = True
        gates = {gate.name: gate for gate in finding.gates}
        self._shares.append(sum(_held(gates[name]) for name in GATES if name in gates) / len(GATES))
        if not all(name in gates and holds(gates[name]) for name in GATES) or math.isnan(finding.llr):
            return
        missing = self._policy.llr_min - finding.llr
        near = 1 + math.exp(-missing / _NATS) if missing > 0 else 2 + self._besides(gates, finding.llr)
        if near > self._best:
            self._best, self.llr = near, finding.llr
            self.least = min((cue.llr, cue.name) for cue in finding.cues if cue.name in self._policy.cues)[1]

    def _besides(self, gates: dict[str, Gate], llr: float) -> float:
        names = [name for name in wanted(self._policy, llr) if name not in GATES]
        if not names:
            return _NEARLY
        return sum(_share(gates.get(name)) for name in names) / len(names) * _NEARLY

    @property
    def score(self) -> float:
        """Of all frames so far, unless it was accepted."""
        share = sum(self._shares) / len(self._shares) if self._shares else 0.0
        return max(self._best, share * _NEARLY)


def _held(gate: Gate) -> float:
    """1 where it holds or waits for more frames; else how near its value is to the limit it is told with (`within`)."""
    if holds(gate) or gate.reason == PENDING:
        return 1.0
    limit = _LIMIT.match(gate.limit)
    if limit is None or not gate.value > 0:
        return 0.0
    low, high = float(limit["low"]), float(limit["high"] or math.inf)
    return min(gate.value / low if gate.value < low else high / gate.value, 1.0) * _FAILED


def _share(gate: Gate | None) -> float:
    """1 where it holds; of motion that was not enough, how much there was."""
    if gate is None:
        return 0.0
    if holds(gate):
        return 1.0
    return min(max(gate.value, 0.0), 1.0) * _NEARLY if gate.name == DYNAMIC and math.isfinite(gate.value) else 0.0
