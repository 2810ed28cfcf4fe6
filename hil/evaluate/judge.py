"""One presentation, frame by frame, to its decision: what a terminal of this version makes of it.

Accepted: a frame with an alive verdict. Refused: three findings of one attack, as a terminal ends a session, or the
end of the frames, or of the time a terminal looks, without such a frame. Non-response: there was nothing to decide on,
and that is neither: it is counted apart, with its reason.

Rules kept here:
- The first alive frame decides. A terminal may want more of them, so nothing is refused here that it accepts.
- Recordings and finished films cannot be asked anything: a policy that asks for motion is judged by the rest
  (`static`), and whoever reports it says so. Who can be asked is judged by `dynamic_judge`.
- Frames are judged at their own time: order and repetition can fail, age cannot.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Literal

import msgspec

from drivers.camera import FrameSet
from firmware.core.reasons import ATTACKS
from firmware.core.session import REFUSE_AFTER
from firmware.liveness.code import BITS_PER_SYMBOL, Emitted
from firmware.liveness.evidence import PENDING
from firmware.liveness.look import Basis, Look
from firmware.liveness.policy import Policy
from firmware.liveness.verdict import Verdict, holds, weigh
from firmware.runtime.config import load_profile
from firmware.vision.detect import Detector
from firmware.vision.face import NoFace

Decision = Literal["accepted", "refused", "non_response"]
TOO_SHORT: Final = "too_short"
"""Non-response: nothing spoke against it, and the frames ended before the code could have been answered."""


class Judged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one presentation. Scores are nats, larger is more alive.

    Attributes:
        decision: non-responses are neither accepted nor refused.
        reason: empty where accepted; else a code of `core.reasons`, or why there is no response.
        gate: the first gate that failed when `reason` was last given, or empty.
        gates: their values at the verdict, or at the last frame with a face; None where unknown.
        cues: the same of the cues.
        llrs: what the cues said, nats.
        score: largest sum of the policy's cues over the frames in which every gate held; None where there was none.
        without: by cue of the policy, whether it would have been accepted had that cue not been weighed.
        frames: looked at until the decision.
        faced: with a usable face in the capture volume, among these.
        since_face: frames from the first such to the decision, both included.
        seconds: that these took by the frames' own clock, one mean interval for the first of them; None without a face.
        cpu_s: that judging all of them took, CPU.
        last_cpu_s: that judging the last took.
    """

    decision: Decision
    reason: str
    gate: str = ""
    gates: dict[str, float | None] = {}
    cues: dict[str, float | None] = {}
    llrs: dict[str, float] = {}
    score: float | None = None
    without: dict[str, bool] = {}
    frames: int = 0
    faced: int = 0
    since_face: int = 0
    seconds: float | None = None
    cpu_s: float = 0.0
    last_cpu_s: float = 0.0


def static(basis: Basis) -> Basis:
    """What a presentation that cannot be asked anything is held to: everything but motion and what comes with it."""
    policy = msgspec.structs.replace(basis.policy, dynamic="asked", attention=False, pin=False)
    return replace(basis, policy=policy, eyes=None)


def frames_wanted(policy: Policy) -> int:
    """FrameSets that the emitter code takes: the first gives the scale."""
    return 1 + math.ceil(policy.code_bits / BITS_PER_SYMBOL)


def judge(
    frames: Iterable[FrameSet],
    emitted: Emitted,
    basis: Basis,
    detector: Detector,
    *,
    watch: Callable[[Verdict | str], None] = lambda _: None,
) -> Judged:
    """Look at frames until there is a decision; raises what `frames` raises, and NetworkError.

    `watch` is told of each frame what the decision is made from: the verdict, or why there is no face to judge.
    Sessions in which one cue is left out go on for as long as they are undecided, and change nothing of the decision.
    """
    basis = static(basis)
    profile = load_profile("payment")
    look = Look(basis, emitted, profile.stale_s)
    main = Findings(basis.policy)
    others = {name: Findings(_but(basis.policy, name)) for name in basis.policy.cues}
    seen, best = _Seen(), -math.inf
    first_ns: int | None = None
    for frame in frames:
        first_ns = frame.timestamp_ns if first_ns is None else first_ns
        if frame.timestamp_ns - first_ns > profile.look_s * 1e9 or all(s.over for s in (main, *others.values())):
            break
        began = time.process_time()
        verdict = look_at(look, frame, detector)
        if not main.over:
            watch(verdict)
            seen.take(frame, verdict, time.process_time() - began)
        if isinstance(verdict, Verdict) and main.held(verdict) and verdict.llr > best:
            best = verdict.llr
        for session in (main, *others.values()):
            session.take(verdict)
    decision, reason = _decision(main, seen, basis.policy)
    return seen.judged(
        decision,
        reason,
        None if best == -math.inf else best,
        {name: other.accepted for name, other in others.items()},
    )


