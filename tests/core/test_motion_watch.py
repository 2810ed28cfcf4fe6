"""Evidence of motion over a whole session: of the claimed person alone, once, and whatever happens to captures."""

import asyncio
import dataclasses
import random
from types import SimpleNamespace
from typing import Any, Literal, cast

import msgspec
import numpy as np
import pytest

from drivers.camera import Emitter, FrameSet, Intrinsics
from firmware.core.analysis import IDENTIFIED, Finding
from firmware.core.parts import Parts
from firmware.core.ports import CameraPort
from firmware.core.watch import Watch
from firmware.liveness import dynamic
from firmware.liveness.challenge import TRIES, WAIT_S, WINDOW_S
from firmware.liveness.code import SYMBOLS
from firmware.liveness.evidence import PENDING
from firmware.liveness.look import Look, load_basis
from firmware.liveness.motion import Deformation
from firmware.liveness.policy import PolicyName
from firmware.payment.messages import Assurance
from firmware.runtime.config import load_profile
from firmware.runtime.messages import FrameReady
from firmware.vision.embed import Embedded
from firmware.vision.face import Face
from firmware.vision.fusion import Match
from tests.vision.units import unit

STILL = Deformation(lower_mm=0.2, upper_mm=0.2, sigma_mm=0.05, turned_deg=1.0, excess=0.4, passive_excess=0.2)
SMILES = Deformation(lower_mm=1.0, upper_mm=0.2, sigma_mm=0.05, turned_deg=1.0, excess=2.0, passive_excess=0.7)
FACE = Face((0, 0, 1, 1), np.zeros((5, 2), np.float32), 0.9, 450.0, np.zeros((5, 3), np.float32), 0.0, 0.0, 0.0, 63.0)
FRAME_NS = 100_000_000
LENS = Intrinsics(width=640, height=480, fx=600.0, fy=600.0, cx=319.5, cy=239.5)
Who = Literal["her", "another", "alike", "hidden"]
# how a frame of each compares with the person who was claimed
RATIO = {"her": 19.0, "another": -8.0, "alike": 0.5, "hidden": float("nan")}
REASON = {"her": "", "another": "not_recognised", "alike": "not_recognised", "hidden": "modality_missing"}


class Scripted:
    """In place of `Motion`: says of each frame what the scene says. Another shape does not fit the face at rest."""

    scene: "Scene"

    def __init__(self, _: object) -> None:
        self.another = self.doubtful = False

    def follow(self, *_: object) -> Deformation:
        self.another = self.scene.other_shape
        return self.scene.shown

    def settle(self) -> None: ...

    def reset(self) -> None: ...

    def forget(self, time_ns: int) -> None:
        assert time_ns == self.scene.now_ns


class Scene:
    """A terminal's watch over whoever the test shows; everything but motion and identity holds."""

    info = ended_by = None

    def __init__(self, policy: PolicyName, assurance: Assurance, claimed: bool = True) -> None:
        self.now_ns, self.captures, self.overwritten = 0, 0, False
        self.shown, self.other_shape, self.against = STILL, False, ""
        self.who: Who = "her"
        self.asked: list[str] = []
        analyst = SimpleNamespace(look=self._look, recognise=self._recognise)
        element = SimpleNamespace(random=random.Random(3).randbytes)
        basis, profile = load_basis(policy), load_profile("demo")
        owned = SimpleNamespace(analyst=analyst, basis=basis, profile=profile, element=element)
        template = cast("Any", object()) if claimed else None
        self.watch = Watch(cast("CameraPort", self), cast("Parts", owned), template, assurance)
        assert asyncio.run(self.watch.begin()) == ""

    async def start(self, levels: tuple[Emitter, ...]) -> bool:
        self.captures += 1
        return len(levels) == SYMBOLS

    async def stop(self) -> None: ...

    def current(self, announced: FrameReady) -> bool:
        return announced.capture == self.captures

    def view(self, announced: FrameReady) -> FrameSet:
        return cast("FrameSet", announced)

    def intact(self, _: FrameReady) -> bool:
        return not self.overwritten

    def _look(self, frames: FrameSet, look: Look, _: int) -> Finding:
        assert look is self.watch._look
        assert look._dynamic is not None
        gate = look._dynamic.see(frames, FACE, ask=True)
        embedded = Embedded(unit(1), None if self.who == "hidden" else unit(2))
        return Finding(self.against or gate.reason, (gate,), dynamic=gate.passed, face=FACE, embedded=embedded)

    def _recognise(self, finding: Finding, _: object, stricter: float) -> Finding:
        if finding.reason not in IDENTIFIED:
            return finding
        match = Match(REASON[self.who], RATIO[self.who], 1.5, {}, {})
        return dataclasses.replace(finding, reason=match.reason or finding.reason, match=match)

    def frame(self, who: Who = "her", shown: Deformation = STILL, *, other_shape: bool = False) -> str | None:
        """The reason of one frame; prompts are shown when they are due."""
        self.who, self.shown, self.other_shape = who, shown, other_shape
        self.now_ns += FRAME_NS
        announced = FrameReady(
            capture=self.captures, slot=0, sequence=0, timestamp_ns=self.now_ns, intrinsics=LENS,
            emitter=Emitter(1.0, 1.0), exposure_us=1000, gain=1.0,
        )  # fmt: skip
        finding = asyncio.run(self.watch.look(announced))
        motion = self.watch.dynamic
        assert motion is not None
        if (kind := motion.due(self.now_ns)) is not None:
            self.asked.append(kind)
            motion.shown(self.now_ns)
        return None if finding is None else finding.reason

    def until_asked(self) -> None:
        """She stands there until she is asked for something."""
        before = len(self.asked)
        for _ in range(40):
            if len(self.asked) > before:
                return
            assert self.frame() == PENDING
        raise AssertionError("nothing was asked")

    def answers(self, who: Who = "her", *, other_shape: bool = False) -> list[str | None]:
        return [self.frame(who, SMILES, other_shape=other_shape) for _ in range(6)]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    monkeypatch.setattr(dynamic, "Motion", Scripted)
    return Scripted


