import math

import pytest
from msgspec.structs import replace

from firmware.liveness.evidence import PENDING, Cue, Gate, within
from firmware.liveness.policy import Policy
from firmware.liveness.verdict import GATES, Verdict, weigh
from hil.rig.attack_score import ACCEPTED, Nearness

POLICY = Policy(code_bits=24, cues=("photometric", "dot_halo"), llr_min=-1.0, dynamic="always")
HELD = tuple(Gate(name, 1.0, "", True, "") for name in GATES)


def test_nearer_is_more_at_every_step() -> None:
    half = [replace(gate, passed=False, reason="flat") if n > 5 else gate for n, gate in enumerate(HELD)]
    steps: list[list[Verdict | str]] = [
        ["no_face"] * 3,
        [_verdict(HELD[:3]), "no_face"],
        [_verdict(HELD[:3])],
        [_verdict(half)],
        [_verdict(HELD, -8.0)],
        [_verdict(HELD, -2.0)],
        [_verdict(HELD, 0.5)],
        [_verdict((*HELD, _motion(0.3)), 0.5)],
        [_verdict((*HELD, _motion(0.9)), 0.5)],
    ]
    scores = [_score(*findings) for findings in steps]
    assert scores == sorted(set(scores))
    assert scores[0] == 0
    assert scores[3] < 1 <= scores[4] < scores[5] < 2 <= scores[6] < scores[8] < ACCEPTED


def test_the_best_frame_counts_once_everything_static_held() -> None:
    assert _score(_verdict(HELD, -2.0), "no_face", "no_face") == _score(_verdict(HELD, -2.0))


def test_what_waits_is_not_against_it_but_has_not_held_either() -> None:
    waiting = [replace(gate, passed=False, reason=PENDING) if gate.name == "code" else gate for gate in HELD]
    assert _score(_verdict(waiting, 5.0)) == pytest.approx(0.99)


def test_a_gate_that_failed_counts_by_how_near_it_is_to_its_limit() -> None:
    def relief(value: float) -> float:
        gates = [within("relief", value, 1.4, math.inf, "mm", "flat"), *HELD[:2]]
        return _score(_verdict(gates))

    def size(value: float) -> float:
        return _score(_verdict([within("eye_distance", value, 42, 78, "mm", "wrong_size"), *HELD[:2]]))

    assert relief(math.nan) == relief(0.0) < relief(0.3) < relief(1.3) < relief(1.5) == size(60) < 1
    assert size(90) < size(80) < size(60) > size(41) > size(20) > 0


def test_motion_without_a_value_counts_as_none() -> None:
    assert _score(_verdict((*HELD, _motion(math.nan)), 0.5)) == _score(_verdict(HELD, 0.5)) == 2.0


def test_cues_that_cannot_be_summed_up_count_as_missing() -> None:
    verdict = weigh(HELD, (Cue("photometric", 1.0, 3.0),), POLICY)
    assert _score(verdict) < 1


def test_without_anything_asked_for_besides_enough_is_nearly_a_yes() -> None:
    near = Nearness(replace(POLICY, dynamic="asked"))
    near.watch(_verdict(HELD, 0.0))
    assert 2.9 < near.score < ACCEPTED


def _motion(excess: float) -> Gate:
    return Gate("dynamic", excess, "", False, PENDING)


def _verdict(gates: "tuple[Gate, ...] | list[Gate]", llr: float = 0.0) -> Verdict:
    return weigh(gates, (Cue("photometric", 1.0, llr), Cue("dot_halo", 1.0, 0.0)), POLICY)


def _score(*findings: Verdict | str) -> float:
    near = Nearness(POLICY)
    for finding in findings:
        near.watch(finding)
    return near.score
