"""A clock that steps back is a refusal; a floor the backend signed survives everything."""

import pytest

from firmware.payment.clock import MAX_SKEW_S, TrustedClock
from firmware.payment.errors import PaymentError

T0 = 1_800_000_000


class Hands:
    """The clock's three inputs, set by the test."""

    def __init__(self) -> None:
        self.wall, self.monotonic, self.time_floor = float(T0), 50.0, 0
        self.clock = TrustedClock(self, lambda: self.wall, lambda: self.monotonic)

    def pass_s(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def refuses(self) -> bool:
        try:
            self.clock.now()
        except PaymentError as error:
            return error.code == "clock"
        return False


def test_time_passes() -> None:
    hands = Hands()
    hands.pass_s(10)
    assert hands.clock.now() == T0 + 10


def test_a_step_back_refuses_until_the_clock_has_caught_up() -> None:
    hands = Hands()
    hands.pass_s(10)
    hands.wall -= 60
    assert hands.refuses()
    hands.pass_s(59)
    assert hands.refuses()
    hands.pass_s(1)
    assert hands.clock.now() == T0 + 70 - 60


def test_a_step_back_hidden_by_a_pause_is_seen_by_the_monotonic_clock() -> None:
    hands = Hands()
    hands.pass_s(1000)
    hands.wall -= 900
    assert hands.refuses()


def test_many_small_steps_back_are_one_large_one() -> None:
    hands = Hands()
    refused = []
    for _ in range(4):
        hands.pass_s(1)
        hands.wall -= 0.9
        refused.append(hands.refuses())
    assert refused == [False, False, True, True]


def test_a_small_correction_never_makes_time_go_back() -> None:
    hands = Hands()
    hands.pass_s(10)
    before = hands.clock.now()
    hands.wall -= 1.5
    assert hands.clock.now() == before


def test_a_step_forward_is_followed() -> None:
    hands = Hands()
    hands.wall += 3600
    assert hands.clock.now() == T0 + 3600


def test_a_clock_set_back_while_the_power_was_off_is_refused() -> None:
    hands = Hands()
    hands.time_floor = T0 + MAX_SKEW_S + 1
    assert hands.refuses()


def test_time_is_never_below_the_floor() -> None:
    hands = Hands()
    hands.time_floor = T0 + MAX_SKEW_S
    assert hands.clock.now() == T0 + MAX_SKEW_S


def test_the_refusal_says_what_to_do() -> None:
    hands = Hands()
    hands.wall -= 60
    with pytest.raises(PaymentError, match="stepped back 60 s; set it right"):
        hands.clock.now()
