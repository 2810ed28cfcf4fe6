"""The page of motion counts pairs and people, tells refusals apart, and says that everything is simulated."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hil.evaluate import dynamic_trials
from hil.evaluate.dynamic_evidence import main
from hil.evaluate.dynamic_judge import Asked, Excess, Seen
from hil.evaluate.dynamic_page import Found, page
from hil.evaluate.dynamic_protocol import FEW, RIGID, SOFT, Presented
from hil.evaluate.dynamic_tally import Prompted, alone, answered, living, pairs, stopped
from hil.evaluate.dynamic_trials import Ledger, Tried

ASKED = Asked("smile", 0.9)
PASSED = Seen("accepted", "", without_motion="accepted", moved=True, frames=12, faced=12, seconds=1.2)
ANSWERED = Seen(
    "accepted",
    "",
    without_motion="accepted",
    moved=True,
    asked=(ASKED,),
    frames=30,
    faced=30,
    seconds=3.0,
)
SILENT = Seen("non_response", "no_face", frames=9)
MOTIONLESS = Seen(
    "refused", "no_answer", "dynamic", "accepted", asked=(ASKED, ASKED), frames=80, faced=80, seconds=8.0,
    unasked=Excess(0.4, 0.3, 9), answering=Excess(0.8, 0.7, 60), passive=Excess(0.3, 0.2, 69),
)  # fmt: skip
CUES = Seen("refused", "not_alive", without_motion="refused", frames=16, faced=16, seconds=1.6)


def test_the_sample_goes_from_nothing_to_a_page_that_calls_everything_simulated(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "page.md"
    monkeypatch.setenv("TESSERA_DATA", str(data_dir))
    monkeypatch.setattr("sys.argv", ["", "--sample", "--work", str(tmp_path), "--out", str(out)])
    assert main() == 0
    text = out.read_text()
    assert "Simulated rates are not certification" in text
    assert all(
        "imulated" in line or "Made" in line or "Leave" in line for line in text.splitlines() if line.startswith("## ")
    )
    assert "{" not in text
    for species in (*RIGID, *SOFT):
        assert f"| {species} | " in text
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_page_of_half_the_protocol_says_so() -> None:
    found = Found(FEW, [(FEW.people[0], Tried(PASSED))], 7, {FEW.people[0].shot.person: 0.5}, [])
    text = page(found)
    assert "1 of the protocol's 7 presentations were judged" in text
    assert "**missed**" in text


def held_and_turned() -> tuple[Presented, Presented]:
    return FEW.pairs("mannequin", "held")[0], FEW.pairs("mannequin", "turned")[0]


def test_a_pair_is_one_however_it_was_held_and_accepted_if_it_ever_was() -> None:
    held, turned = held_and_turned()
    its = pairs([(held, Tried(CUES)), (turned, Tried(PASSED))])
    assert its.rate is not None
    assert its.without is not None
    assert (its.presentations, its.rate.trials, its.rate.errors, its.without.errors) == (2, 1, 1, 1)
    silent = pairs([(held, Tried(SILENT)), (turned, Tried(SILENT))])
    assert (silent.silent, silent.rate) == (2, None)


def test_motion_is_what_refused_where_all_else_would_have_accepted() -> None:
    held, turned = held_and_turned()
    results = [(held, Tried(MOTIONLESS)), (turned, Tried(CUES)), (turned, Tried(PASSED)), (held, Tried(SILENT))]
    assert stopped(results) == {"motion": 1, "cues": 1, "nothing": 1, "no response (no_face)": 1}


def test_what_motion_alone_lets_pass_is_counted_of_what_it_alone_decided() -> None:
    held, turned = held_and_turned()
    results = [(held, Tried(CUES, (), MOTIONLESS)), (turned, Tried(CUES, (), PASSED)), (turned, Tried(PASSED))]
    its = alone(results)
    assert (its.watched, its.measured, its.passed, its.answering, its.passive) == (2, 1, 1, [0.7], [0.2])


def test_who_refuses_to_smile_is_told_apart() -> None:
    one, other = FEW.people
    third = replace(one, shot=replace(one.shot, person=3))
    its = living([(one, Tried(ANSWERED, (True,))), (other, Tried(MOTIONLESS, (False, False))), (third, Tried(PASSED))])
    assert its.rate is not None
    assert its.complying is not None
    assert (its.rate.errors, its.rate.trials, its.complying.errors, its.complying.trials) == (1, 3, 0, 2)
    assert (its.unasked, its.first_try, its.second_try, its.seconds_first) == (1, 1, 0, [3.0])
    assert its.gave_nothing == {"no_answer": 1}


def test_a_prompt_is_answered_where_the_session_was_accepted_on_it_and_obeyed_or_not() -> None:
    one, other = FEW.people
    results = [(one, Tried(ANSWERED, (True,))), (other, Tried(MOTIONLESS, (True, False)))]
    assert answered(results, "smile") == Prompted(shown=3, obeyed=2, answered=1)
    assert answered(results, "speak") == Prompted(0, 0, 0)


def test_a_run_cut_short_goes_on_and_nothing_is_judged_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[Presented] = []

    def tried(_root: Path, one: Presented) -> Tried:
        judged.append(one)
        return Tried(PASSED)

    monkeypatch.setattr(dynamic_trials, "_tried", tried)
    pool = ThreadPoolExecutor(1)
    Ledger(tmp_path).decide(FEW.people, pool)
    (file,) = tmp_path.glob("tried-*.jsonl")
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0] + b'{"digest":"ab')
    again = Ledger(tmp_path)
    again.decide((*FEW.people, *FEW.at_the_door), pool)
    assert judged == [*FEW.people, FEW.people[1], *FEW.at_the_door]
    assert len(Ledger(tmp_path).known(FEW.people)) == 2
