"""Whoever is asked something is filmed answering it; what motion says stands beside what refused the presentation."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from drivers.camera import FrameSet
from firmware.liveness import dynamic
from firmware.liveness.challenge import TRIES
from firmware.liveness.code import SYMBOLS
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.evidence import Cue, Gate
from firmware.liveness.limits import Limits
from firmware.liveness.look import load_basis
from firmware.liveness.motion import Deformation
from firmware.liveness.policy import PolicyName
from firmware.liveness.verdict import ATTENTIVE, DYNAMIC, GATES, Verdict, weigh
from firmware.runtime.config import load_profile
from hil.evaluate import dynamic_judge
from hil.evaluate.dynamic_judge import Asked, Seen, judge_asked, motion_alone
from hil.evaluate.shots import START_NS, Shot
from hil.people.living import PromptKind
from tests.evaluate.test_presentation_judge import face, frame

FPS = 10.0


@dataclass
class Person:
    """Films somebody who moves by `excess` from `after_s` on after every prompt."""

    excess: float = 0.0
    after_s: float = 0.8
    unasked: float = 0.0
    llr: float = 4.0
    reason: str = ""
    shot: Shot = field(default_factory=lambda: Shot(700_001, 1, fps=FPS, frames=128))
    asked: list[tuple[PromptKind, int]] = field(default_factory=list)
    looks: int = 0

    def __iter__(self) -> Iterator[FrameSet]:
        for number in range(self.shot.frames):
            self._now_ns = START_NS + round(number / FPS * 1e9)
            yield frame(number, FPS)

    def ask(self, kind: PromptKind, at_ns: int) -> None:
        assert at_ns == self._now_ns, "at the frame after which it was due"
        self.asked.append((kind, at_ns))

    def follow(self, frames: FrameSet, _face: object) -> Deformation:
        since_s = min(((frames.timestamp_ns - at_ns) / 1e9 for _, at_ns in self.asked), default=-1.0)
        excess = self.excess if since_s >= self.after_s else self.unasked
        return Deformation(excess, 0.0, 0.0, 0.0, excess, excess / 2)


def judged(monkeypatch: pytest.MonkeyPatch, person: Person, policy: PolicyName = "payment") -> Seen:
    class Motion:
        another = doubtful = False

        def __init__(self, limits: Limits) -> None:
            self.follow = person.follow

        def settle(self) -> None:
            pass

    class Look:
        def __init__(self, _basis: object, _emitted: object, _stale_s: float, dynamic: Dynamic) -> None:
            self.dynamic = dynamic
            person.looks += 1

    def look_at(look: Look, frames: FrameSet, _detector: object) -> Verdict:
        moved = look.dynamic.see(frames, face(), ask=True)
        gates = [Gate(name, 1.0, "", True, "") for name in (*GATES, ATTENTIVE)]
        if person.reason:
            gates[1] = Gate("relief", 0.0, "", False, person.reason)
        names = basis.policy.cues
        return weigh([*gates, moved], [Cue(name, 0.5, person.llr / len(names)) for name in names], basis.policy)

    basis = load_basis(policy)
    monkeypatch.setattr(dynamic, "Motion", Motion)
    monkeypatch.setattr(dynamic_judge, "Look", Look)
    monkeypatch.setattr(dynamic_judge, "look_at", look_at)
    return judge_asked(person, basis, None, load_profile("payment"))  # type: ignore[arg-type]


def test_who_answers_is_accepted_and_was_asked_at_the_time_of_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(excess=1.5)
    seen = judged(monkeypatch, person)
    ((kind, at_ns),) = person.asked
    assert (seen.decision, seen.moved, seen.without_motion) == ("accepted", True, "accepted")
    assert seen.asked == (Asked(kind, (at_ns - START_NS) / 1e9),)
    assert 0.5 <= seen.asked[0].at_s <= 1.5
    assert seen.unasked.most == 0.0
    assert (seen.answering.most, seen.answering.held) == (1.5, 1.5)
    assert seen.seconds == pytest.approx(seen.frames / FPS)


def test_the_same_presentation_is_asked_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for _ in range(2):
        person = Person()
        judged(monkeypatch, person)
        asked.append(person.asked)
    assert asked[0] == asked[1]
    assert len(asked[0]) == TRIES


def test_who_moves_unasked_is_accepted_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = judged(monkeypatch, Person(unasked=3.0))
    assert (seen.decision, seen.asked) == ("accepted", ())
    assert seen.passive.held == 1.5


def test_who_never_moves_is_refused_with_the_last_try_whatever_else_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(excess=0.9)
    seen = judged(monkeypatch, person)
    assert (seen.decision, seen.reason, seen.gate) == ("refused", "no_answer", "dynamic")
    assert (seen.without_motion, seen.moved) == ("accepted", False)
    assert len(seen.asked) == TRIES


def test_what_the_cues_refuse_ends_as_a_terminal_ends_it_whatever_motion_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = judged(monkeypatch, Person(excess=1.5, llr=-9.0))
    assert (seen.decision, seen.reason, seen.frames, seen.asked) == ("refused", "not_alive", 3, ())


def test_motion_alone_weighs_no_cue_and_asks_for_no_attention() -> None:
    basis = motion_alone(load_basis("payment"))
    gates = [Gate(name, 1.0, "", True, "") for name in (*GATES, DYNAMIC)]
    assert weigh(gates, (), basis.policy).alive
    assert not weigh(gates[:-1], (), basis.policy).alive
    assert (basis.eyes, basis.network) == (None, None)


def test_a_look_ends_with_the_draw_of_the_code_and_motion_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    seen = judged(monkeypatch, person)
    assert seen.frames > SYMBOLS
    assert person.looks == 2
