from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from drivers.camera import FrameSet
from drivers.camera.recording import Code, Note, Prompt, RecordingReader, Truth
from firmware.core.session import REFUSE_AFTER
from firmware.liveness.look import Basis
from firmware.liveness.verdict import Verdict
from firmware.runtime.config import Profile
from firmware.vision.detect import Detector
from hil.artefacts.species import SPECIES
from hil.evaluate.dynamic_judge import Asked, Seen
from hil.evaluate.shots import START_NS, Film, Shot
from hil.rig import attack_trial
from hil.rig.attack import shipped
from hil.rig.attack_space import VICTIMS, WEARERS
from hil.rig.attack_trial import IMPOSSIBLE, System, Tried, present
from hil.rig.attack_worst import ABOUT, KEPT, AttackError, WorstCase, read, record

PAGE = Path(__file__).parents[2] / "docs" / "red-team.md"
GETS_IN = {"silicone_mask"}
"""Accepted by `payment` in what a search found, and told so."""
CASES = sorted(KEPT.glob("*.json"))
MASK = Shot(VICTIMS[3], 5, species="rigid_mask", parameters=(("paint", 0.5),), wearer=WEARERS[7], fps=8.0, frames=3)


@pytest.fixture(scope="module")
def system() -> System:
    return shipped("payment")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_worst_case_of_a_species_does_not_get_in(path: Path, system: System) -> None:
    case = read(path)
    told = case.worst
    assert (case.policy, case.about, told.shot.species) == ("payment", ABOUT, path.stem)
    assert told.accepted == (path.stem in GETS_IN)
    now = present(replace(told.shot, frames=REFUSE_AFTER), system)
    assert not now.accepted
    if told.frames == REFUSE_AFTER:
        assert (now.decision, now.reason, now.stopped_by) == (told.decision, told.reason, told.stopped_by)


@pytest.mark.long
@pytest.mark.parametrize("species", sorted(GETS_IN))
def test_what_is_known_to_get_in_still_does(species: str, system: System) -> None:
    assert present(read(KEPT / f"{species}.json").worst.shot, system).accepted, "mended: search anew"


def test_every_species_that_the_page_tells_of_is_kept() -> None:
    rows = [line.split("|")[1:4] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {name.strip(" `"): accepted.strip(" *") != "0" for name, _, accepted in rows}
    assert told == {path.stem: path.stem in GETS_IN for path in CASES}


def test_a_recording_of_a_worst_case_is_made_again_bit_for_bit(system: System, tmp_path: Path) -> None:
    case = WorstCase(ABOUT, "payment", system.basis.digest.hex(), 0, 1, Tried(MASK, 0.0, "refused", "flat"))
    again = msgspec.json.decode(msgspec.json.encode(case), type=WorstCase)
    tried = record(case, system, tmp_path / "one.mcap")
    assert record(again, system, tmp_path / "two.mcap") == tried
    assert (tmp_path / "one.mcap").read_bytes() == (tmp_path / "two.mcap").read_bytes()
    items = _items(tmp_path / "one.mcap")
    assert sum(isinstance(item, FrameSet) for item in items) == tried.frames == 3
    assert any(isinstance(item, Note) and item.text.startswith("SIMULATED. rigid_mask") for item in items)
    truth = next(item for item in items if isinstance(item, Truth))
    assert (truth.artefact, truth.parameters["wearer"]) == ("rigid_mask", f"makehuman-{MASK.wearer}")


def test_prompts_stand_in_the_recording_at_the_time_they_were_shown(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack_trial, "judge_asked", _asks_after_the_first)
    case = WorstCase(ABOUT, "payment", "", 0, 1, Tried(MASK, 0.0, "refused", "flat"))
    tried = record(case, system, tmp_path / "one.mcap")
    events = [item for item in _items(tmp_path / "one.mcap") if isinstance(item, Code | Prompt | FrameSet)]
    assert [type(event) for event in events] == [Code, FrameSet, Prompt, FrameSet, FrameSet]
    assert [(event.prompt, event.at_ns) for event in events if isinstance(event, Prompt)] == [("smile", START_NS)]
    assert tried.prompts == (Asked("smile", 0.0),)


def test_what_cannot_be_made_is_as_far_away_as_can_be_and_is_not_recorded(system: System, tmp_path: Path) -> None:
    tried = present(replace(MASK, wearer=None), system)
    assert (tried.score, tried.reason, tried.frames) == (0.0, IMPOSSIBLE, 0)
    with pytest.raises(AttackError, match="worn"):
        record(WorstCase(ABOUT, "payment", "", 0, 1, tried), system, tmp_path / "none.mcap")
    assert not (tmp_path / "none.mcap").exists()


def test_what_nobody_sees_is_put_away(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_trial, "GIVEN_UP_AFTER", 2)
    near = (("paint", 0.5), ("distance_mm", 250.0))
    tried = present(replace(MASK, parameters=near, frames=9), system)
    assert (tried.decision, tried.score, tried.frames) == ("non_response", 0.0, 2)


def test_kept_cases_are_of_species_that_there_are() -> None:
    assert {path.stem for path in CASES} <= set(SPECIES)


def _asks_after_the_first(
    film: Film,
    basis: Basis,
    detector: Detector,
    profile: Profile,
    *,
    watch: Callable[[Verdict | str], None],
) -> Seen:
    for number, frame in enumerate(film):
        if not number:
            film.ask("smile", frame.timestamp_ns)
    return Seen("refused", "no_answer", asked=(Asked("smile", 0.0),), frames=number + 1)


def _items(path: Path) -> list[object]:
    reader = RecordingReader(path)
    items: list[object] = []
    while (item := reader.next_item()) is not None:
        items.append(item)
    reader.close()
    return items
