"""Evidence of motion: of this face, in this session, by deformation alone. What is measured is scripted here."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from drivers.camera import FrameSet
from firmware.liveness import dynamic
from firmware.liveness.challenge import LOWER_FACE, TRIES, TURNS, WINDOW_S, draw
from firmware.liveness.dynamic import CONTINUOUS_S, LOST_S, SETTLED, TURNED_DEG, Dynamic
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.limits import load_limits
from firmware.liveness.motion import Deformation
from firmware.liveness.policy import PolicyName, load_policy
from firmware.vision.face import Face

FPS = 10
STILL = Deformation(lower_mm=0.2, upper_mm=0.2, sigma_mm=0.05, turned_deg=1.0, excess=0.4, passive_excess=0.3)
ANSWER = replace(STILL, lower_mm=0.8, excess=1.6, passive_excess=0.8)
SPEECH = replace(STILL, lower_mm=2.0, excess=3.0, passive_excess=1.5)

What = Deformation | None | str
Script = Callable[["Session"], What]


class Scripted:
    """In place of `Motion`: says what the script says of the session's next frame."""

    coming: Iterator[What]

    def __init__(self, _: object) -> None:
        self.another = self.doubtful = False
        self.settled = self.resets = 0

    def follow(self, *_: object) -> Deformation | None:
        what = next(self.coming)
        self.another, self.doubtful = what == "another", what == "doubtful"
        return what if isinstance(what, Deformation) else None

    def settle(self) -> None:
        self.settled += 1

    def reset(self) -> None:
        self.settled = 0
        self.resets += 1


def face(yaw_deg: float = 0.0, pitch_deg: float = 0.0) -> Face:
    points = np.zeros((5, 3), np.float32)
    return Face((0, 0, 1, 1), points[:, :2].copy(), 1.0, 500.0, points, yaw_deg, pitch_deg, 0.0, 63.0)


