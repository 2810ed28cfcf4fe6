"""Actors of both generators: the same for a seed, measured like people, and moving where a face moves."""

from pathlib import Path

import numpy as np
import pytest

from hil.people import james
from hil.people.actor import MOVEMENTS, NEUTRAL, Actor, Expression
from hil.people.generators import GENERATORS, Generator, make_actor
from hil.people.growth import eye_distance_mm
from hil.people.head import PeopleError
from hil.people.pace import frame_ms
from hil.people.puppet import fast_normals
from hil.people.sliders import WEARABLES, Sliders, Wearable
from hil.people.transfer import moving_james
from hil.sensor.capture import render
from hil.sensor.material import CLOTH, GLASS, HAIR, SKIN
from hil.sensor.scene import Placed, Pose, Scene
from hil.sensor.surface import F32, vertex_normals

RIGHT_EYE, LEFT_EYE, NOSE, RIGHT_MOUTH, LEFT_MOUTH = range(5)
FRAME_BUDGET_MS = 10.0  # an expression: surfaces and normals


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request: pytest.FixtureRequest) -> Generator:
    value: Generator = request.param
    return value


@pytest.fixture(scope="module")
def grown_up(generator: Generator, data_dir: Path) -> Actor:
    return make_actor(generator, 3, sliders=Sliders(), data_dir=data_dir)


def moved_mm(actor: Actor, expression: Expression) -> F32:
    return np.linalg.norm(actor.head(expression).vertices_mm - actor.head(NEUTRAL).vertices_mm, axis=1)  # type: ignore[no-any-return]


