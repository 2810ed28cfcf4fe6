from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.liveness.policy import Policy
from hil.evaluate import liveness_trials
from hil.evaluate.judge import Judged
from hil.evaluate.liveness_evidence import main
from hil.evaluate.liveness_film import FULL, SHORT, film
from hil.evaluate.liveness_left_out import left_out
from hil.evaluate.liveness_trials import Trial, attacks, bona_fide, by_shorter_code, decided
from hil.evaluate.presentation_manifest import Presentation
from hil.evaluate.protocol import SAMPLE, Protocol
from hil.evaluate.shots import Shot, frames_kept
from hil.people.generators import EVALUATION_SEEDS

REFUSED = Judged("refused", "flat", gate="relief", frames=3, faced=3)
STOPPED = Judged("refused", "code_wrong", gate="code", frames=9, faced=9)
ACCEPTED = Judged("accepted", "", frames=13, faced=13, score=4.0)
SILENT = Judged("non_response", "no_face", frames=3)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was judged anew; everything is refused."""
    judged: list[object] = []

    def judge(_policy: str, _root: Path, presented: object) -> Judged:
        judged.append(presented)
        return REFUSED

    monkeypatch.setattr(liveness_trials, "_judged", judge)
    return judged


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def test_the_sample_goes_from_nothing_to_a_page_that_calls_everything_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["", "--sample", "--work", str(tmp_path), "--out", str(out)])
    assert main() == 0
    text = out.read_text()
    assert "not\ncertification" in text
    for name in [attack.name for attack in SAMPLE.attacks]:
        assert f"| {name} | 1 | " in text
    for heading in [line for line in text.splitlines() if line.startswith("## ")][:4]:
        assert "simulated" in heading
    assert not [seed for seed in (*SAMPLE.adults, *SAMPLE.minors) if seed in EVALUATION_SEEDS]
    assert "{" not in text
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert (tmp_path / "page-examples.png").stat().st_size > 10_000


def test_a_run_cut_short_goes_on_and_nothing_is_judged_twice(
    tmp_path: Path, counted: list[object], pool: ThreadPoolExecutor
) -> None:
    trials = bona_fide(SAMPLE.headline)
    assert next(decided(trials, FULL, tmp_path, pool)) == REFUSED
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0] + b'{"decision":"acc')
    counted.clear()
    assert list(decided(trials, FULL, tmp_path, pool)) == [REFUSED] * len(trials)
    assert len(counted) == len(trials) - 1
    assert list(decided(trials, FULL, tmp_path, pool)) == [REFUSED] * len(trials)
    assert len(counted) == len(trials) - 1


def test_another_set_or_policy_has_decisions_of_its_own(
    tmp_path: Path, counted: list[object], pool: ThreadPoolExecutor
) -> None:
    trials = bona_fide(SAMPLE.headline)
    for some, policy in ((trials, FULL), (trials[::-1], FULL), (trials, SHORT)):
        assert len(list(decided(some, policy, tmp_path, pool))) == len(trials)
    assert len(counted) == 3 * len(trials)


def test_a_shorter_code_changes_nothing_of_what_ended_before_it() -> None:
    assert by_shorter_code(REFUSED, SHORT) == REFUSED
    assert by_shorter_code(SILENT, SHORT) == SILENT
    assert by_shorter_code(STOPPED, SHORT) is None
    assert by_shorter_code(ACCEPTED, SHORT) is None


def test_a_print_that_nobody_takes_for_a_face_is_put_away(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    (screen,) = (attack for attack in SAMPLE.flat if attack.name == "lcd_replay")
    (judged,) = decided(attacks(screen), SHORT, tmp_path, pool)
    assert (judged.decision, judged.frames) == ("non_response", liveness_trials.GIVEN_UP_AFTER)
    (shot,) = screen.presented
    assert isinstance(shot, Shot)
    assert frames_kept(shot, tmp_path) == liveness_trials.GIVEN_UP_AFTER


def test_frames_are_filmed_ahead_once(tmp_path: Path) -> None:
    shot = Protocol(people=1, group=1, pairs=1, solid=1, seeds=range(700_000, 701_000)).headline.shots[0]
    film([(replace(shot, frames=4), 2)], tmp_path)
    assert frames_kept(replace(shot, frames=4), tmp_path) == 2


def presentation(species: str, place: int) -> Presentation:
    if not species:
        return Presentation("", Path(), "bona_fide", "", str(place), "", "")
    return Presentation("", Path(), "attack", species, str(place), str(place), "")


def test_leaving_a_species_out_lets_no_failed_gate_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(code_bits=12, cues=("eyes",), llr_min=0.0, dynamic="asked")
    passed = Judged("accepted", "", score=1.0, cues={"eyes": 9.0})
    stopped = Judged("refused", "flat", gate="relief", cues={"eyes": 9.0})
    monkeypatch.setattr(
        "hil.evaluate.liveness_left_out.load_values", lambda: {"none": [], "mannequin": [], "other": []}
    )
    monkeypatch.setattr("hil.evaluate.liveness_left_out.fit", lambda values, leave_out: leave_out)
    monkeypatch.setattr("hil.evaluate.liveness_left_out.total", lambda fitted, measured, names: -1.0)
    rows = [
        (presentation("mannequin", 1), passed),
        (presentation("mannequin", 2), stopped),
        (presentation("", 3), passed),
    ]
    (one,) = left_out(rows, policy)
    assert (one.species, one.pairs, one.passed, one.accepted, one.accepted_without) == ("mannequin", 2, 1, 1, 0)
    assert (one.people, one.refused, one.refused_without) == (1, 0, 1)
    monkeypatch.setattr("hil.evaluate.liveness_left_out.total", lambda fitted, measured, names: 99.0)
    assert left_out(rows, policy)[0].accepted_without == 1


def test_a_trial_names_its_victim_and_its_instrument() -> None:
    (stream,) = (attack for attack in SAMPLE.streams if attack.name == "spliced")
    (trial,) = attacks(stream)
    assert isinstance(trial, Trial)
    assert trial.row.subject == str(SAMPLE.adults[0])
    assert trial.row.species == "spliced"
    assert trial.row.instrument
    assert {one.row.species for one in bona_fide(SAMPLE.headline)} == {""}
