"""Prompts are drawn, shown and answered in their time, or the try is spent; nothing else ever passes."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware.liveness.challenge import (
    ANSWERS,
    LOWER_FACE,
    SOONEST_S,
    TRIES,
    TURNS,
    WAIT_S,
    WINDOW_S,
    Challenge,
    Step,
    draw,
)

SECOND = 1_000_000_000


@given(seed=st.integers(0, 2**32), turns=st.integers(0, 2))
def test_every_try_holds_one_prompt_of_the_lower_face_and_the_second_another(seed: int, turns: int) -> None:
    tries = draw(random.Random(seed).randbytes, turns)
    assert len(tries) == TRIES
    lower = [[step.kind for step in one if step.kind in LOWER_FACE] for one in tries]
    assert all(len(kinds) == 1 for kinds in lower)
    assert lower[0] != lower[1]
    for one in tries:
        assert sum(step.kind in TURNS for step in one) == turns
        assert all(WAIT_S[0] <= step.wait_s <= WAIT_S[1] for step in one)


def test_kind_order_and_wait_are_not_to_be_known_beforehand() -> None:
    drawn = [draw(random.Random(seed).randbytes, 1) for seed in range(300)]
    first = Counter(one[0].kind for one, _ in drawn)
    assert set(first) == {*LOWER_FACE, *TURNS}
    assert max(first.values()) < 100
    assert len({step.wait_s for tries in drawn for one in tries for step in one}) > 1000


TWO = ((Step("smile", 0.5),), (Step("speak", 0.5),))


def asked(at_s: float = 0.0) -> Challenge:
    now = int(at_s * SECOND)
    return Challenge(TWO).settled(now).shown(now + SECOND // 2)


def test_a_prompt_is_due_once_its_wait_is_over_and_shown_once() -> None:
    waiting = Challenge(TWO).settled(0)
    assert waiting.due(SECOND // 2 - 1) is None
    assert waiting.due(SECOND // 2) == "smile"
    standing = waiting.shown(SECOND // 2)
    assert standing.due(SECOND) is None
    assert standing.prompt == "smile"
    assert standing.shown(SECOND) == standing


def answered(challenge: Challenge, from_s: float, frames: int = ANSWERS) -> Challenge:
    for frame in range(frames):
        challenge = challenge.saw(int((0.5 + from_s + 0.05 * frame) * SECOND), True)
    return challenge


def test_an_answer_in_the_window_passes() -> None:
    assert answered(asked(), 1.0).passed
    assert not answered(asked(), 1.0, ANSWERS - 1).passed


def test_an_answer_sooner_than_anybody_can_react_is_none() -> None:
    early = asked()
    for frame in range(10):
        early = early.saw(int((0.5 + frame * SOONEST_S / 10 - 1e-9) * SECOND), True)
    assert not early.passed


def test_one_frame_of_luck_is_no_answer() -> None:
    challenge = asked()
    for frame in range(20):
        challenge = challenge.saw(int((1.0 + 0.1 * frame) * SECOND), frame % ANSWERS == 0)
    assert not challenge.passed


def test_a_replayed_answer_to_the_last_prompt_comes_too_late() -> None:
    late = answered(asked(), WINDOW_S + 0.01)
    assert not late.passed
    assert late.at == 1


def test_two_tries_and_no_third() -> None:
    challenge = Challenge(TWO)
    for at_s in (0, 10, 20, 30):
        shown = challenge.settled(at_s * SECOND)
        challenge = shown.shown((at_s + 1) * SECOND).saw((at_s + 9) * SECOND, True)
    assert challenge.spent
    assert challenge.due(10**15) is None
    assert not challenge.passed


def test_a_face_lost_while_a_prompt_stands_spends_it_and_before_that_nothing() -> None:
    assert Challenge(TWO).settled(0).failed().at == 0
    assert asked().failed().at == 1


class Lives(RuleBasedStateMachine):
    """Whatever comes in whatever order: it passes only by answers in time, each try is shown once, spent is spent."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.challenge = Challenge(draw(random.Random(7).randbytes, 1))
        self.shown: Counter[tuple[int, int]] = Counter()
        self.good = 0

    @rule(ms=st.integers(1, 2000))
    def wait(self, ms: int) -> None:
        self.now += ms * 1_000_000

    @rule()
    def settle(self) -> None:
        self.challenge = self.challenge.settled(self.now)

    @rule()
    def show(self) -> None:
        if self.challenge.due(self.now) is not None:
            self.shown[self.challenge.at, self.challenge.step] += 1
            self.challenge = self.challenge.shown(self.now)

    @rule(answers=st.booleans())
    def see(self, answers: bool) -> None:
        before = self.challenge
        in_time = (
            before.shown_ns is not None and SOONEST_S <= (self.now - before.shown_ns) / 1e9 <= WINDOW_S and answers
        )
        self.good = self.good + 1 if in_time else 0
        self.challenge = before.saw(self.now, answers)
        if self.challenge.passed and not before.passed:
            assert self.good >= ANSWERS
            assert before.step == len(before.tries[before.at]) - 1

    @rule()
    def lose(self) -> None:
        self.challenge = self.challenge.failed()
        self.good = 0

    @invariant()
    def no_prompt_is_shown_twice_and_none_after_the_end(self) -> None:
        assert max(self.shown.values(), default=0) <= 1
        if self.challenge.spent or self.challenge.passed:
            assert self.challenge.prompt is None
            assert self.challenge.due(self.now) is None


TestLives = Lives.TestCase
