"""Virtual people: the same for a seed, different between seeds, and shaped and coloured like people."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hil.people import Head, PeopleError, james, makehuman, virtual_person
from hil.people.actor import NEUTRAL, Expression
from hil.people.person import living_person

ADULT_EYES_MM = (54, 75)  # interpupillary distance of adults


def test_a_seed_is_a_person(person: Head) -> None:
    again = virtual_person(3)
    for name in ("vertices_mm", "normals", "faces", "uv", "albedo", "gloss", "landmarks"):
        assert np.array_equal(getattr(person, name), getattr(again, name)), name


def test_the_living_person_is_the_same_and_moves(person: Head) -> None:
    alive = living_person(3)
    at_rest = alive.head(NEUTRAL)
    assert np.array_equal(at_rest.vertices_mm[: len(person.vertices_mm)], person.vertices_mm)
    assert np.array_equal(at_rest.landmarks, person.landmarks)
    assert np.array_equal(at_rest.albedo, person.albedo)
    smile = alive.head(Expression(smile=1.0))
    assert np.abs(smile.landmarks[3:] - at_rest.landmarks[3:]).max() > 3


def test_people_differ_in_shape_and_skin(person: Head) -> None:
    for seed in (0, 1, 2):
        other = virtual_person(seed)
        face = np.linalg.norm(person.vertices_mm, axis=1) < 110
        apart = np.linalg.norm(person.vertices_mm[face] - other.vertices_mm[face], axis=1)
        assert apart.mean() > 2
        assert np.abs(person.albedo - other.albedo).mean() > 0.02


def test_people_have_the_measures_of_adults() -> None:
    for seed in range(12):
        head = virtual_person(seed)
        right_eye, left_eye, nose, right_mouth, left_mouth = head.landmarks
        assert ADULT_EYES_MM[0] < np.linalg.norm(left_eye - right_eye) < ADULT_EYES_MM[1]
        assert right_eye[0] < 0 < left_eye[0]
        assert right_mouth[0] < nose[0] < left_mouth[0]
        assert right_eye[1] < nose[1] < right_mouth[1]
        assert nose[2] < right_eye[2] - 10, "the nose stands out towards the camera"
        np.testing.assert_allclose((right_eye + left_eye) / 2, 0, atol=1e-3)


def test_reflectance_stays_within_what_a_person_reflects(person: Head) -> None:
    assert person.albedo.dtype == np.float32
    assert person.albedo.min() >= 0.02
    assert person.albedo.max() <= 0.9


def test_making_people_never_imports_anny() -> None:
    code = "import sys, hil.people; hil.people.virtual_person(1); assert not {'anny', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_cache_is_made_once_and_read_back_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parsed, loaded = makehuman.bust.__wrapped__(), makehuman.bust.__wrapped__()
    assert [path.suffix for path in (tmp_path / "tessera").iterdir()] == [".npz"]
    assert parsed.names == loaded.names
    for name in ("vertices_mm", "faces", "eye", "landmarks", "rim", "targets"):
        assert np.array_equal(getattr(parsed, name), getattr(loaded, name)), name


def test_a_half_written_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    whole = makehuman.bust.__wrapped__()
    (path,) = (tmp_path / "tessera").iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    assert np.array_equal(makehuman.bust.__wrapped__().targets, whole.targets)


def test_missing_scan_is_named(tmp_path: Path) -> None:
    with pytest.raises(PeopleError, match=r"james\.npz.*TESSERA_DATA"):
        james(tmp_path)


def test_the_real_scan_faces_the_camera(data_dir: Path) -> None:
    head = james(data_dir)
    right_eye, left_eye, nose, right_mouth, left_mouth = head.landmarks
    assert ADULT_EYES_MM[0] < np.linalg.norm(left_eye - right_eye) < ADULT_EYES_MM[1]
    assert right_eye[0] < 0 < left_eye[0]
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert nose[2] < -25
    assert abs(right_mouth[0] + left_mouth[0]) < 10
    front = np.linalg.norm(head.vertices_mm[:, :2] - nose[:2], axis=1) < 40
    assert head.normals[front, 2].mean() < -0.5, "outward is towards the camera"
