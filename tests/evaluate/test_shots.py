from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers.camera import FrameSet
from firmware.liveness.code import LEVELS
from hil.artefacts.families import exchanged, skin_of
from hil.artefacts.instrument import ArtefactError
from hil.artefacts.sheet import sheet
from hil.evaluate import shots
from hil.evaluate.shots import Film, Shot, emitted, folder, frames_kept, frames_of, info_of, module_of, sensor_of
from hil.people.living import Prompt
from hil.sensor.material import GLASS, PAPER, SKIN
from hil.sensor.presets import preset
from hil.sensor.scene import Placed, Pose

GREY = np.full((4, 4), 0.5, np.float32)
PERSON = Shot(700_011, 1, frames=2)
PRINT = Shot(700_011, 2, species="flat_print_toner", frames=2)


def same(one: FrameSet, other: FrameSet) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "depth_mm")
        for name in ("ir", "depth_mm", "ambient", "dots")
    )
    return arrays and all(
        getattr(one, name) == getattr(other, name)
        for name in ("sequence", "timestamp_ns", "exposure_us", "gain", "camera", "emitter", "intrinsics")
    )


@pytest.mark.parametrize("shot", [PERSON, PRINT], ids=["person", "print"])
def test_kept_frames_are_those_that_were_filmed_and_a_new_filming_gives_them_again(shot: Shot, tmp_path: Path) -> None:
    filmed, kept = list(frames_of(shot, tmp_path)), list(frames_of(shot, tmp_path))
    anew = list(frames_of(shot, tmp_path / "elsewhere"))
    assert len(filmed) == 2
    assert all(same(a, b) and same(a, c) for a, b, c in zip(filmed, kept, anew, strict=True))


def test_a_frame_is_filmed_when_it_is_asked_for_and_a_run_cut_short_goes_on(tmp_path: Path) -> None:
    first = next(frames_of(PRINT, tmp_path))
    assert frames_kept(PRINT, tmp_path) == 1
    (folder(PRINT, tmp_path) / "01.partial").write_bytes(b"cut short")
    whole = list(frames_of(PRINT, tmp_path))
    assert frames_kept(PRINT, tmp_path) == 2
    assert same(whole[0], first)


def test_what_is_kept_is_not_filmed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(frames_of(PRINT, tmp_path))
    monkeypatch.setattr(shots, "take", None)
    assert len(list(frames_of(PRINT, tmp_path))) == 2


def test_frames_are_lit_by_the_code_of_their_shot_and_no_other_has_it(tmp_path: Path) -> None:
    shot = replace(PRINT, frames=64)
    levels = emitted(shot).levels
    assert set(levels) == set(LEVELS)
    assert levels != emitted(replace(shot, seed=3)).levels
    assert levels != emitted(replace(shot, person=700_012)).levels
    assert next(frames_of(shot, tmp_path)).emitter.flood == emitted(shot).level(0) == levels[0]
    assert emitted(shot).level(64) is None
    assert emitted(shot).level(-1) is None


def test_a_longer_presentation_begins_as_the_shorter_one(tmp_path: Path) -> None:
    longer = replace(PRINT, frames=24)
    assert emitted(longer).levels[:2] == emitted(PRINT).levels
    list(frames_of(PRINT, tmp_path))
    assert frames_kept(longer, tmp_path) == 2


def test_what_cannot_be_made_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError):
        next(frames_of(replace(PRINT, parameters=(("k", 2.0),)), tmp_path))
    with pytest.raises(ArtefactError):
        next(frames_of(replace(PRINT, species="cutout_print"), tmp_path))


def test_one_person_is_always_seen_by_one_module_and_its_maker_knows_nothing_of_its_age() -> None:
    one, other = Shot(1, 1), Shot(2, 1)
    assert sensor_of(one) == sensor_of(replace(one, seed=9, species="mannequin"))
    assert sensor_of(one) != sensor_of(other)
    held_out = preset("held-out")
    new = module_of(held_out, 1)
    assert new.flood_w == held_out.flood_w
    assert new.lens.misaligned_px == held_out.lens.misaligned_px
    assert sensor_of(one).flood_w != new.flood_w
    assert sensor_of(replace(one, varied=False)) == held_out


def test_the_sun_is_told_in_units_of_the_floods_own_light() -> None:
    sensor = sensor_of(Shot(1, 1, varied=False, sun=1.0))
    assert sensor.ambient.sun * sensor.ambient.sun_w_m2 == pytest.approx(1.4 * 3.0 / (4 * 0.25), rel=0.01)