def scene(scripted: type[Scripted], policy: PolicyName = "payment", assurance: Assurance = "geometry") -> Scene:
    scripted.scene = Scene(policy, assurance)
    return scripted.scene


@pytest.mark.parametrize(
    ("policy", "assurance", "asks"),
    [
        ("demo", "geometry", False),
        ("demo", "dynamic", True),
        ("door", "geometry", True),
        ("payment", "geometry", True),
        ("payment", "dynamic", True),
        ("demo", "dynamic_pin", True),
        ("payment_high", "geometry", True),
    ],
)
def test_motion_is_asked_for_where_the_intent_or_the_policy_wants_it(
    scripted: type[Scripted], policy: PolicyName, assurance: Assurance, asks: bool
) -> None:
    watch = Scene(policy, assurance).watch
    assert (watch.dynamic is not None) is asks
    prompts_s = TRIES * (WAIT_S[1] + WINDOW_S)
    assert watch.look_s >= prompts_s + 3 if asks else watch.look_s == load_profile("demo").look_s


def test_an_intent_that_wants_motion_gets_no_weaker_policy(scripted: type[Scripted]) -> None:
    """And the digest of what it rests on stays that of the shipped files."""
    asked = scene(scripted, "demo", "dynamic").watch._basis
    assert asked.policy == msgspec.structs.replace(load_basis("demo").policy, dynamic="always")
    assert asked.digest == load_basis("demo").digest
    assert scene(scripted, "payment", "dynamic").watch._basis.policy == load_basis("payment").policy


def test_a_look_waits_for_all_that_is_wanted_but_the_pin_which_is_typed_after_it(scripted: type[Scripted]) -> None:
    high = load_basis("payment_high")
    looked = scene(scripted, "payment_high").watch._basis
    assert looked.policy == msgspec.structs.replace(high.policy, pin=False)
    assert looked.digest == high.digest
    assert scene(scripted, "demo", "dynamic_pin").watch._basis.policy.dynamic == "always"


def test_she_answers_and_is_taken_for_alive(scripted: type[Scripted]) -> None:
    here = scene(scripted)
    here.until_asked()
    assert here.answers()[-1] == ""
    assert here.frame() == ""
    assert len(here.asked) == 1


def test_printed_head_of_her_whose_prompt_a_living_accomplice_answers(scripted: type[Scripted]) -> None:
    """Attack: between two frames of the head somebody else smiles. Who answers must be who was claimed."""
    here = scene(scripted)
    here.until_asked()
    assert set(here.answers("another")) == {"not_recognised"}
    assert {here.frame() for _ in range(4)} == {PENDING}
    assert here.watch.dynamic is not None
    assert here.watch.dynamic.tries == 1, "and the prompt is spent"


def test_accomplice_who_resembles_her_does_not_have_her_shape(scripted: type[Scripted]) -> None:
    here = scene(scripted)
    here.until_asked()
    assert "" not in here.answers("alike", other_shape=True)
    assert {here.frame() for _ in range(4)} == {PENDING}


def test_accomplice_at_rest_takes_everything_away_that_was_shown(scripted: type[Scripted]) -> None:
    """Attack: she has answered herself, and somebody who resembles her takes over."""
    here = scene(scripted)
    here.until_asked()
    assert here.answers()[-1] == ""
    assert here.frame("alike") == "not_recognised"
    assert here.frame() == PENDING