def test_a_seed_is_a_person(generator: Generator, data_dir: Path) -> None:
    first, second = (make_actor(generator, 8, worn=WEARABLES, data_dir=data_dir) for _ in range(2))
    for one, other in zip(first.surfaces(Expression(smile=1)), second.surfaces(Expression(smile=1)), strict=True):
        for name in ("vertices_mm", "normals", "faces", "uv", "albedo", "gloss"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_landmarks_are_where_a_face_has_them(generator: Generator, data_dir: Path) -> None:
    for seed in range(4):
        marks = make_actor(generator, seed, data_dir=data_dir).head(NEUTRAL).landmarks
        assert marks[RIGHT_EYE, 0] < 0 < marks[LEFT_EYE, 0]
        assert marks[RIGHT_MOUTH, 0] < marks[NOSE, 0] < marks[LEFT_MOUTH, 0]
        assert marks[RIGHT_EYE, 1] < marks[NOSE, 1] < marks[RIGHT_MOUTH, 1]
        assert marks[NOSE, 2] < marks[RIGHT_EYE, 2] - 8, "the nose stands out towards the camera"
        np.testing.assert_allclose(marks[:2].mean(axis=0), 0, atol=1e-3)


@pytest.mark.parametrize(("age", "low", "high"), [(5, 42, 57), (10, 47, 62), (40, 54, 75), (85, 54, 75)])
def test_eyes_are_as_far_apart_as_at_that_age(
    generator: Generator, data_dir: Path, age: float, low: float, high: float
) -> None:
    for seed in range(2):
        marks = make_actor(generator, seed, sliders=Sliders(age_years=age), data_dir=data_dir).head(NEUTRAL).landmarks
        assert low < np.linalg.norm(marks[LEFT_EYE] - marks[RIGHT_EYE]) < high


def test_growth_follows_the_published_curve() -> None:
    assert eye_distance_mm(5, 1.0) == pytest.approx(50.8, abs=0.1)
    assert eye_distance_mm(40, 0.5) == eye_distance_mm(18, 0.5)


def test_every_movement_moves_and_rest_is_rest(grown_up: Actor) -> None:
    assert moved_mm(grown_up, NEUTRAL).max() == 0
    for movement in MOVEMENTS:
        assert moved_mm(grown_up, Expression(**{movement: 1.0})).max() > 3, movement


def test_a_smile_lifts_and_widens_the_mouth(grown_up: Actor) -> None:
    rest, smile = grown_up.head(NEUTRAL).landmarks, grown_up.head(Expression(smile=1)).landmarks
    for corner, side in ((RIGHT_MOUTH, -1), (LEFT_MOUTH, 1)):
        assert smile[corner, 1] < rest[corner, 1] - 5
        assert (smile[corner, 0] - rest[corner, 0]) * side > 2
    np.testing.assert_allclose(smile[:NOSE], rest[:NOSE], atol=1e-4)


def test_a_blink_closes_its_own_eye_only(grown_up: Actor) -> None:
    head = grown_up.head(NEUTRAL)
    round_the_eyes = (head.vertices_mm[:, 1] < 20) & (head.vertices_mm[:, 2] < 12)
    moved = (moved_mm(grown_up, Expression(blink_left=1)) > 1) & round_the_eyes
    assert moved.sum() > 20
    assert head.vertices_mm[moved, 0].min() > 0, "the person's left is the right of the image"


@pytest.mark.parametrize(("yaw", "pitch"), [(20, 0), (0, 15)])
def test_gaze_turns_the_eyes_and_nothing_else(grown_up: Actor, yaw: float, pitch: float) -> None:
    rest = grown_up.head(NEUTRAL)
    looking = grown_up.head(Expression(gaze_yaw_deg=yaw, gaze_pitch_deg=pitch))
    shift = looking.landmarks[:2] - rest.landmarks[:2]
    assert (shift[:, 0].min() > 2) == (yaw > 0), "positive yaw turns towards the right of the image"
    assert (shift[:, 1].max() < -2) == (pitch > 0), "positive pitch turns upwards"
    assert np.array_equal(looking.landmarks[2:], rest.landmarks[2:])


def test_closed_eyes_hide_the_pupils(grown_up: Actor) -> None:
    def darkest(expression: Expression) -> float:
        placed = tuple(Placed(surface, Pose(z_mm=300)) for surface in grown_up.surfaces(expression))
        ir, _ = render(Scene(placed), np.random.default_rng(0))
        x, y = np.array([319.5, 239.5]) + 600 / 300 * grown_up.head(NEUTRAL).landmarks[RIGHT_EYE, :2]
        return float(np.percentile(ir[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7], 5))

    assert darkest(Expression(blink_right=1)) > darkest(NEUTRAL) + 15


def test_nobody_looks_through_an_open_mouth(grown_up: Actor) -> None:
    placed = tuple(Placed(surface, Pose(z_mm=330)) for surface in grown_up.surfaces(Expression(mouth_open=1)))
    mouth = grown_up.head(NEUTRAL).landmarks[3:].mean(axis=0)
    _, depth = render(Scene(placed, wall_mm=600), np.random.default_rng(0))
    x, y = 319.5 + mouth[0] * 600 / 330, 239.5 + (mouth[1] + 8) * 600 / 330
    inside = depth[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4]
    assert not (inside > 400).any(), "neither the neck nor the wall shows"


def test_worn_things_are_surfaces_of_their_own_material(generator: Generator, data_dir: Path) -> None:
    def materials(*worn: Wearable) -> list[str]:
        actor = make_actor(generator, 2, sliders=Sliders(), worn=worn, data_dir=data_dir)
        return [surface.material.name for surface in actor.surfaces(NEUTRAL)]

    assert materials()[0] == SKIN.name
    assert HAIR.name in materials()
    assert GLASS.name in materials("sunglasses")
    assert GLASS.name not in materials("glasses"), "clear lenses are left out"
    assert materials("mask").count(CLOTH.name) == materials().count(CLOTH.name) + 1


def test_a_mask_covers_nose_and_mouth_and_goes_with_the_jaw(generator: Generator, data_dir: Path) -> None:
    actor = make_actor(generator, 4, sliders=Sliders(), worn=("mask",), data_dir=data_dir)
    rest, opened = (actor.surfaces(expression)[-1] for expression in (NEUTRAL, Expression(mouth_open=1)))
    for mark in actor.head(NEUTRAL).landmarks[2:]:
        near = np.linalg.norm(rest.vertices_mm[:, :2] - mark[:2], axis=1) < 6
        assert rest.vertices_mm[near, 2].min() < mark[2] + 1, "cloth lies before the face"
    assert np.linalg.norm(opened.vertices_mm - rest.vertices_mm, axis=1).max() > 8


def test_compiled_normals_agree_with_the_plain_ones(grown_up: Actor) -> None:
    head = grown_up.head(NEUTRAL)
    agreement = (fast_normals(head.vertices_mm, head.faces) * vertex_normals(head.vertices_mm, head.faces)).sum(axis=1)
    used = np.unique(head.faces)  # a doubled mesh has a few vertices without a triangle
    assert np.percentile(agreement[used], 1) > 0.999


def test_an_expression_fits_its_time(grown_up: Actor) -> None:
    assert frame_ms(grown_up) < FRAME_BUDGET_MS


@pytest.mark.parametrize("wrong", [{"age_years": 2.0}, {"male": 1.2}, {"heavy": -2.0}, {"descent": (0.5, 0.5, 0.5)}])
def test_impossible_sliders_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1|sum to 1"):
        Sliders(**wrong)  # type: ignore[arg-type]


def test_missing_ict_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(PeopleError, match=r"ict_head_100\.npz.*docs/people\.md"):
        make_actor("ict", 0, data_dir=tmp_path)


def test_other_ict_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads" / "ict_head_100.npz").write_bytes(b"something else")
    with pytest.raises(PeopleError, match="not the file of digest"):
        make_actor("ict", 0, data_dir=tmp_path)


@pytest.fixture(scope="module")
def scanned(data_dir: Path) -> Actor:
    return moving_james(data_dir)


def test_the_scan_at_rest_is_the_scan(scanned: Actor, data_dir: Path) -> None:
    assert np.array_equal(scanned.head(NEUTRAL).vertices_mm, james(data_dir).vertices_mm)
    assert np.array_equal(scanned.head(NEUTRAL).faces, james(data_dir).faces)


def test_the_scan_makes_every_movement_and_keeps_its_skull_still(scanned: Actor) -> None:
    skull = scanned.head(NEUTRAL).vertices_mm[:, 1] < -85
    for movement in MOVEMENTS:
        moved = moved_mm(scanned, Expression(**{movement: 1.0}))
        assert moved.max() > 2, movement
        assert moved[skull].max() < 1, movement


def test_the_scan_smiles_and_opens_its_mouth_as_people_do(scanned: Actor) -> None:
    rest = scanned.head(NEUTRAL).landmarks
    smile = scanned.head(Expression(smile=1)).landmarks
    assert (smile[3:, 1] < rest[3:, 1] - 5).all(), "the corners rise"
    assert smile[LEFT_MOUTH, 0] - smile[RIGHT_MOUTH, 0] > rest[LEFT_MOUTH, 0] - rest[RIGHT_MOUTH, 0] + 5
    front = scanned.head(NEUTRAL).vertices_mm
    chin = np.flatnonzero((np.abs(front[:, 0]) < 8) & (np.abs(front[:, 1] - 112) < 6) & (front[:, 2] < 25))
    assert 25 < moved_mm(scanned, Expression(mouth_open=1))[chin].max() < 45


def test_the_scan_opens_a_mouth_and_not_a_web_of_skin(scanned: Actor) -> None:
    closed, opened = scanned.head(NEUTRAL), scanned.head(Expression(mouth_open=0.5))
    assert 5 < len(closed.faces) - len(opened.faces) < 200