class Session:
    """Frames of a scripted face before the terminal's own `Dynamic`, shown every prompt when it is due."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, frame: FrameSet, policy: PolicyName, seed: int) -> None:
        monkeypatch.setattr(dynamic, "Motion", Scripted)
        self.frame, self.now_ns, self.asked_at_ns = frame, 0, 0
        self.dynamic = Dynamic(load_limits()[0], load_policy(policy)[0], random.Random(seed).randbytes)
        self.asked: list[str] = []

    def see(self, what: What, seen: Face | None = None, seconds: float = 1 / FPS) -> Gate:
        self.now_ns += round(seconds * 1e9)
        self.dynamic._motion.coming = iter([what])  # type: ignore[attr-defined]
        gate = self.dynamic.see(replace(self.frame, timestamp_ns=self.now_ns), seen or face(), ask=True)
        kind = self.dynamic.due(self.now_ns)
        if kind is not None:
            self.asked.append(kind)
            self.asked_at_ns = self.now_ns
            self.dynamic.shown(self.now_ns)
        return gate

    def until_asked(self, what: What = STILL) -> None:
        before = len(self.asked)
        while len(self.asked) == before:
            gate = self.see(what)
            assert gate.reason == PENDING

    def run(self, script: Script, seconds: float) -> Gate:
        gate = None
        for _ in range(round(seconds * FPS)):
            gate = self.see(script(self))
        assert gate is not None
        return gate


@pytest.fixture
def session(
    monkeypatch: pytest.MonkeyPatch, synthetic_frames: Callable[[int], list[FrameSet]]
) -> Callable[..., Session]:
    def begin(policy: PolicyName = "payment", seed: int = 1) -> Session:
        return Session(monkeypatch, synthetic_frames(1)[0], policy, seed)

    return begin


def test_an_answer_after_the_prompt_is_evidence(session: Callable[..., Session]) -> None:
    one = session()
    one.until_asked()
    assert one.asked[0] in LOWER_FACE
    gates = [one.see(STILL) for _ in range(8)] + [one.see(ANSWER) for _ in range(2)]
    assert [gate.passed for gate in gates] == [False] * 9 + [True]
    assert gates[-1].value == ANSWER.excess


def test_a_head_on_a_stick_that_turns_and_nods_through_both_tries_is_refused(session: Callable[..., Session]) -> None:
    one = session()
    turning = iter(range(1000))

    def script(now: Session) -> What:
        return replace(STILL, turned_deg=float(next(turning) % 20))

    gate = one.run(script, 4 * WINDOW_S)
    assert len(one.asked) == TRIES
    assert gate.reason == "no_answer"
    assert not gate.passed


def test_motion_before_the_prompt_is_no_answer_to_it(session: Callable[..., Session]) -> None:
    one = session()
    one.until_asked(ANSWER)
    assert one.run(lambda _: STILL, 4 * WINDOW_S).reason == "no_answer"


def test_a_replayed_smile_in_the_wrong_place_does_not_answer(session: Callable[..., Session]) -> None:
    """It comes just after each window has closed."""
    one = session()

    def script(now: Session) -> What:
        late = now.asked and now.now_ns + 1e8 - now.asked_at_ns > WINDOW_S * 1e9
        return ANSWER if late else STILL

    assert one.run(script, 4 * WINDOW_S).reason == "no_answer"


def test_speech_by_itself_is_evidence_for_payment_but_not_where_a_challenge_is_wanted(
    session: Callable[..., Session],
) -> None:
    paying = session("payment")
    paying.see(STILL)
    paying.see(SPEECH)
    assert paying.see(SPEECH).passed
    high = session("payment_high")
    for _ in range(3):
        assert not high.see(SPEECH).passed


def test_blinks_and_gaze_are_never_evidence(session: Callable[..., Session]) -> None:
    """They are nowhere among what is asked or taken: only the lower face and, besides it, turns."""
    asked = set()
    for seed in range(40):
        one = session("payment_high", seed)
        one.run(lambda _: STILL, 3.0)
        asked |= set(one.asked)
    assert asked <= {*LOWER_FACE, *TURNS}


def test_a_turn_alone_answers_no_challenge(session: Callable[..., Session]) -> None:
    """Every turn that is asked for is made, every prompt of the lower face is not answered."""
    for seed in range(30):
        one = session("payment_high", seed)
        passed = False
        for _ in range(150):
            kind = one.dynamic.prompt
            turned = {"turn_left": face(yaw_deg=15.0), "turn_right": face(yaw_deg=-15.0), "look_up": face(0, 15.0)}
            passed |= one.see(STILL, turned.get(kind or "")).passed
        assert not passed
        assert len(one.asked) >= TRIES


def test_a_turn_is_measured_from_where_the_face_was_when_it_was_asked(session: Callable[..., Session]) -> None:
    seed = next(n for n in range(100) if draw(random.Random(n).randbytes, 1)[0][0].kind == "turn_left")
    one = session("payment_high", seed)
    one.until_asked()
    aside = face(yaw_deg=TURNED_DEG + 2)
    for _ in range(10):
        one.see(STILL, aside)
    assert one.dynamic.prompt == "turn_left", "it stood aside all the time"
    for _ in range(2):
        one.see(STILL, face(yaw_deg=2 * TURNED_DEG + 3))
    assert one.dynamic.prompt is None


def test_another_face_takes_away_what_was_shown(session: Callable[..., Session]) -> None:
    """An accomplice smiles, then the printed head is held up."""
    one = session()
    one.until_asked()
    one.run(lambda _: STILL, 0.5)
    one.see(ANSWER)
    assert one.see(ANSWER).passed
    assert not one.see("another").passed
    assert not one.run(lambda _: STILL, 0.5).passed


def test_nothing_is_decided_while_it_is_open_whose_face_it_is(session: Callable[..., Session]) -> None:
    """A hand, a mouth so wide that the cheeks move, or another face: what was shown holds once it fits again."""
    one = session()
    one.until_asked()
    one.run(lambda _: STILL, 0.5)
    one.see(ANSWER)
    assert one.see(ANSWER).passed
    assert one.see("doubtful").reason == PENDING
    assert one.see(STILL).passed


@pytest.mark.parametrize("exchanged", ["by a gap", "by another shape"])
def test_what_was_exchanged_has_not_moved(exchanged: str, session: Callable[..., Session]) -> None:
    """Rest and smile are of two heads: the answer is held against nothing until the face is gathered anew."""
    one = session()
    one.until_asked()
    if exchanged == "by a gap":
        one.see(STILL, seconds=CONTINUOUS_S + 0.05)
    else:
        one.see("another")
    assert one.dynamic._motion.resets == 1  # type: ignore[attr-defined]
    assert one.dynamic.prompt is not None, "the prompt still stands"
    one.see(ANSWER)
    assert one.see(ANSWER).passed


def test_after_a_gap_what_was_shown_is_gone(session: Callable[..., Session]) -> None:
    one = session()
    one.until_asked()
    one.run(lambda _: STILL, 0.5)
    one.see(ANSWER)
    assert one.see(ANSWER).passed
    assert not one.see(STILL, seconds=CONTINUOUS_S + 0.05).passed


def test_two_spikes_apart_are_no_passive_motion(session: Callable[..., Session]) -> None:
    one = session()
    for _ in range(20):
        assert not one.see(SPEECH).passed
        assert not one.see(None).passed


def test_after_a_gap_it_may_be_another(session: Callable[..., Session]) -> None:
    one = session()
    one.until_asked()
    one.run(lambda _: STILL, 0.5)
    one.see(ANSWER)
    assert one.see(ANSWER).passed
    assert not one.see(STILL, seconds=LOST_S + 0.1).passed


def test_shown_prompts_stay_spent_however_often_the_face_is_lost(session: Callable[..., Session]) -> None:
    one = session()
    for _ in range(TRIES):
        one.until_asked()
        one.see(STILL, seconds=LOST_S + 0.1)
    assert one.run(lambda _: ANSWER, 6 * WINDOW_S).reason == "no_answer"
    assert len(one.asked) == TRIES


def test_what_cannot_be_measured_is_never_evidence(session: Callable[..., Session]) -> None:
    one = session()
    gate = one.run(lambda _: None, 4 * WINDOW_S)
    assert gate.reason == "no_answer"
    assert math.isnan(gate.value)


def test_nothing_is_asked_before_the_face_has_settled(session: Callable[..., Session]) -> None:
    one = session()
    for _ in range(SETTLED - 1):
        one.see(STILL)
    assert one.dynamic._challenge.due_ns is None
    one.see(STILL)
    assert one.dynamic._challenge.due_ns is not None


def test_where_nobody_asks_nothing_is_asked(session: Callable[..., Session]) -> None:
    one = session("door")
    for _ in range(40):
        one.dynamic._motion.coming = iter([STILL])  # type: ignore[attr-defined]
        one.now_ns += 100_000_000
        one.dynamic.see(replace(one.frame, timestamp_ns=one.now_ns), face(), ask=False)
        assert one.dynamic.due(one.now_ns) is None
    assert not one.dynamic.asked


def test_the_terminals_policies_ask_as_they_say() -> None:
    wants = {name: load_policy(name)[0].dynamic for name in ("demo", "door", "payment", "payment_high")}
    assert wants == {"demo": "asked", "door": "doubt", "payment": "always", "payment_high": "challenge"}
    assert load_policy("payment_high")[0].pin
    asking = load_policy("demo")[0].asking()
    assert asking == msgspec.structs.replace(load_policy("demo")[0], dynamic="always")
    assert load_policy("payment_high")[0].asking() == load_policy("payment_high")[0]
