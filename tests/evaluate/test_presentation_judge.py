"""A presentation is accepted, refused, or no response; nothing else, and never one for another."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from drivers.camera.recording.session import Clock, Code
from firmware.liveness.evidence import PENDING, Cue, Gate
from firmware.liveness.look import Basis, load_basis
from firmware.liveness.policy import POLICIES, PolicyName, load_policy
from firmware.liveness.verdict import GATES, Verdict, weigh
from firmware.vision.face import Face, NoFace, Reason
from hil.evaluate import judge as judging
from hil.evaluate.judge import Judged, frames_wanted, judge
from hil.evaluate.recorded_code import RecordedCode, recorded_code

CODE = RecordedCode([1.0] * 200)
Finding = NoFace | tuple[str, str, float]  # a gate that fails, its reason, and what the cues add up to, nats
ALIVE: Finding = ("", "", 4.0)
NOBODY = NoFace(Reason.NO_FACE)


def frame(sequence: int, fps: float = 15.0) -> FrameSet:
    return FrameSet(
        sequence=sequence,
        timestamp_ns=10**9 + round(sequence / fps * 1e9),
        ir=np.full((8, 8), sequence % 256, np.uint8),
        depth_mm=np.full((8, 8), 500, np.float32),
        intrinsics=Intrinsics(width=8, height=8, fx=8, fy=8, cx=4, cy=4),
        emitter=Emitter(flood=1.0, dots=1.0),
        exposure_us=1000,
        gain=1.0,
        camera=CameraInfo("X", "", "", flood=True),
    )


def face() -> Face:
    points = np.zeros((5, 3), np.float32)
    return Face((0, 0, 8, 8), points[:, :2].copy(), 1.0, 500.0, points, 0, 0, 0, 63.0)


class Scripted:
    """A detector and a look that find what they are told to."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self._findings = findings
        self.basis: Basis | None = None
        self.anew = 0

    def look(self, basis: Basis, emitted: object, stale_s: float) -> "Scripted":
        self.basis = basis
        return self

    def find(self, frames: FrameSet) -> Face | NoFace:
        finding = self._findings[frames.sequence]
        return finding if isinstance(finding, NoFace) else face()

    def fresh(self, frames: FrameSet, now_ns: int) -> Gate:
        return Gate("fresh", 0.0, "", True, "")

    def interrupted(self) -> None:
        self.anew += 1

    def weigh(self, frames: FrameSet, face: Face, fresh: Gate) -> Verdict:
        finding = self._findings[frames.sequence]
        assert not isinstance(finding, NoFace)
        assert self.basis is not None
        fails, reason, llr = finding
        gates = [fresh, *(Gate(n, 1.0, "", n != fails, reason if n == fails else "") for n in GATES if n != "fresh")]
        names = self.basis.policy.cues
        return weigh(gates, [Cue(name, 0.5, llr / len(names)) for name in names], self.basis.policy)


def judged(
    monkeypatch: pytest.MonkeyPatch, findings: Sequence[Finding], policy: PolicyName = "door", fps: float = 15.0
) -> Judged:
    script = Scripted(findings)
    monkeypatch.setattr(judging, "Look", script.look)
    frames = (frame(number, fps) for number in range(len(findings)))
    basis = replace(load_basis(policy), policy=load_policy(policy)[0])
    return judge(frames, CODE, basis, script)  # type: ignore[arg-type]


WAIT: Finding = ("code", PENDING, 4.0)
FLAT: Finding = ("relief", "flat", 4.0)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_alive_frame_accepts(monkeypatch: pytest.MonkeyPatch, policy: PolicyName) -> None:
    found = judged(monkeypatch, [NOBODY, WAIT, WAIT, ALIVE, FLAT, FLAT, FLAT], policy)
    assert (found.decision, found.reason, found.gate) == ("accepted", "", "")
    assert (found.frames, found.faced, found.since_face) == (4, 3, 3)
    assert found.seconds == pytest.approx(3 / 15)
    assert found.score == pytest.approx(4.0)


@pytest.mark.parametrize("gate", [name for name in GATES if name != "fresh"])
def test_a_failed_check_is_never_a_successful_verdict(monkeypatch: pytest.MonkeyPatch, gate: str) -> None:
    found = judged(monkeypatch, [(gate, "flat", 1e9)] * 20)
    assert (found.decision, found.reason, found.gate) == ("refused", "flat", gate)
    assert found.score is None


def test_an_inverted_score_accepts_nobody_living(monkeypatch: pytest.MonkeyPatch) -> None:
    for llr, decision in ((5.0, "accepted"), (-5.0, "refused"), (math.nan, "refused")):
        assert judged(monkeypatch, [("", "", llr)] * 20).decision == decision


def test_three_findings_of_an_attack_end_it_before_it_looks_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, [FLAT, ALIVE])
    assert found.decision == "accepted"
    found = judged(monkeypatch, [FLAT, WAIT, FLAT, WAIT, FLAT, ALIVE])
    assert (found.decision, found.reason, found.frames) == ("refused", "flat", 5)


def test_frames_without_a_face_are_no_response(monkeypatch: pytest.MonkeyPatch) -> None:
    for reason in (Reason.NO_FACE, Reason.TOO_FAR):
        found = judged(monkeypatch, [NoFace(reason)] * 30)
        assert (found.decision, found.reason, found.without) == ("non_response", reason.value, {})


def test_too_few_frames_to_decide_on_are_no_response_but_an_answered_attack_is(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = frames_wanted(load_basis("door").policy)
    assert wanted == 7
    assert judged(monkeypatch, [WAIT] * (wanted - 1)).reason == "too_short"
    assert judged(monkeypatch, [WAIT] * (wanted - 1)).decision == "non_response"
    assert judged(monkeypatch, [WAIT] * wanted).decision == "refused"
    assert judged(monkeypatch, [FLAT] * 2).decision == "refused"
    assert judged(monkeypatch, []).decision == "non_response"


def test_after_the_time_a_terminal_looks_nothing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    late = [WAIT] * 14 + [ALIVE]
    assert judged(monkeypatch, late, fps=15).decision == "accepted"
    assert judged(monkeypatch, late, fps=1).decision == "refused"


def test_a_cue_left_out_changes_the_session_beside_never_the_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, [("", "", -4.0)] * 20)
    assert found.decision == "refused"
    assert set(found.without) == set(load_policy("door")[0].cues)
    assert not any(found.without.values())
    assert all(judged(monkeypatch, [ALIVE] * 20).without.values())


def test_a_code_is_read_by_number_and_only_where_there_is_exactly_one() -> None:
    code, clock = Code(at_ns=1, levels=(0.8, 1.0)), Clock(at_ns=1, unix_ns=0)
    found = recorded_code([clock, code])
    assert found is not None
    assert [found.level(number) for number in (-1, 0, 1, 2)] == [None, 0.8, 1.0, None]
    assert recorded_code([clock]) is None
    assert recorded_code([code, clock, code]) is None
