"""Scenarios are decoded strictly, and those that ship can be rendered."""

from pathlib import Path

import pytest

from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.rig import scenario
from hil.rig.scenario import ScenarioError, read_scenario, take_of

SHIPPED = sorted((Path(scenario.__file__).parent / "scenarios").glob("*.toml"))
TAKE = {"out": "a.mcap", "person": "makehuman-3"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_name_parameters_that_are_possible(path: Path) -> None:
    for take in read_scenario(path).take:
        made = SPECIES.get(take.artefact) or STREAMS.get(take.artefact)
        assert all(made is not None and made.parameters[name].holds(value) for name, value in take.parameters.items())


def test_every_species_and_stream_is_in_a_shipped_scenario() -> None:
    shown = {take.artefact for path in SHIPPED for take in read_scenario(path).take}
    assert shown >= SPECIES.keys() | STREAMS.keys()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"person": None}, "either `person` or `scan`"),
        ({"scan": "head.obj", "consent": "mine"}, "either `person` or `scan`"),
        ({"person": None, "scan": "head.obj"}, "consent"),
        ({"person": None, "scan": "head.obj", "consent": "  "}, "consent"),
        ({"person": "../../etc/passwd"}, "nobody"),
        ({"wearer": "me"}, "nobody"),
        ({"texture": "a.png"}, "texture"),
        ({"artefact": "magic"}, "no artefact 'magic'"),
        ({"sensor": "kinect"}, "no sensor 'kinect'"),
        ({"width": 800}, "no width 800"),
        ({"out": "../a.mcap"}, "out"),
        ({"out": "a.txt"}, "out"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 1e9}, "seconds"),
        ({"fps": 1000}, "fps"),
        ({"artefact": "relit", "seconds": 100}, "at most 300"),
        ({"seed": -1}, "seed"),
        ({"prompts": [{"kind": "sing", "at_s": 1}]}, "prompts"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_take_that_cannot_be_is_refused_by_name(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        take_of(**{**TAKE, **wrong})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("about = 'x'", "take"),
        ("about = 'x'\ntake = []", "take"),
        ("about = ", "not TOML"),
        ("about = 'x'\nmagic = 1\n[[take]]\nout = 'a.mcap'\nperson = 'ict-1'", "magic"),
        ("about = 'x'\n" + "[[take]]\nout = 'a.mcap'\nperson = 'ict-1'\n" * 2, "two takes are called a.mcap"),
        ("#" * 70_000, "larger"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=said):
        read_scenario(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nowhere"):
        read_scenario(tmp_path / "nowhere.toml")


def test_paths_of_scans_are_relative_to_the_scenario(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text("about = 'x'\n[[take]]\nout = 'a.mcap'\nscan = 'head.obj'\ntexture = 'head.png'\nconsent = 'mine'")
    (take,) = read_scenario(path).take
    assert take.scan == str(tmp_path / "head.obj")
    assert take.texture == str(tmp_path / "head.png")