def look_at(look: Look, frame: FrameSet, detector: Detector) -> Verdict | str:
    """The verdict on a face, or the reason why the frame shows none to judge."""
    fresh = look.fresh(frame, frame.timestamp_ns)
    if not fresh.passed:
        look.interrupted()
        return fresh.reason
    face = detector.find(frame)
    if isinstance(face, NoFace):
        look.interrupted()
        return face.reason.value
    return look.weigh(frame, face, fresh)


def _decision(main: "Findings", seen: "_Seen", policy: Policy) -> tuple[Decision, str]:
    if main.accepted:
        return "accepted", ""
    if main.refused:
        return "refused", main.refused
    if not seen.faced:
        return "non_response", main.mostly("no_face")
    if not main.against and seen.frames < frames_wanted(policy):
        return "non_response", TOO_SHORT
    return "refused", main.mostly(PENDING)


def _but(policy: Policy, cue: str) -> Policy:
    return msgspec.structs.replace(policy, cues=tuple(name for name in policy.cues if name != cue))


class Findings:
    """Findings of one presentation under one policy, until it is over; the rule is the terminal's (`core.session`)."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._reasons: Counter[str] = Counter()
        self.accepted, self.refused = False, ""
        self.against = False

    @property
    def over(self) -> bool:
        """Whether there is a decision."""
        return self.accepted or bool(self.refused)

    def held(self, verdict: Verdict) -> bool:
        """Whether every gate held, whatever the cues say."""
        return not weigh(verdict.gates, (), msgspec.structs.replace(self._policy, cues=(), llr_min=-math.inf)).reason

    def take(self, finding: Verdict | str) -> None:
        """Count one frame's finding."""
        if self.over:
            return
        reason = finding if isinstance(finding, str) else weigh(finding.gates, finding.cues, self._policy).reason
        if not reason:
            self.accepted = True
            return
        self._reasons[reason] += 1
        self.against |= (not isinstance(finding, str) and reason != PENDING) or reason in ATTACKS
        if reason in ATTACKS and self._reasons[reason] >= REFUSE_AFTER:
            self.refused = reason

    def mostly(self, otherwise: str) -> str:
        """The reason seen most often, but for waiting."""
        spoken = Counter({reason: count for reason, count in self._reasons.items() if reason != PENDING})
        return spoken.most_common(1)[0][0] if spoken else otherwise


class _Seen:
    """What was seen until the decision."""

    def __init__(self) -> None:
        self.frames = self.faced = 0
        self._since: FrameSet | None = None
        self._since_face = 0
        self._first_ns = self._last_ns = 0
        self._cpu_s = self._last_cpu_s = 0.0
        self._verdict: Verdict | None = None
        self._gates: dict[str, str] = {}

    def take(self, frame: FrameSet, verdict: Verdict | str, cpu_s: float) -> None:
        """Note one frame."""
        self.frames += 1
        self._cpu_s += cpu_s
        self._last_cpu_s, self._last_ns = cpu_s, frame.timestamp_ns
        self._first_ns = frame.timestamp_ns if self.frames == 1 else self._first_ns
        if isinstance(verdict, Verdict):
            self.faced += 1
            self._since = self._since or frame
            self._verdict = verdict
            failed = [gate.name for gate in verdict.gates if not holds(gate) and gate.reason in ("", verdict.reason)]
            self._gates[verdict.reason] = failed[0] if failed else ""
        self._since_face += self._since is not None

    def _seconds(self) -> float | None:
        if self._since is None:
            return None
        interval_ns = (self._last_ns - self._first_ns) / max(self.frames - 1, 1)
        return max(0.0, (self._last_ns - self._since.timestamp_ns + interval_ns) / 1e9)

    def judged(self, decision: Decision, reason: str, score: float | None, without: dict[str, bool]) -> Judged:
        """All of it, as it is noted."""
        verdict = self._verdict
        return Judged(
            decision=decision,
            reason=reason,
            gate=self._gates.get(reason, "") if reason else "",
            gates={} if verdict is None else {gate.name: _known(gate.value) for gate in verdict.gates},
            cues={} if verdict is None else {cue.name: _known(cue.value) for cue in verdict.cues},
            llrs={} if verdict is None else {cue.name: cue.llr for cue in verdict.cues},
            score=score,
            without={} if decision == "non_response" else without,
            frames=self.frames,
            faced=self.faced,
            since_face=self._since_face,
            seconds=self._seconds(),
            cpu_s=self._cpu_s,
            last_cpu_s=self._last_cpu_s,
        )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
