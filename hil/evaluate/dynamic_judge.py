"""One presentation that can be asked something, to its decision: the terminal's prompts are shown to who stands there.

Accepted, refused and non-response are what `judge` says they are; besides, a session ends with its last unanswered try.

Rules kept here:
- The loop is closed: whatever the firmware asks is shown at the time of the frame after which it fell due, and frames
  from then on are filmed with it. Nobody knows a prompt before that, and a prompt follows from the presentation's own
  seed and the policy alone.
- A draw of the emitter code is used once through: past its end the look begins anew, as the terminal's does, and the
  evidence of motion goes on.
- What would have been decided without motion is noted beside the decision. What motion decides without the cues is
  judged by itself (`motion_alone`): a terminal does not follow the motion of what its cues refuse.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from firmware.liveness.challenge import ANSWERS
from firmware.liveness.code import SYMBOLS, Emitted
from firmware.liveness.dynamic import NO_ANSWER, Dynamic
from firmware.liveness.evidence import PENDING
from firmware.liveness.look import Basis, Look
from firmware.liveness.verdict import ATTENTIVE, DYNAMIC, Verdict, weigh
from firmware.runtime.config import Profile
from firmware.vision.detect import Detector
from hil.evaluate.judge import TOO_SHORT, Decision, Findings, frames_wanted, look_at, static
from hil.evaluate.shots import START_NS, Film, Shot, emitted
from hil.people.living import PromptKind

_ASK: Final = 0xA5C


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt that was shown: which, and when, seconds from the first frame."""

    kind: PromptKind
    at_s: float


class Excess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was seen of motion, in units of what rigid things reach; None where nothing could be measured.

    Attributes:
        most: largest of any frame.
        held: largest of as many frames in a row as an answer takes, the least of them.
        frames: that were measured.
    """

    most: float | None = None
    held: float | None = None
    frames: int = 0


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one presentation.

    Attributes:
        decision: as `judge` has it.
        reason: empty where accepted; else why not.
        gate: the first gate that failed when `reason` was last given, or empty.
        without_motion: what would have been decided had nobody asked for motion; None where it was not told in time.
        moved: whether it moved as nothing rigid can.
        asked: prompts that were shown until the decision.
        unasked: motion before the first prompt was shown.
        answering: motion from then on.
        passive: motion throughout, in units of what counts without a prompt.
        frames: filmed.
        faced: with a usable face in the capture volume, among these.
        seconds: from the first such to the decision, one interval for the first of them; None without a face.
        cpu_s: that judging all of them took, CPU.
    """

    decision: Decision
    reason: str
    gate: str = ""
    without_motion: Decision | None = None
    moved: bool = False
    asked: tuple[Asked, ...] = ()
    unasked: Excess = Excess()
    answering: Excess = Excess()
    passive: Excess = Excess()
    frames: int = 0
    faced: int = 0
    seconds: float | None = None
    cpu_s: float = 0.0


def motion_alone(basis: Basis) -> Basis:
    """The same gates and code, and no cue and no attention: what is left to motion."""
    policy = msgspec.structs.replace(basis.policy, cues=(), llr_min=-math.inf, attention=False)
    return replace(basis, policy=policy, network=None, eyes=None)


def judge_asked(
    film: Film,
    basis: Basis,
    detector: Detector,
    profile: Profile,
    *,
    watch: Callable[[Verdict | str], None] = lambda _: None,
) -> Seen:
    """Look at `film`, and ask, until there is a decision; raises what filming raises, and NetworkError.

    `watch`: is told of each frame what the decision is made from: the verdict, or why there is no face to judge.
    """
    session = _Session(film.shot, basis, profile)
    for frame in film:
        if frame.timestamp_ns - START_NS > profile.look_s * 1e9 or session.over:
            break
        began = time.process_time()
        finding = look_at(session.look(frame.sequence), frame, detector)
        session.take(finding, frame.timestamp_ns, time.process_time() - began)
        watch(finding)
        due = session.dynamic.due(frame.timestamp_ns)
        if due is not None:
            session.dynamic.shown(frame.timestamp_ns)
            session.asked(due, frame.timestamp_ns)
            film.ask(due, frame.timestamp_ns)
    return session.seen()


