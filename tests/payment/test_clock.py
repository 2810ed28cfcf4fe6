"""The time is the backend's word and the seconds since; the wall clock has no say, and a floor survives everything."""

import time

import pytest

from firmware.payment.clock import EARLIEST, MAX_AGE_S, TrustedClock, boottime
from firmware.payment.errors import PaymentError

T0 = 1_800_000_000


class Hands:
    """The clock's two inputs, set by the test."""

    def __init__(self, beacon: int | None = T0) -> None:
        self.elapsed, self.time_floor = 50.0, 0
        self.clock = TrustedClock(self, lambda: self.elapsed)
        if beacon is not None:
            self.clock.set(beacon - 1, self.elapsed)  # whole seconds are rounded up

    def refuses(self) -> bool:
        try:
            self.clock.now()
        except PaymentError as error:
            return error.code == "clock"
        return False


def test_time_passes_with_the_clock_nobody_sets() -> None:
    hands = Hands()
    hands.elapsed += 10.9
    assert hands.clock.now() == T0 + 10


def test_before_the_first_beacon_there_is_no_time() -> None:
    hands = Hands(None)
    assert hands.refuses()
    assert not hands.clock.known
    assert hands.clock.at_least() == EARLIEST
    hands.time_floor = T0
    assert hands.refuses(), "a floor is no time"
    assert hands.clock.at_least() == T0


def test_the_wall_clock_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands()
    for wall in (0.0, 4e9):
        monkeypatch.setattr("time.time", lambda wall=wall: wall)
        assert hands.clock.now() == T0


def test_a_day_after_the_last_beacon_there_is_no_time_until_the_next() -> None:
    hands = Hands()
    hands.elapsed += MAX_AGE_S
    assert hands.clock.now() == T0 + MAX_AGE_S
    hands.elapsed += 1
    assert hands.refuses()
    assert hands.clock.at_least() == T0 + MAX_AGE_S, "what has surely passed stays"
    hands.clock.set(T0 + MAX_AGE_S + 59, hands.elapsed)
    assert hands.clock.now() == T0 + MAX_AGE_S + 60


def test_it_counts_from_the_asking_so_that_no_answer_held_back_makes_it_slow() -> None:
    hands = Hands(None)
    asked_at = hands.elapsed
    hands.elapsed += 4.0
    hands.clock.set(T0, asked_at)
    assert hands.clock.now() == T0 + 5, "it was asked for 4 s ago, and may have been almost the next second then"


def test_a_beacon_that_corrects_a_fast_clock_never_makes_time_go_back() -> None:
    hands = Hands()
    hands.elapsed += 3600
    before = hands.clock.now()
    hands.clock.set(T0 + 3589, hands.elapsed)
    assert hands.clock.now() == before
    hands.elapsed += 11
    assert hands.clock.now() == T0 + 3601


def test_time_is_never_below_the_floor() -> None:
    hands = Hands()
    hands.time_floor = T0 + 20
    assert hands.clock.now() == T0 + 20
    hands.elapsed += 30
    assert hands.clock.now() == T0 + 30


def test_the_refusal_says_what_to_do() -> None:
    with pytest.raises(PaymentError, match="see to the link"):
        Hands(None).clock.now()


def test_the_clock_nobody_sets_goes_on_while_the_board_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.clock_gettime", {time.CLOCK_BOOTTIME: 7.5}.__getitem__)
    assert boottime() == 7.5
