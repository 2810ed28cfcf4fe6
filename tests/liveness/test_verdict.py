"""No weighing lets a gate that failed, is missing or has no value pass, whatever the gates, cues and policy."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.liveness.evidence import PENDING, Cue, Gate
from firmware.liveness.policy import POLICIES, Policy, load_policy
from firmware.liveness.verdict import ATTENTIVE, DYNAMIC, GATES, PIN, UNKNOWN, wanted, weigh

ALL = {name: load_policy(name)[0] for name in POLICIES}
ALIVE = 1000.0


def gate(name: str, value: float = 1.0, passed: bool = True, reason: str = "") -> Gate:
    return Gate(name, value, "", passed, reason)


def good(policy: Policy, llr: float = ALIVE) -> list[Gate]:
    return [gate(name) for name in wanted(policy, llr)]


def cues(policy: Policy, llr: float = ALIVE) -> list[Cue]:
    return [Cue(name, 0.5, llr) for name in policy.cues]


policies = st.sampled_from([ALL[name] for name in POLICIES])
numbers = st.one_of(st.floats(), st.sampled_from([0.0, 1e300, math.inf, math.nan]))
found = st.builds(
    Gate,
    name=st.sampled_from([*GATES, DYNAMIC, ATTENTIVE, PIN, "another"]),
    value=numbers,
    limit=st.just(""),
    passed=st.booleans(),
    reason=st.sampled_from(["", "", PENDING, "flat", UNKNOWN]),
)


@pytest.mark.parametrize("name", POLICIES)
def test_all_gates_and_enough_weight_are_alive(name: str) -> None:
    policy = ALL[name]  # type: ignore[index]
    verdict = weigh(good(policy), cues(policy), policy)
    assert verdict.alive
    assert not verdict.pending


@pytest.mark.parametrize(("name", "which"), [(name, one) for name in POLICIES for one in wanted(ALL[name], ALIVE)])
@pytest.mark.parametrize(
    "spoilt",
    [
        [],
        [("flat", False, 1.0)],
        [(PENDING, False, math.nan)],
        [("", False, 1.0)],
        [("", True, math.nan)],
        [("", True, math.inf)],
        [("flat", True, 1.0)],
        [("", True, 1.0), ("flat", False, 1.0)],
        [("flat", False, 1.0), ("", True, 1.0)],
    ],
    ids=["missing", "failed", "gathering", "failed without a reason", "no value", "infinite", "passed with a reason",
         "passed, then failed", "failed, then passed"],
)  # fmt: skip
def test_any_one_gate_spoilt_in_any_way_refuses_however_alive_the_cues(
    name: str, which: str, spoilt: list[tuple[str, bool, float]]
) -> None:
    policy = ALL[name]  # type: ignore[index]
    others = [one for one in good(policy) if one.name != which]
    bad = [gate(which, value, passed, reason) for reason, passed, value in spoilt]
    for order in ([*others, *bad], [*bad, *others]):
        assert weigh(order, cues(policy), policy).reason


@pytest.mark.parametrize("name", POLICIES)
def test_every_combination_of_gates_that_hold_is_alive_only_where_all_do(name: str) -> None:
    policy = ALL[name]  # type: ignore[index]
    names = wanted(policy, ALIVE)
    for passed in product([False, True], repeat=len(names)):
        gates = [gate(one, passed=held, reason="" if held else "flat") for one, held in zip(names, passed, strict=True)]
        assert weigh(gates, cues(policy), policy).alive is all(passed)


@given(gates=st.lists(found, max_size=14), llr=numbers, policy=policies)
def test_a_failed_check_with_a_successful_verdict_is_impossible(gates: list[Gate], llr: float, policy: Policy) -> None:
    verdict = weigh(gates, cues(policy, llr), policy)
    if verdict.alive:
        assert all(one.passed and not one.reason and math.isfinite(one.value) for one in gates)
        assert {one.name for one in gates} >= set(wanted(policy, verdict.llr))


@given(llrs=st.lists(numbers, min_size=5, max_size=5), policy=policies)
def test_a_score_is_never_inverted_and_no_number_is_never_a_yes(llrs: list[float], policy: Policy) -> None:
    said = [Cue(name, 0.5, llr) for name, llr in zip(policy.cues, llrs, strict=False)]
    total = sum(cue.llr for cue in said)
    assert weigh(good(policy, -ALIVE), said, policy).alive is (math.isfinite(total) and total >= policy.llr_min)


@given(low=st.floats(-100, 100), more=st.floats(0, 100), policy=policies)
def test_more_alive_never_turns_a_yes_into_a_no(low: float, more: float, policy: Policy) -> None:
    before, after = (weigh(good(policy, -ALIVE), cues(policy, llr), policy).alive for llr in (low, low + more))
    assert after or not before


@pytest.mark.parametrize("name", POLICIES)
def test_a_cue_left_out_doubled_or_foreign_does_not_make_up_for_another(name: str) -> None:
    policy = ALL[name]  # type: ignore[index]
    all_of_them = cues(policy)
    for said in (all_of_them[1:], [*all_of_them[1:], all_of_them[1]], [*all_of_them, all_of_them[0]], []):
        assert weigh(good(policy), said, policy).reason == "not_alive"
    against = cues(policy, -1.0)
    assert weigh(good(policy), [*against, Cue("smile", 1.0, ALIVE)], policy).reason == "not_alive"


def test_what_speaks_against_is_named_before_what_is_missing() -> None:
    policy = ALL["door"]
    gates = [one for one in good(policy) if one.name not in ("code", "coherent")]
    late = [gate("coherent", math.nan, False, PENDING), gate("code", 0.0, False, "code_wrong")]
    assert weigh([*gates, *late], cues(policy, -ALIVE), policy).reason == "code_wrong"
    assert weigh([*gates, late[0], gate("code")], cues(policy, -ALIVE), policy).pending


@pytest.mark.parametrize("name", ["payment", "payment_high"])
def test_a_static_presentation_is_never_alive_once_dynamic_evidence_is_required(name: str) -> None:
    """All that a rigid head of the right size can give: every static gate, and cues as alive as they come."""
    policy = ALL[name]  # type: ignore[index]
    assert weigh([gate(one) for one in GATES], cues(policy), policy).reason == UNKNOWN


@given(llr=st.floats(-1000, 1000))
def test_at_the_door_only_a_doubt_asks_for_motion(llr: float) -> None:
    policy = ALL["door"]
    static = weigh([gate(one) for one in GATES], cues(policy, llr / len(policy.cues)), policy)
    assert static.alive is (static.llr >= policy.llr_sure)
    moved = weigh([gate(one) for one in (*GATES, DYNAMIC)], cues(policy, llr / len(policy.cues)), policy)
    assert moved.alive is (moved.llr >= policy.llr_min), "nor does motion make up for what the cues say against it"


def test_what_the_cues_say_against_it_is_named_without_waiting_for_motion() -> None:
    policy = ALL["payment"]
    gates = [*(gate(one) for one in GATES), gate(DYNAMIC, math.nan, False, PENDING)]
    assert weigh(gates, cues(policy, -ALIVE), policy).reason == "not_alive"
    assert weigh(gates, cues(policy), policy).pending


def test_what_the_cues_say_against_it_is_named_before_eyes_that_look_elsewhere() -> None:
    policy = ALL["payment"]
    gates = [*(gate(one) for one in (*GATES, DYNAMIC)), gate(ATTENTIVE, 0.0, False, "not_attentive")]
    assert weigh(gates, cues(policy, -ALIVE), policy).reason == "not_alive"
    assert weigh(gates, cues(policy), policy).reason == "not_attentive"
    flat = [gate("relief", 0.0, False, "flat"), *gates[1:]]
    assert weigh(flat, cues(policy, -ALIVE), policy).reason == "flat"
