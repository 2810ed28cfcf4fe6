"""Nobody claimed: few or many are searched, unknown is a normal answer, and a gallery that grew too large is not."""

import msgspec
import numpy as np
import pytest

from firmware.vision.embed import Embedded
from firmware.vision.fusion import MISSING, NOT_RECOGNISED, Judge
from firmware.vision.identify import AMBIGUOUS, TOO_MANY, among, everybody, narrow
from firmware.vision.policy import Mode, load_policy
from firmware.vision.search import SearchIndex
from firmware.vision.templates import Templates, make_templates
from tests.vision.units import calibration, towards, unit

PAYMENT, DOOR = load_policy("payment")[0], load_policy("door")[0]
FEW, MANY = PAYMENT.last_digits, DOOR.everybody
assert FEW is not None
assert MANY is not None
TILL, GATE = Judge(calibration(), PAYMENT, FEW), Judge(calibration(), DOOR, MANY)


def person(seed: int) -> Templates:
    return make_templates({name: Embedded(unit(seed), unit(seed + 1000)) for name in ("front", "left", "right")})


def probe(seed: int, ir: float = 0.9, depth: float = 0.9) -> Embedded:
    return Embedded(towards(unit(seed), ir), towards(unit(seed + 1000), depth))


def test_four_digits_narrow_the_gallery_and_nothing_else_does() -> None:
    numbers = ["49-1234", "49-9234", "33-1234", "12345"]
    assert narrow(numbers, "1234") == [0, 2]
    for typed in ("", "234", "12345", "abcd", "12 4", "١٢٣٤", "1234\n"):
        assert narrow(numbers, typed) == []


def test_one_of_a_few_is_found_and_a_stranger_is_unknown() -> None:
    few = [person(seed) for seed in range(8)]
    assert among(probe(5), few, TILL).who == 5
    stranger = among(probe(99), few, TILL)
    assert (stranger.who, stranger.reason) == (None, NOT_RECOGNISED)
    assert among(probe(1), [], TILL).who is None


def test_payment_without_depth_finds_nobody_among_a_few() -> None:
    assert among(Embedded(unit(5), None), [person(5)], TILL).reason == MISSING


def test_twins_among_a_few_are_nobody() -> None:
    assert among(probe(5), [person(5), person(6), person(5)], TILL).reason == AMBIGUOUS


def test_gallery_grown_beyond_the_bound_is_not_searched() -> None:
    assert among(probe(5), [person(seed) for seed in range(11)], TILL).reason == TOO_MANY
    crowd = SearchIndex(np.stack([person(seed) for seed in range(12)]), calibration())
    small = Judge(calibration(), DOOR, Mode(rate=1e-5, most=11, margin=4.6))
    assert everybody(probe(5), crowd, small).reason == TOO_MANY
    assert everybody(probe(5), crowd, GATE).who == 5


def test_one_of_everybody_needs_a_margin_to_the_second() -> None:
    crowd = [person(seed) for seed in range(40)]
    lookalike = person(7)
    lookalike[0] = towards(unit(7), 0.8)
    lookalike[1] = towards(unit(1007), 0.8)
    index = SearchIndex(np.stack([*crowd, lookalike]), calibration())
    assert everybody(probe(7, 0.85, 0.85), index, GATE).reason == AMBIGUOUS
    assert everybody(probe(8), index, GATE).who == 8
    assert everybody(probe(99), index, GATE).reason == NOT_RECOGNISED
    assert everybody(Embedded(), index, GATE).who is None


def test_a_door_without_depth_asks_for_more_of_infrared() -> None:
    index = SearchIndex(np.stack([person(seed) for seed in range(5)]), calibration())
    assert DOOR.everybody is not None
    mode = msgspec.structs.replace(DOOR.everybody, rate=1e-4, most=100)
    gate = Judge(calibration(), DOOR, mode)
    assert everybody(Embedded(towards(unit(3), 0.95), None), index, gate).who == 3
    assert everybody(Embedded(towards(unit(3), 0.75), None), index, gate).who is None
    assert everybody(Embedded(towards(unit(3), 0.75), unit(1003)), index, gate).who == 3


def test_empty_gallery_knows_nobody() -> None:
    index = SearchIndex(np.zeros((0, 2, 3, 128), np.float32), calibration())
    assert everybody(probe(1), index, GATE).who is None


def test_a_rate_is_asked_of_the_calibration_before_anybody_is_searched() -> None:
    with pytest.raises(Exception, match="evidence does not reach"):
        Judge(calibration(), DOOR, Mode(rate=1e-6, most=10, margin=1.0))