def test_her_own_answer_may_be_hard_to_recognise_and_decides_nothing(scripted: type[Scripted]) -> None:
    here = scene(scripted)
    here.until_asked()
    assert here.answers("alike") == [*["moving"] * 6]
    assert here.frame() == "", "it is she again, and she has answered"


def test_frame_that_knows_nobody_takes_no_motion_away_and_is_no_answer_to_who_it_is(scripted: type[Scripted]) -> None:
    here = scene(scripted)
    here.until_asked()
    here.answers()
    assert here.frame("hidden") == "modality_missing"
    assert here.frame() == ""


def test_answer_in_frames_that_were_overwritten_is_none(scripted: type[Scripted]) -> None:
    here = scene(scripted)
    here.until_asked()
    here.overwritten = True
    assert here.answers() == [None] * 6
    here.overwritten = False
    assert here.frame() == PENDING
    assert here.answers()[-1] == "", "the prompt still stands"


def test_capture_begun_anew_keeps_what_was_shown_and_asks_for_the_code_again(scripted: type[Scripted]) -> None:
    here = scene(scripted)
    here.until_asked()
    before, motion = here.watch._look, here.watch.dynamic
    asyncio.run(here.watch._renew(SYMBOLS, Finding(PENDING)))
    assert here.captures == 2
    assert here.watch._look is not None
    assert here.watch._look is not before, "with its own draw, which nobody has answered"
    assert here.watch.dynamic is motion
    assert len(here.asked) == 1
    assert here.answers()[-1] == ""


def test_no_more_prompts_than_two_however_often_a_capture_is_begun_anew(scripted: type[Scripted]) -> None:
    """Attack: a head that waits for a prompt it happens to answer."""
    here = scene(scripted)
    reasons = set()
    for number in range(300):
        reasons.add(here.frame())
        if number % 10 == 0:
            asyncio.run(here.watch._renew(SYMBOLS, Finding(PENDING)))
    assert reasons == {PENDING, "no_answer"}
    assert len(here.asked) == TRIES


def test_template_is_of_a_face_at_rest(scripted: type[Scripted]) -> None:
    """The pose is taken once the smile is over, and turning takes nothing away."""
    here = enrolling(scripted)
    here.until_asked()
    assert here.answers()[-1] == "moving"
    assert [here.frame() for _ in range(5)] == [""] * 5
    assert here.frame(shown=cast("Deformation", None)) == "", "turned too far to be measured"


def enrolling(scripted: type[Scripted]) -> Scene:
    """Nobody is claimed until she was seen."""
    scripted.scene = here = Scene("payment", "geometry", claimed=False)
    assert here.frame() == PENDING
    here.watch.claim(cast("Any", object()))
    return here


@pytest.mark.parametrize("who", ["another", "hidden"])
def test_nobody_moves_for_who_is_being_enrolled(who: Who, scripted: type[Scripted]) -> None:
    """Attack: a printed head is to be enrolled, and a living accomplice answers what is asked of it."""
    here = enrolling(scripted)
    here.until_asked()
    here.answers(who)
    assert {here.frame() for _ in range(8)} == {PENDING}


def test_motion_of_somebody_who_cannot_be_told_is_of_nobody_yet(scripted: type[Scripted]) -> None:
    """Attack: move with hidden eyes first, and be seen as another after."""
    scripted.scene = here = Scene("payment", "geometry", claimed=False)
    passive = dataclasses.replace(SMILES, passive_excess=3.0)
    assert {here.frame("hidden", passive) for _ in range(8)} <= {PENDING, "no_answer"}
    assert here.watch.dynamic is not None
    assert not here.watch.dynamic.passed


def test_profiles_for_payments_give_time_for_both_tries(scripted: type[Scripted]) -> None:
    assert load_profile("payment").require_assurance == "dynamic"
    assert load_profile("payment").look_s >= scene(scripted).watch.look_s
    assert load_profile("payment_high").look_s >= scene(scripted, "payment_high").watch.look_s


@pytest.mark.parametrize("hidden", ["sunglasses_worn", "mask_worn", "not_attentive"])
def test_accomplice_with_hidden_eyes_who_answers_for_a_printed_head_shows_nothing(
    hidden: str, scripted: type[Scripted]
) -> None:
    """Whoever cannot be told may not move in her name; eyes that look elsewhere are told all the same."""
    here = scene(scripted)
    here.until_asked()
    here.against = hidden
    here.answers("another")
    here.against = ""
    assert {here.frame() for _ in range(8)} == {PENDING}


def test_a_face_seen_in_one_way_only_answers_nothing(scripted: type[Scripted]) -> None:
    here = scene(scripted)
    here.until_asked()
    here.answers("hidden")
    assert here.frame() == PENDING
