"""What somebody reads who is asked to move, and what they do not read."""

from types import SimpleNamespace
from typing import cast

import pytest

from firmware.core.asking import LASTING, Asking
from firmware.core.reasons import FALLBACK, PROMPTS, sentence
from firmware.core.stand import Stand
from firmware.liveness.challenge import LOWER_FACE, TURNS
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.evidence import PENDING

NOW_NS = 7_000_000_000


class Screen:
    """What was said, in order; and a challenge that the test moves by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[tuple[str, str, int | None]] = []
        self.coming: str | None = None
        self.dynamic = SimpleNamespace(prompt=None, passed=False, tries=0, due=lambda _: self.coming, shown=self._shown)
        stand = SimpleNamespace(say=self._say)
        self.asking = Asking(cast("Stand", stand), cast("Dynamic", self.dynamic))
        monkeypatch.setattr("firmware.core.asking.time.monotonic_ns", lambda: NOW_NS)

    def _say(self, stage: str, reason: str, text: str, at_ns: int | None = None) -> None:
        assert stage == "prompt"
        self.said.append((reason, text, at_ns))

    def _shown(self, now_ns: int) -> None:
        assert now_ns == NOW_NS
        self.dynamic.prompt, self.coming = self.coming, None

    def frame(self, reason: str) -> bool:
        answered = self.asking.after(reason)
        self.asking.mend(reason)
        return answered

    def ask(self, kind: str = "smile") -> None:
        self.coming = kind
        self.frame(PENDING)
        assert self.said.pop()[0] == kind

    @property
    def codes(self) -> list[str]:
        return [code for code, _, _ in self.said]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def test_every_movement_has_a_sentence_of_its_own() -> None:
    assert set(PROMPTS) == set(LOWER_FACE) | set(TURNS)
    assert len(set(PROMPTS.values())) == len(PROMPTS)


def test_a_movement_is_asked_for_with_the_other_way_to_pay_and_since_when(screen: Screen) -> None:
    screen.coming = "smile"
    screen.frame(PENDING)
    ((code, text, at_ns),) = screen.said
    assert (code, at_ns) == ("smile", NOW_NS)
    assert text.startswith("Please smile.")
    assert "Cancel" in text
    assert text.endswith(FALLBACK)
    assert screen.dynamic.prompt == "smile", "and its window has begun"


@pytest.mark.parametrize("reason", ["no_face", "not_frontal", "not_recognised", "code_wrong", "moving"])
def test_nobody_is_asked_who_was_not_just_seen_well(screen: Screen, reason: str) -> None:
    screen.coming = "smile"
    screen.frame(reason)
    assert "smile" not in screen.codes
    screen.frame("")
    assert "smile" in screen.codes


def test_what_is_asked_for_is_not_wiped_away_by_a_laugh(screen: Screen) -> None:
    screen.ask()
    for reason in ["not_frontal", "incoherent", "not_frontal", PENDING, *["moving"] * 20]:
        screen.frame(reason)
    assert screen.said == []


def test_what_lasts_is_told_once_with_the_movement_behind_it(screen: Screen) -> None:
    screen.ask()
    for _ in range(5 * LASTING):
        screen.frame("too_far")
    assert screen.said == [("too_far", f"{sentence('too_far')} {PROMPTS['smile']}", None)]


def test_an_answer_is_thanked_for_and_one_that_did_not_come_is_not(screen: Screen) -> None:
    screen.ask()
    screen.dynamic.prompt, screen.dynamic.tries = None, 1
    assert not screen.frame(PENDING)
    screen.ask("speak")
    screen.dynamic.prompt, screen.dynamic.passed = None, True
    assert screen.frame(PENDING)
    assert not screen.frame(PENDING)
    assert screen.codes == ["rest", "thanks"]


def test_without_movements_what_can_be_mended_is_told_at_once_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch)
    screen.asking = Asking(cast("Stand", SimpleNamespace(say=screen._say)), None)
    for reason in ["too_far", "too_far", PENDING, "too_far", "no_face", "flat", "not_recognised", "too_far"]:
        screen.frame(reason)
    assert screen.codes == ["too_far", "no_face", "too_far"]


def test_a_sign_of_an_attack_is_never_told_here(screen: Screen) -> None:
    screen.ask()
    for reason in ["flat", "not_skin", "not_recognised", "no_answer"]:
        for _ in range(2 * LASTING):
            screen.frame(reason)
    assert screen.said == []
