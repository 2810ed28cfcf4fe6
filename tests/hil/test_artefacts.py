"""Presentation attack instruments have the geometry and reflectance their species says."""

import numpy as np
import pytest

from hil.artefacts import bent_print, flat_print, phone_screen
from hil.artefacts.toner import PAPER_ALBEDO, SHEET_MM, TONER_K
from hil.people import Head
from hil.sensor.capture import render
from hil.sensor.rasteriser import view
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene
from hil.sensor.surface import F32, Surface


def points(surface: Surface, pose: Pose) -> F32:
    """(N, 3) mm: the measured points on an artefact before empty space."""
    _, depth_mm = render(Scene((Placed(surface, pose),), wall_mm=None), np.random.default_rng(2))
    rows, columns = np.nonzero(np.isfinite(depth_mm))
    z = depth_mm[rows, columns]
    x, y = (columns - INTRINSICS.cx) / INTRINSICS.fx * z, (rows - INTRINSICS.cy) / INTRINSICS.fy * z
    return np.stack([x, y, z], axis=1)


def test_the_depth_of_a_flat_print_is_a_plane_within_noise(person: Head) -> None:
    cloud = points(flat_print(person, 1), Pose(z_mm=450, yaw_deg=15))
    *_, axes = np.linalg.svd(cloud - cloud.mean(axis=0), full_matrices=False)
    residual = (cloud - cloud.mean(axis=0)) @ axes[2]
    assert np.sqrt(np.mean(residual**2)) < 1.0


@pytest.mark.parametrize("radius_mm", [50.0, 90.0, 200.0])
def test_the_depth_of_a_bent_print_is_a_cylinder_within_noise(person: Head, radius_mm: float) -> None:
    cloud = points(bent_print(person, 1, radius_mm), Pose(z_mm=450))
    residual = np.hypot(cloud[:, 0], cloud[:, 2] - 450 - radius_mm) - radius_mm
    assert np.sqrt(np.mean(residual**2)) < 1.0


def test_a_bent_print_is_not_stretched(person: Head) -> None:
    vertices = bent_print(person, 1, 60.0).vertices_mm
    edge = vertices[:49]
    assert np.linalg.norm(np.diff(edge, axis=0), axis=1).sum() == pytest.approx(SHEET_MM[0], rel=0.002)


@pytest.mark.parametrize("radius_mm", [49.0, 201.0])
def test_a_radius_no_sheet_takes_is_refused(person: Head, radius_mm: float) -> None:
    with pytest.raises(ValueError, match="radius_mm"):
        bent_print(person, 1, radius_mm)


def test_a_toner_print_reflects_between_bare_and_blackened_paper(person: Head) -> None:
    albedo = flat_print(person, 1).albedo
    assert albedo.max() == pytest.approx(PAPER_ALBEDO)
    assert albedo.min() >= PAPER_ALBEDO * (1 - TONER_K) - 1e-6


def test_a_printed_face_is_life_size_and_in_place(person: Head) -> None:
    """Eyes and mouth of the print lie where the victim's own would: its picture fits best unmoved."""
    scenes = [Scene((Placed(surface, Pose(z_mm=400)),)) for surface in (person, flat_print(person, 1))]
    own, printed = (render(scene, np.random.default_rng(0))[0].astype(np.float32) for scene in scenes)
    face = own[190:350, 250:390].ravel()
    fit = {
        (down, right): np.corrcoef(face, printed[190 + down : 350 + down, 250 + right : 390 + right].ravel())[0, 1]
        for down in (-4, 0, 4)
        for right in (-4, 0, 4)
    }
    assert max(fit, key=lambda shift: fit[shift]) == (0, 0)
    assert fit[0, 0] > 0.9


def test_a_phone_is_a_dark_slab_whose_depth_is_mostly_holes(person: Head) -> None:
    phone = phone_screen(person, 1)
    scene = Scene((Placed(phone, Pose(z_mm=400, yaw_deg=8, pitch_deg=8)),))
    ir, depth_mm = render(scene, np.random.default_rng(0))
    slab = view(scene, INTRINSICS).gloss > 0.5
    assert np.isfinite(depth_mm[slab]).mean() < 0.2
    assert np.median(ir[slab]) < 90, "a face would be exposed to about 185"


def test_a_phone_shows_the_same_slab_whoever_plays_on_it(person: Head) -> None:
    other = Head(**{**vars(person), "albedo": person.albedo * 0.5})
    assert np.array_equal(phone_screen(person, 1).albedo, phone_screen(other, 1).albedo)
