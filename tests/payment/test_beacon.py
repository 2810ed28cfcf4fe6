"""Attacks on the time: replayed, late, another's, from the past, held back; and when it is asked for."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.payment.beacon import ANSWER_S, EVERY_S, LONGEST_S
from firmware.payment.clock import MAX_AGE_S, MAX_SKEW_S
from firmware.payment.messages import Allowance
from tests.payment.rooted import DAY_S, NOTHING, T0, Rooted, new_key

NONCE, OTHER = b"n" * 32, b"o" * 32


@pytest.fixture
def rooted(tmp_path: Path) -> Rooted:
    return Rooted(tmp_path)


def test_the_answer_sets_the_clock(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    rooted.elapsed += 1
    assert rooted.hear(rooted.beacon(NONCE)) == ""
    assert rooted.clock.now() == T0 + 2, "asked for 1 s ago, and rounded up"


def test_a_replayed_beacon_is_no_time(rooted: Rooted) -> None:
    """Yesterday's answer, played to today's question, would stretch the life of everything."""
    rooted.beacons.ask(NONCE)
    old = rooted.beacon(NONCE)
    assert rooted.hear(old) == ""
    assert rooted.hear(old) == "time", "twice"
    rooted.elapsed += DAY_S
    rooted.beacons.ask(OTHER)
    assert rooted.hear(old) == "time"
    assert rooted.clock.now() == T0 + DAY_S + 1


def test_after_a_restart_yesterdays_beacon_is_no_time(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    old = rooted.beacon(NONCE)
    rooted.hear(old)
    rooted.start()
    assert rooted.hear(old) == "time", "nothing was asked"
    rooted.beacons.ask(OTHER)
    assert rooted.hear(old) == "time"
    assert not rooted.clock.known


def test_a_late_beacon_is_no_time(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    rooted.elapsed += ANSWER_S + 0.1
    assert rooted.hear(rooted.beacon(NONCE)) == "time"
    assert not rooted.clock.known


def test_an_answer_to_the_question_before_is_no_time(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    rooted.beacons.ask(OTHER)
    assert rooted.hear(rooted.beacon(NONCE)) == "time"
    assert rooted.hear(rooted.beacon(OTHER)) == ""


def test_a_beacon_nobody_asked_for_is_no_time(rooted: Rooted) -> None:
    assert rooted.hear(rooted.beacon(NONCE)) == "time"
    assert rooted.hear(rooted.beacon(bytes(32))) == "time"


def test_a_beacon_for_another_terminal_is_no_time(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    assert rooted.hear(rooted.beacon(NONCE, terminal="till-2")) == "time"
    assert rooted.hear(rooted.beacon(NONCE)) == "", "and has not used the question up"


def test_a_beacon_by_an_unknown_or_a_revoked_key_is_no_time(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    assert rooted.hear(rooted.beacon(NONCE, key=new_key())) == "unknown_key"
    rooted.taken(rooted.set_of(2, rooted.other))
    assert rooted.hear(rooted.beacon(NONCE)) == "unknown_key"
    assert rooted.hear(rooted.beacon(NONCE, key=rooted.other)) == ""


def test_a_beacon_below_the_floor_is_no_time(rooted: Rooted) -> None:
    rooted.time_floor = T0 + 100
    rooted.beacons.ask(NONCE)
    assert rooted.hear(rooted.beacon(NONCE, T0 + 99)) == "time"
    assert rooted.hear(rooted.beacon(NONCE, T0 + 100)) == ""


def test_a_beacon_from_before_its_own_keys_is_no_time(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    assert rooted.hear(rooted.beacon(NONCE, T0 - MAX_SKEW_S - 1)) == "time"


def test_a_stolen_key_moves_no_clock_beyond_the_life_of_its_set(rooted: Rooted) -> None:
    """The floor never goes back: a far future would put the terminal out of use for good."""
    rooted.beacons.ask(NONCE)
    assert rooted.hear(rooted.beacon(NONCE, T0 + 90 * DAY_S)) == "key_set"
    assert rooted.time_floor == 0


def test_a_beacon_with_a_counter_that_leaves_none_above_it_is_no_time(rooted: Rooted) -> None:
    rooted.beacons.ask(NONCE)
    assert rooted.hear(rooted.beacon(NONCE, counter=2**48 + 1)) == "schema"
    assert rooted.hear(rooted.beacon(NONCE, counter=2**48)) == ""


def test_asked_at_once_then_more_and_more_rarely_until_an_answer_comes_then_hourly(rooted: Rooted) -> None:
    assert rooted.beacons.due_s == 0
    pauses = []
    for _ in range(8):
        rooted.beacons.ask(NONCE)
        pauses.append(rooted.beacons.due_s)
        rooted.elapsed += rooted.beacons.due_s
    assert pauses == [2, 4, 8, 16, 32, LONGEST_S, LONGEST_S, LONGEST_S]
    rooted.beacons.ask(NONCE)
    rooted.hear(rooted.beacon(NONCE))
    assert rooted.beacons.due_s == EVERY_S
    rooted.beacons.hurry()
    assert rooted.beacons.due_s == 0, "a new connection"


def test_what_may_be_done_offline_ends_with_its_allowance_and_with_the_next_beacon(rooted: Rooted) -> None:
    granted = Allowance(
        id=b"a" * 16, currency="EUR", exponent=2, payment_minor=1000, payer_minor=2000, terminal_minor=5000,
        hold_s=3600, expires_at=T0 + 600,
    )  # fmt: skip
    assert rooted.beacons.allowance(T0) is None
    rooted.beacons.ask(NONCE)
    rooted.hear(rooted.beacon(NONCE, allowance=granted))
    assert rooted.beacons.allowance(T0 + 599) == granted
    assert rooted.beacons.allowance(T0 + 600) is None
    rooted.beacons.ask(OTHER)
    rooted.hear(rooted.beacon(OTHER, allowance=msgspec.structs.replace(NOTHING, expires_at=T0 + 900)))
    assert rooted.beacons.allowance(T0) is None


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.floats(0, 2 * MAX_AGE_S)),
            st.tuples(st.just("ask"), st.integers(0, 3)),
            st.tuples(st.just("answer"), st.integers(0, 3)),
            st.tuples(st.just("restart"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_whatever_is_replayed_in_whatever_order_the_time_is_right_or_unknown(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]]
) -> None:
    """An attacker keeps every beacon the backend ever signed, and delivers any of them at any moment."""
    rooted = Rooted(tmp_path_factory.mktemp("rooted"))
    begin, signed = rooted.elapsed, dict[bytes, bytes]()
    asked = 0
    for what, value in steps:
        true = T0 + rooted.elapsed - begin
        if what == "wait":
            rooted.elapsed += value
        elif what == "ask":
            asked += 1
            nonce = bytes([asked]) * 32
            rooted.beacons.ask(nonce)
            signed[nonce] = rooted.beacon(nonce, int(true))
        elif what == "answer" and signed:
            rooted.hear(list(signed.values())[-1 - int(value) % len(signed)])
        elif what == "restart":
            rooted.start()
        true = T0 + rooted.elapsed - begin
        if rooted.clock.known:
            assert int(true) <= rooted.clock.now() <= true + ANSWER_S + 1
        assert rooted.time_floor <= true
