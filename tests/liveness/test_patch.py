"""The face region as light and shape: what it says of a plane, and what it does not know."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.liveness.patch import FALLOFF, patch
from tests.liveness.shapes import DISTANCE_MM, face_at_centre, frames_of, metric_xy


def tilted(right: float, down: float) -> np.ndarray:
    """Depth of a plane through the face's middle that falls away by `right` and `down` mm a mm, less its distance."""
    x, y = metric_xy()
    return DISTANCE_MM / (1 - (right * x + down * y) / DISTANCE_MM) - DISTANCE_MM


@given(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8))
def test_plane_has_its_normal_everywhere(right: float, down: float) -> None:
    seen = patch(frames_of(tilted(right, down)), face_at_centre())
    assert seen is not None
    true = np.array([right, down, -1]) / math.sqrt(right**2 + down**2 + 1)
    middle = seen.normal[10:-10, 10:-10]
    assert np.nanmax(np.abs(middle - true)) < 0.02


def test_white_plane_square_to_the_axis_returns_light_by_the_square_of_its_distance() -> None:
    seen = patch(frames_of(tilted(0, 0)), face_at_centre())
    assert seen is not None
    off_axis = seen.off_axis[10:-10, 10:-10]
    expected = off_axis * off_axis**FALLOFF / (DISTANCE_MM / 1000 / off_axis) ** 2
    assert seen.expected[10:-10, 10:-10] == pytest.approx(expected, rel=0.01)


def test_without_a_dark_exposure_the_floods_own_light_is_unknown() -> None:
    seen = patch(frames_of(tilted(0, 0)), face_at_centre())
    assert seen is not None
    assert np.isnan(seen.lit).all()


def test_full_pixels_are_unknown() -> None:
    frames = frames_of(tilted(0, 0))
    full = np.full_like(frames.ir, 255)
    seen = patch(dataclasses.replace(frames, ir=full, ambient=np.zeros_like(full)), face_at_centre())
    assert seen is not None
    assert np.isnan(seen.lit).all()


def test_missing_depth_stays_missing() -> None:
    relief = tilted(0, 0)
    relief[:, 320:] = np.nan
    seen = patch(frames_of(relief), face_at_centre())
    assert seen is not None
    assert np.isnan(seen.depth_mm[:, -10:]).all()
    assert np.isfinite(seen.depth_mm[:, :10]).all()


def test_pixel_without_depth_has_no_normal_though_its_neighbours_have_depth() -> None:
    relief = tilted(0.2, 0)
    relief[np.random.default_rng(0).random(relief.shape) < 0.75] = np.nan
    seen = patch(frames_of(relief), face_at_centre())
    assert seen is not None
    hole = ~np.isfinite(seen.depth_mm)
    assert hole[1:-1, 1:-1].any()
    assert np.isnan(seen.incidence[hole]).all()
    assert np.isfinite(seen.expected[np.isfinite(seen.incidence)]).all()


@pytest.mark.parametrize("distance_mm", [math.nan, 0.0, -1.0])
def test_face_at_no_distance_has_none(distance_mm: float) -> None:
    face = dataclasses.replace(face_at_centre(), distance_mm=distance_mm)
    assert patch(frames_of(tilted(0, 0)), face) is None
