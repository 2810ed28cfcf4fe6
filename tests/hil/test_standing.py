"""What stands before the camera hears prompts as they come: who lives answers, an instrument does what it can."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import FrameSet
from hil.people.living import PromptKind
from hil.rig.customer import obliging
from hil.sensor.scene import Scene
from hil.sensor.stage import Alive, Asked, James, Stage, Subject, write_stage
from hil.sensor.standing import Standing
from hil.sensor.virtual_camera import VirtualCamera, VirtualCameraOptions

START_NS = 7 * 10**12
SEED = obliging()
HER = Alive("makehuman-3", SEED)
ASKED_S, ANSWERED_S = 2.0, 3.2


class Place:
    """A stage before nothing but eyes, on a clock of the test's own."""

    def __init__(self, folder: Path, stage: Stage, data: Path | None = None) -> None:
        self.path, self.stage, self.now_ns = folder / "stage.json", stage, START_NS
        write_stage(self.path, stage)
        self.standing = Standing(self.path, data, 5, lambda: self.now_ns)
        self.standing.begin(START_NS)

    def ask(self, kind: PromptKind, at_s: float = ASKED_S) -> None:
        asked = Asked(kind, START_NS + round(at_s * 1e9))
        write_stage(self.path, Stage(self.stage.subject, self.stage.artefact, prompts=(asked,)))

    def at(self, time_s: float) -> Scene:
        self.now_ns = START_NS + round(time_s * 1e9)
        self.standing.look()
        return self.standing.scene(time_s, self.now_ns)


def shape(scene: Scene) -> NDArray[np.float32]:
    """The front surface as it is in itself, wherever its pose has it."""
    return scene.placed[0].surface.vertices_mm


def deformed_mm(place: Place, kind: PromptKind) -> float:
    before = shape(place.at(ASKED_S))
    place.ask(kind)
    return float(np.abs(shape(place.at(ANSWERED_S)) - before).max())


@pytest.mark.parametrize("kind", ["smile", "mouth_open", "speak"])
def test_who_lives_answers(tmp_path: Path, kind: PromptKind) -> None:
    assert deformed_mm(Place(tmp_path, Stage(HER)), kind) > 3


@pytest.mark.parametrize("artefact", ["printed_head_painted", "mannequin", "rigid_mask", "flat_print"])
def test_an_instrument_deforms_for_nobody(tmp_path: Path, artefact: str) -> None:
    assert deformed_mm(Place(tmp_path, Stage(HER, artefact)), "smile") == 0


def test_the_wearer_smiles_behind_the_mask(tmp_path: Path) -> None:
    place = Place(tmp_path, Stage(HER, "rigid_mask"))
    before = place.at(ASKED_S).placed[1].surface.vertices_mm
    place.ask("smile")
    assert np.abs(place.at(ANSWERED_S).placed[1].surface.vertices_mm - before).max() > 3


@pytest.mark.parametrize("artefact", [None, "printed_head_painted"])
def test_heads_living_or_on_a_stick_turn_when_asked_to(tmp_path: Path, artefact: str | None) -> None:
    place = Place(tmp_path, Stage(HER, artefact))
    before = place.at(ASKED_S).placed[0].pose
    place.ask("turn_left")
    assert place.at(ANSWERED_S).placed[0].pose.yaw_deg > before.yaw_deg + 5


def test_the_scan_does_nothing_unless_it_is_made_to_move(tmp_path: Path, data_dir: Path) -> None:
    moving: tuple[Subject, ...] = (James(), Alive("james", SEED))
    still_mm, moving_mm = (deformed_mm(Place(tmp_path, Stage(who), data_dir), "smile") for who in moving)
    assert still_mm == 0
    assert moving_mm > 3


def test_a_prompt_changes_nothing_of_what_came_before_it(tmp_path: Path) -> None:
    asked, unasked = (Place(tmp_path, Stage(HER)) for _ in range(2))
    asked.ask("smile")
    for time_s in (0.0, 0.7, ASKED_S):
        one, other = asked.at(time_s).placed[0], unasked.at(time_s).placed[0]
        assert one.pose == other.pose
        assert (one.surface.vertices_mm == other.surface.vertices_mm).all()


def test_a_capture_begun_anew_goes_on_with_the_same_answer(tmp_path: Path) -> None:
    place = Place(tmp_path, Stage(HER))
    rest = shape(place.at(ASKED_S))
    place.ask("smile")
    smiles = shape(place.at(ANSWERED_S))
    place.standing.begin(START_NS + 10**9)
    place.standing.look()
    again = shape(place.standing.scene(ANSWERED_S - 1, place.now_ns))
    below_eyes = rest[:, 1] > 30
    assert np.abs(smiles - rest)[below_eyes].max() > 3
    assert again[below_eyes] == pytest.approx(smiles[below_eyes], abs=1e-3)


def test_the_camera_films_the_answer_after_the_prompt_and_not_before(tmp_path: Path) -> None:
    def filmed(prompts: tuple[Asked, ...]) -> list[FrameSet]:
        now = [START_NS]

        def wait(seconds: float) -> None:
            now[0] += round(seconds * 1e9)

        write_stage(tmp_path / "stage.json", Stage(HER, prompts=prompts))
        camera = VirtualCamera(VirtualCameraOptions(stage=str(tmp_path / "stage.json")), lambda: now[0], wait)
        camera.start()
        frames = [camera.read(1.0), camera.read(1.0)]
        wait(1.0)
        return [*frames, camera.read(1.0)]

    asked, unasked = filmed((Asked("mouth_open", START_NS + 10**8),)), filmed(())
    for one, other in zip(asked[:2], unasked, strict=False):
        assert (one.ir == other.ir).all()
    apart = np.abs(asked[2].depth_mm - unasked[2].depth_mm)
    assert np.nanmedian(apart[320:380, 290:350]) > 2, "the chin"
    assert np.nanmedian(apart[150:210, 290:350]) < 1, "the brow"