def test_a_module_knows_how_bright_its_flood_makes_white() -> None:
    info = info_of(preset("structured-light"))
    # liveness.md: 1 W over 76 degrees, reflectance 0.55 at 0.5 m, f/2, 1 ms give 1170 electrons
    assert info.flood_response == pytest.approx(2 * 1170 / 0.55 * 0.25 / 8000, rel=0.1)
    assert info.dot_sigma_px == pytest.approx((0.6**2 + 0.7**2) ** 0.5)


def test_evaluation_materials_are_none_of_the_trained_ones() -> None:
    paper = sheet(GREY, (200.0, 200.0), 0.0, PAPER)
    for seed in range(50):
        (placed,) = exchanged(lambda _: (Placed(paper, Pose()),), "evaluation", 1, seed, None)(0.0)
        factor = placed.surface.material.spread_mm[1] / PAPER.spread_mm[1]
        assert 0.5 <= factor <= 3.0
        assert abs(factor - 1) > 0.16
    (placed,) = exchanged(lambda _: (Placed(paper, Pose()),), "training", 1, 1, None)(0.0)
    assert placed.surface.material == PAPER
    assert placed.surface.albedo is paper.albedo


def test_a_skin_is_one_persons_and_glass_stays_glass() -> None:
    assert skin_of("evaluation", 5) == skin_of("evaluation", 5) != skin_of("evaluation", 6)
    for seed in range(50):
        material, reflectance = skin_of("evaluation", seed)
        assert 0.40 <= reflectance <= 0.65
        assert 0 <= material.sharp <= 0.35
        assert SKIN.spread_mm[1] * 1.1 / 2.0 <= material.spread_mm[1] <= SKIN.spread_mm[1] * 1.1 / 0.6
    glass = sheet(GREY, (200.0, 200.0), 0.0, GLASS)
    (placed,) = exchanged(lambda _: (Placed(glass, Pose()),), "evaluation", 1, 1, None)(0.0)
    assert placed.surface.material == GLASS


@pytest.mark.parametrize(
    "shot", [PERSON, replace(PERSON, species="rigid_mask", wearer=700_012)], ids=["person", "mask"]
)
def test_who_is_asked_something_answers_from_then_on_and_did_nothing_else_before(shot: Shot, tmp_path: Path) -> None:
    unasked = list(frames_of(replace(shot, fps=1.0, frames=3), tmp_path))
    film = Film(replace(shot, fps=1.0, frames=3), tmp_path)
    asked = []
    for frame in film:
        asked.append(frame)
        if len(asked) == 1:
            film.ask("turn_left", frame.timestamp_ns)
    assert same(asked[0], unasked[0])
    assert not any(same(one, other) for one, other in zip(asked[1:], unasked[1:], strict=True))
    assert film.shot.prompts == (Prompt("turn_left", 0.0),)


def test_what_nobodys_face_moves_turns_when_asked_and_does_nothing_about_a_smile() -> None:
    head = replace(PERSON, species="printed_head_painted", parameters=(("unsteady", 0.6),))
    assert head.asked(Prompt("smile", 1.0)) == head
    turned = head.asked(Prompt("look_up", 1.0))
    assert turned.digest != head.digest
    posed = shots._performance(head), shots._performance(replace(head, prompts=(Prompt("smile", 0.0),)))
    for time_s in (0.0, 0.7, 1.9):
        (one, *_), (other, *_) = (show(time_s) for show in posed)
        assert one.pose == other.pose
        assert np.array_equal(one.surface.vertices_mm, other.surface.vertices_mm)


def test_frames_kept_before_anybody_could_be_asked_are_still_found() -> None:
    assert Shot(5_000_000, 1).digest == "53f717b68101011ac400c0ab"
    assert Shot(5_000_000, 1).digest != Shot(5_000_000, 1, still=True).digest


def test_a_scan_at_rest_never_moves_its_face() -> None:
    show = shots._performance(replace(PERSON, still=True, prompts=(Prompt("mouth_open", 0.0),)))
    faces = [show(time_s)[0] for time_s in (0.0, 1.0, 1.6)]
    assert all(np.array_equal(faces[0].surface.vertices_mm, face.surface.vertices_mm) for face in faces)
    assert faces[0].pose != faces[1].pose
