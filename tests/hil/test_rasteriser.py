"""The geometry image against shapes with a closed form."""

from collections.abc import Callable

import numpy as np
import pytest

from drivers.camera import Intrinsics
from hil.sensor.rasteriser import NEAR_MM, view
from hil.sensor.scene import INTRINSICS, WALL_MM, Placed, Pose, Scene
from hil.sensor.surface import F32, Surface

RAY_X = (np.arange(INTRINSICS.width) - INTRINSICS.cx) / INTRINSICS.fx
RAY_Y = ((np.arange(INTRINSICS.height) - INTRINSICS.cy) / INTRINSICS.fy)[:, None]


def depth(surface: Surface, pose: Pose, intrinsics: Intrinsics = INTRINSICS) -> F32:
    """Depth in mm, infinite where nothing is."""
    seen = view(Scene((Placed(surface, pose),), wall_mm=None), intrinsics).inverse_depth
    with np.errstate(divide="ignore"):
        return np.asarray(1 / seen, np.float32)


def test_a_tilted_plane_is_exact(board: Callable[[float], Surface]) -> None:
    pose = Pose(z_mm=500, yaw_deg=30, pitch_deg=-20)
    normal = pose.rotation() @ np.array([0, 0, -1], np.float32)
    expected = 500 * normal[2] / (normal[0] * RAY_X + normal[1] * RAY_Y + normal[2])
    seen = depth(board(0.5), pose)
    drawn = np.isfinite(seen)
    assert drawn.sum() > 20_000
    np.testing.assert_allclose(seen[drawn], expected[drawn], rtol=2e-5)


def test_a_ball_is_where_rays_meet_it(ball: Surface) -> None:
    a, b, c = 1 + RAY_X**2 + RAY_Y**2, -2 * 500.0, 500.0**2 - 100.0**2
    under_root = b * b - 4 * a * c
    expected = (-b - np.sqrt(np.maximum(under_root, 0))) / (2 * a)
    seen = depth(ball, Pose(z_mm=500))
    well_inside = under_root > 0.1 * b * b * 0.04
    assert np.isfinite(seen[well_inside]).all()
    # the mesh's flat facets lie at most 0.04 mm inside the ball, more along a slanted ray
    np.testing.assert_allclose(seen[well_inside], expected[well_inside], atol=0.2)


def test_a_board_covers_the_pixels_its_corners_say(board: Callable[[float], Surface]) -> None:
    drawn = np.isfinite(depth(board(0.5), Pose(z_mm=600)))
    rows, columns = np.nonzero(drawn)
    # 200 mm at 600 mm with f = 600 px: 200 px about the principal point, edges at 219.5..419.5 and 139.5..339.5
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (220, 419, 140, 339)


def test_normals_and_albedo_are_carried_to_the_image(board: Callable[[float], Surface]) -> None:
    pose = Pose(z_mm=500, yaw_deg=25)
    seen = view(Scene((Placed(board(0.37), pose),), wall_mm=None), INTRINSICS)
    drawn = seen.inverse_depth > 0
    expected = np.array([np.sin(np.radians(25)), 0, -np.cos(np.radians(25))])
    np.testing.assert_allclose(seen.normal[drawn], np.broadcast_to(expected, (drawn.sum(), 3)), atol=1e-4)
    np.testing.assert_allclose(seen.albedo[drawn], 0.37, rtol=1e-5)


def test_the_nearer_surface_hides_the_farther(board: Callable[[float], Surface]) -> None:
    near, far = Placed(board(0.2), Pose(z_mm=400)), Placed(board(0.8), Pose(z_mm=700))
    one, other = (view(Scene(order), INTRINSICS) for order in ((near, far), (far, near)))
    assert np.array_equal(one.albedo, other.albedo)
    assert one.albedo[240, 320] == pytest.approx(0.2)


def test_a_surface_seen_from_behind_is_not_drawn(board: Callable[[float], Surface]) -> None:
    assert not np.isfinite(depth(board(0.5), Pose(z_mm=500, yaw_deg=180))).any()


def test_what_is_at_or_behind_the_lens_is_not_drawn(board: Callable[[float], Surface]) -> None:
    for z_mm in (NEAR_MM, 0.0, -300.0):
        assert not np.isfinite(depth(board(0.5), Pose(z_mm=z_mm))).any()


def test_an_empty_scene_is_its_wall_or_nothing() -> None:
    assert np.allclose(view(Scene(), INTRINSICS).inverse_depth, 1 / WALL_MM)
    assert not view(Scene(wall_mm=None), INTRINSICS).inverse_depth.any()


def test_yaw_turns_the_front_to_the_right_and_pitch_upwards() -> None:
    front = np.array([0, 0, -1], np.float32)
    assert (Pose(yaw_deg=30).rotation() @ front)[0] > 0.4
    assert (Pose(pitch_deg=30).rotation() @ front)[1] < -0.4