class _Session:
    """Everything that is noted of one presentation."""

    def __init__(self, shot: Shot, basis: Basis, profile: Profile) -> None:
        self._shot, self._basis, self._stale_s = shot, basis, profile.stale_s
        self._emitted: Emitted = emitted(shot)
        random = np.random.default_rng([shot.person, shot.seed, _ASK]).bytes
        self.dynamic = Dynamic(basis.limits, basis.policy, random)
        self._look = self._new_look()
        self._main, self._still = Findings(basis.policy), Findings(static(basis).policy)
        self._asked: list[Asked] = []
        self._excess: tuple[list[float], list[float]] = [], []
        self._passive: list[float] = []
        self._times: list[int] = []
        self._since: int | None = None
        self._no_answer = self._moved = False
        self._gates: dict[str, str] = {}
        self._faced, self._cpu_s = 0, 0.0

    def look(self, sequence: int) -> Look:
        """Whoever looks at this frame."""
        if sequence and sequence % SYMBOLS == 0:
            self._look = self._new_look()
        return self._look

    def _new_look(self) -> Look:
        return Look(self._basis, self._emitted, self._stale_s, self.dynamic)

    @property
    def over(self) -> bool:
        """Whether there is a decision."""
        return self._main.over or self._no_answer

    def asked(self, kind: PromptKind, now_ns: int) -> None:
        """Note a prompt that was shown."""
        self._asked.append(Asked(kind, (now_ns - START_NS) / 1e9))

    def take(self, finding: Verdict | str, now_ns: int, cpu_s: float) -> None:
        """Note one frame."""
        self._times.append(now_ns)
        self._cpu_s += cpu_s
        verdict = finding if isinstance(finding, Verdict) else None
        followed = verdict is not None and any(gate.name == DYNAMIC for gate in verdict.gates)
        moved = self.dynamic.moved if followed else None
        self._excess[self.dynamic.asked].append(math.nan if moved is None else moved.excess)
        self._passive.append(math.nan if moved is None else moved.passive_excess)
        if verdict is not None:
            self._faced += 1
            self._since = now_ns if self._since is None else self._since
            self._note(verdict)
        self._main.take(finding)
        self._still.take(_without_motion(finding, self._basis))

    def _note(self, verdict: Verdict) -> None:
        self._moved |= verdict.dynamic
        failed = [gate for gate in verdict.gates if gate.reason == verdict.reason and not gate.passed]
        self._gates.setdefault(verdict.reason, failed[0].name if failed else "")
        self._no_answer |= any(gate.name == DYNAMIC and gate.reason == NO_ANSWER for gate in verdict.gates)

    def seen(self) -> Seen:
        """All of it, as it is noted."""
        decision, reason = self._decision()
        interval_ns = 1e9 / self._shot.fps
        seconds = None
        if self._since is not None:
            seconds = max(0.0, (self._times[-1] - self._since + interval_ns) / 1e9)
        return Seen(
            decision=decision,
            reason=reason,
            gate=self._gates.get(reason, "") if reason else "",
            without_motion="accepted" if self._still.accepted else "refused" if self._still.refused else None,
            moved=self._moved,
            asked=tuple(self._asked),
            unasked=_excess(self._excess[False]),
            answering=_excess(self._excess[True]),
            passive=_excess(self._passive),
            frames=len(self._times),
            faced=self._faced,
            seconds=seconds,
            cpu_s=self._cpu_s,
        )

    def _decision(self) -> tuple[Decision, str]:
        if self._main.accepted:
            return "accepted", ""
        if self._main.refused:
            return "refused", self._main.refused
        if self._no_answer:
            return "refused", NO_ANSWER
        if not self._faced:
            return "non_response", self._main.mostly("no_face")
        if not self._main.against and len(self._times) < frames_wanted(self._basis.policy):
            return "non_response", TOO_SHORT
        return "refused", self._main.mostly(PENDING)


def _without_motion(finding: Verdict | str, basis: Basis) -> Verdict | str:
    if isinstance(finding, str):
        return finding
    gates = [gate for gate in finding.gates if gate.name not in (DYNAMIC, ATTENTIVE)]
    return weigh(gates, finding.cues, static(basis).policy)


def _excess(values: list[float]) -> Excess:
    known = [value for value in values if math.isfinite(value)]
    runs = (values[place : place + ANSWERS] for place in range(len(values) - ANSWERS + 1))
    held = [min(run) for run in runs if all(map(math.isfinite, run))]
    return Excess(max(known, default=None), max(held, default=None), len(known))
