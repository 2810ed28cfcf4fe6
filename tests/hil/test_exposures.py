"""The flood exposure and the structured-light depth: their noise, their limits, their holes."""

from collections.abc import Callable

import numpy as np
import pytest

from hil.people import Head
from hil.sensor.capture import capture, render
from hil.sensor.depth import BASELINE_MM
from hil.sensor.flood import EXPOSURE_US, GAIN, auto_exposure
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene
from hil.sensor.surface import F32, Surface

Board = Callable[[float], Surface]


def of_board(surface: Surface, z_mm: float, seed: int = 1, yaw_deg: float = 0.0) -> F32:
    """Depth inside the board's image, a margin of 12 pixels away from its edges."""
    scene = Scene((Placed(surface, Pose(z_mm=z_mm, yaw_deg=yaw_deg)),), wall_mm=None)
    _, depth_mm = render(scene, np.random.default_rng(seed))
    rows, columns = np.nonzero(np.isfinite(depth_mm))
    return depth_mm[rows.min() + 12 : rows.max() - 11, columns.min() + 12 : columns.max() - 11]


def test_the_same_generator_state_gives_the_same_frames(person: Head) -> None:
    scene = Scene((Placed(person, Pose()),))
    one, same, other = (capture(scene, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one.ir, same.ir)
    assert np.array_equal(one.depth_mm, same.depth_mm, equal_nan=True)
    assert not np.array_equal(one.ir, other.ir)


def test_depth_noise_is_unbiased_and_grows_with_the_square_of_distance(board: Board) -> None:
    near, far = of_board(board(0.55), 400), of_board(board(0.55), 800)
    assert np.nanmean(near) == pytest.approx(400, abs=0.1)
    assert np.nanmean(far) == pytest.approx(800, abs=0.5)
    # z^2 gives 4; weaker dots far away add to it
    assert 3.5 < np.nanstd(far) / np.nanstd(near) < 7
    one_pixel_mm = 400**2 / (INTRINSICS.fx * BASELINE_MM)
    assert 0.05 < np.nanstd(near) / one_pixel_mm < 0.08


def test_depth_noise_is_smooth_as_a_matching_window_makes_it(board: Board) -> None:
    error = of_board(board(0.55), 600)
    error = np.nan_to_num(error - np.nanmean(error))
    neighbour, apart = (np.mean(error[:, :-k] * error[:, k:]) / np.mean(error**2) for k in (1, 15))
    assert neighbour > 0.7
    assert abs(apart) < 0.2


@pytest.mark.parametrize(("albedo", "yaw_deg", "z_mm"), [(0.01, 0, 450), (0.5, 82, 450), (0.5, 0, 1400)])
def test_dark_grazing_or_far_surfaces_are_holes(board: Board, albedo: float, yaw_deg: float, z_mm: float) -> None:
    scene = Scene((Placed(board(albedo), Pose(z_mm=z_mm, yaw_deg=yaw_deg)),), wall_mm=None)
    _, depth_mm = render(scene, np.random.default_rng(0))
    assert np.isfinite(depth_mm).sum() < 40


def test_the_projector_casts_a_shadow_beside_a_near_thing(board: Board) -> None:
    near, far = Placed(board(0.5), Pose(x_mm=0, z_mm=350)), Placed(board(0.5), Pose(x_mm=-160, z_mm=600))
    _, depth_mm = render(Scene((near, far), wall_mm=None), np.random.default_rng(0))
    # the near board's left edge is at column 148; light from the right of the lens misses a strip left of it
    shadow_px = BASELINE_MM * INTRINSICS.fx * (1 / 350 - 1 / 600)
    assert np.isnan(depth_mm[200:280, round(148 - shadow_px) + 3 : 146]).mean() > 0.95
    assert np.isfinite(depth_mm[200:280, 64 : round(148 - shadow_px) - 6]).mean() > 0.9


def test_auto_exposure_keeps_a_face_in_range_over_the_capture_volume(person: Head) -> None:
    for z_mm in (300, 450, 700, 1000):
        taken = capture(Scene((Placed(person, Pose(z_mm=z_mm)),)), np.random.default_rng(0))
        u, v = (person.landmarks[2, :2] / (z_mm + person.landmarks[2, 2]) * 600 + [319.5, 239.5]).astype(int)
        nose = taken.ir[v - 5 : v + 6, u - 5 : u + 6]
        assert 60 < nose.mean() < 250, z_mm
        assert (taken.ir == 255).mean() < 0.03, z_mm


def test_auto_exposure_stays_within_the_sensor() -> None:
    dark, bright = np.zeros((480, 640), np.float32), np.full((480, 640), 1e6, np.float32)
    assert auto_exposure(dark) == (EXPOSURE_US[1], GAIN[1])
    assert auto_exposure(bright) == (EXPOSURE_US[0], GAIN[0])


def test_flood_falls_with_the_square_of_distance_and_rises_with_albedo(board: Board) -> None:
    def rate(albedo: float, z_mm: float) -> float:
        taken = capture(Scene((Placed(board(albedo), Pose(z_mm=z_mm)),), wall_mm=None), np.random.default_rng(0))
        return float(taken.ir[220:260, 300:340].mean()) / (taken.exposure_us * taken.gain)

    assert rate(0.5, 400) / rate(0.5, 800) == pytest.approx(4, rel=0.12)
    assert rate(0.6, 500) / rate(0.3, 500) == pytest.approx(2, rel=0.03)


def test_shot_noise_grows_with_the_root_of_the_signal(board: Board) -> None:
    scene = Scene((Placed(board(0.5), Pose(z_mm=400)),), wall_mm=None)
    one, two = (capture(scene, np.random.default_rng(seed)).ir[220:260, 300:340].astype(float) for seed in (1, 2))
    electrons = one.mean() / 255 * 6000
    expected_dn = np.sqrt(electrons) * 255 / 6000
    assert np.std(one - two) / np.sqrt(2) == pytest.approx(expected_dn, rel=0.12)
