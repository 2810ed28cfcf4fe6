"""Shut eyes and eyes that look elsewhere never pass, a blink is waited for, and one open eye is enough."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.liveness.attention import LEAST_FRAMES, Attention, looks_here
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.limits import load_limits
from firmware.vision.eyes import Eyes
from tests.liveness.shapes import frames_of, head_relief

LIMITS, _ = load_limits()
FPS = 15
FRAMES = frames_of(head_relief())


def eyes(
    is_open: tuple[bool, bool] = (True, True), yaw_deg: float = 0.0, pitch_deg: float = -4.0, presence: float = 1.0
) -> Eyes:
    lids = np.where(is_open, LIMITS.eye_open_min + 0.1, LIMITS.eye_open_min - 0.01)
    contrast = np.where(is_open, LIMITS.iris_contrast_min + 0.2, LIMITS.iris_contrast_min - 0.2)
    return Eyes(lids, contrast, np.full(2, yaw_deg), np.full(2, pitch_deg), presence)


OPEN, SHUT = eyes(), eyes((False, False))
_NAN = np.full(2, math.nan)
UNKNOWN = Eyes(_NAN, _NAN, _NAN, _NAN, presence=0.0)


def watch(attention: Attention, *seen: Eyes, first: int = 0, fps: float = FPS) -> list[Gate]:
    """Gates of frames that follow each other."""
    return [
        attention.check(replace(FRAMES, sequence=first + n, timestamp_ns=round((first + n) / fps * 1e9)), one)
        for n, one in enumerate(seen)
    ]


def test_open_eyes_that_look_here_pass_after_a_few_frames() -> None:
    gates = watch(Attention(LIMITS), *[OPEN] * 6)
    assert [gate.passed for gate in gates] == [False] * (LEAST_FRAMES - 1) + [True] * (7 - LEAST_FRAMES)
    assert {gate.name for gate in gates} == {"attentive"}
    assert gates[-1].value == 1.0


@pytest.mark.parametrize(
    "seen",
    [SHUT, UNKNOWN, eyes(yaw_deg=40), eyes(yaw_deg=-40), eyes(pitch_deg=-40), eyes(yaw_deg=math.nan)],
    ids=["shut", "unknown", "right", "left", "down", "gaze unknown"],
)
def test_eyes_shut_elsewhere_or_unknown_never_pass_and_are_asked_for(seen: Eyes) -> None:
    gates = watch(Attention(LIMITS), *[seen] * 60)
    assert not any(gate.passed for gate in gates)
    assert gates[0].reason == PENDING
    assert {gate.reason for gate in gates[FPS:]} == {"not_attentive"}
    assert {gate.value for gate in gates} == {0.0}


@pytest.mark.parametrize("is_open", [(True, False), (False, True)])
def test_one_open_eye_is_enough(is_open: tuple[bool, bool]) -> None:
    assert watch(Attention(LIMITS), *[eyes(is_open)] * 5)[-1].passed


def test_a_blink_is_waited_for_and_forgotten() -> None:
    attention = Attention(LIMITS)
    before = watch(attention, *[OPEN] * 15)
    during = watch(attention, *[SHUT] * 4, first=15)
    after = watch(attention, OPEN, first=19)
    assert before[-1].passed
    assert [(gate.passed, gate.reason) for gate in during] == [(False, PENDING)] * 4
    assert after[0].passed


def test_a_dark_lens_drawn_as_an_open_eye_has_no_iris() -> None:
    """Lids where the networks guess them are not enough."""
    guessed = Eyes(np.full(2, 0.4), np.full(2, 0.05), np.zeros(2), np.zeros(2), 1.0)
    assert not looks_here(guessed, LIMITS)


def test_a_painted_iris_on_shut_lids_is_not_open() -> None:
    painted = Eyes(np.full(2, 0.15), np.full(2, 2.0), np.zeros(2), np.zeros(2), 1.0)
    assert not looks_here(painted, LIMITS)


def test_what_was_long_ago_does_not_count() -> None:
    attention = Attention(LIMITS)
    watch(attention, *[OPEN] * 15)
    gates = watch(attention, *[SHUT] * 20, OPEN, OPEN, first=15)
    assert not any(gate.passed for gate in gates)


@pytest.mark.parametrize("first", [200, 3, 14], ids=["a long gap", "time went back", "the same time"])
def test_a_stream_that_breaks_off_begins_anew(first: int) -> None:
    attention = Attention(LIMITS)
    watch(attention, *[OPEN] * 15)
    assert [gate.passed for gate in watch(attention, *[OPEN] * LEAST_FRAMES, first=first)] == [False, False, True]


def test_reset_begins_anew() -> None:
    attention = Attention(LIMITS)
    watch(attention, *[OPEN] * 15)
    attention.reset()
    assert not watch(attention, OPEN, first=15)[0].passed


def test_it_says_when_to_ask_for_open_eyes() -> None:
    attention = Attention(LIMITS)
    seen = [OPEN] * 5 + [SHUT] * 10 + [OPEN]
    told = [watch(attention, one, first=number)[0].reason for number, one in enumerate(seen)]
    assert "not_attentive" not in told[:10]  # a blink is over by then
    assert told[14:] == ["not_attentive", PENDING]


@given(st.lists(st.sampled_from([OPEN, SHUT, UNKNOWN, eyes(yaw_deg=50)]), max_size=40), st.sampled_from([5, 15, 60]))
def test_nothing_passes_but_on_an_attentive_frame(seen: list[Eyes], fps: int) -> None:
    for gate, one in zip(watch(Attention(LIMITS), *seen, fps=fps), seen, strict=True):
        assert not gate.passed or one is OPEN
        assert gate.passed == (gate.reason == "")
        assert 0 <= gate.value <= 1
