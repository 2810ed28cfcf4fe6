"""Paper cannot earn relief, however it is bent; a face has it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.liveness.gates import Freshness, geometry_gates, load_limits
from firmware.liveness.surface import developable_residual_mm, face_surface
from firmware.vision.face import Face

K = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
DISTANCE_MM = 450.0


def frames_of(relief_mm: NDArray[np.float64], *, sequence: int = 0, timestamp_ns: int = 0, seed: int = 0) -> FrameSet:
    """A FrameSet whose depth is the distance plus `relief_mm`, (480, 640)."""
    ir = np.random.default_rng(seed).integers(0, 255, (480, 640), dtype=np.uint8)
    depth = (DISTANCE_MM + relief_mm).astype(np.float32)
    return FrameSet(
        sequence, timestamp_ns, ir, depth, K, Emitter(1, 1), 1000, 1.0, CameraInfo("TEST", "0", "0" * 64, True)
    )


def metric_xy() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Millimetres right and down of the face's centre, each (480, 640)."""
    v, u = np.mgrid[0:480, 0:640].astype(float)
    return (u - K.cx) / K.fx * DISTANCE_MM, (v - K.cy) / K.fy * DISTANCE_MM


def face_at_centre(ipd_mm: float = 63.0) -> Face:
    """An upright frontal face whose eyes are `ipd_mm` apart."""
    points_mm = np.array(
        [[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0.05, -0.3], [-0.4, 0.55, 0], [0.4, 0.55, 0]], np.float32
    )
    points_mm = points_mm * ipd_mm + np.array([0, 0, DISTANCE_MM])
    points = points_mm[:, :2] / DISTANCE_MM * K.fx + np.array([K.cx, K.cy])
    return Face(
        box=(250.0, 150.0, 140.0, 180.0),
        points_px=points.astype(np.float32),
        score=0.9,
        distance_mm=DISTANCE_MM,
        points_mm=points_mm.astype(np.float32),
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        ipd_mm=ipd_mm,
    )


def head_relief() -> NDArray[np.float64]:
    """An ellipsoid with a nose and eye sockets, mm."""
    x, y = metric_xy()
    ellipsoid = 95 * (1 - np.sqrt(np.clip(1 - (x / 78) ** 2 - (y / 110) ** 2, 0, 1)))
    relief: NDArray[np.float64] = ellipsoid - 22 * np.exp(-((x / 13) ** 2) - ((y - 5) / 20) ** 2)
    return relief


def residual_mm(relief_mm: NDArray[np.float64], noise_mm: float = 0.6, seed: int = 1) -> float:
    noise = np.random.default_rng(seed).normal(0, noise_mm, relief_mm.shape)
    return developable_residual_mm(face_surface(frames_of(relief_mm + noise), face_at_centre()).points_mm)


def test_head_has_relief() -> None:
    assert residual_mm(head_relief()) > 6


@given(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8))
def test_flat_print_has_no_relief_at_any_tilt(right: float, down: float) -> None:
    x, y = metric_xy()
    assert residual_mm(right * x + down * y) < 0.5


@given(radius=st.floats(50, 400), angle=st.floats(0, np.pi), slope=st.floats(-0.4, 0.4))
def test_bent_print_has_no_relief_at_any_radius_and_axis(radius: float, angle: float, slope: float) -> None:
    x, y = metric_xy()
    s, t = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    s = np.clip(s, -0.98 * radius, 0.98 * radius)
    assert residual_mm(radius - np.sqrt(radius**2 - s**2) + slope * t) < 1.5


def test_paper_pleated_like_a_nose_has_no_relief() -> None:
    x, _ = metric_xy()
    assert residual_mm(-20 * np.exp(-((x / 10) ** 2))) < 1.5


def test_cone_shaped_print_has_no_relief() -> None:
    x, y = metric_xy()
    to_apex = y + 200
    assert residual_mm(0.5 * to_apex * (1 - np.cos(1.2 * x / to_apex))) < 1.5


def test_wild_pixels_on_a_flat_print_earn_no_relief() -> None:
    x, _ = metric_xy()
    wild = np.random.default_rng(2).random(x.shape) < 0.15
    assert residual_mm(np.where(wild, -60, 0.3 * x)) < 1.0


def test_face_without_depth_is_refused_not_guessed() -> None:
    limits, _ = load_limits()
    gates = geometry_gates(frames_of(np.full((480, 640), np.nan)), face_at_centre(), limits)
    assert {gate.name: (gate.passed, gate.reason) for gate in gates} == {
        "depth_coverage": (False, "depth_missing"),
        "relief": (False, "relief_unknown"),
        "eye_distance": (True, ""),
    }


@pytest.mark.parametrize(("scale", "passed"), [(0.6, False), (0.8, True), (1.0, True), (1.3, False)])
def test_face_of_wrong_size_is_refused_but_not_a_child(scale: float, passed: bool) -> None:
    limits, _ = load_limits()
    gates = geometry_gates(frames_of(head_relief()), face_at_centre(63 * scale), limits)
    assert gates[2].passed is passed


def test_unknown_eye_distance_is_refused() -> None:
    limits, _ = load_limits()
    face = dataclasses.replace(face_at_centre(), ipd_mm=float("nan"))
    gate = geometry_gates(frames_of(head_relief()), face, limits)[2]
    assert not gate.passed
    assert gate.reason == "eye_distance_unknown"


def test_repeated_frame_is_refused_even_under_a_new_number() -> None:
    fresh = Freshness(stale_s=0.5)
    assert fresh.check(frames_of(head_relief(), sequence=1, seed=1), 0).passed
    assert fresh.check(frames_of(head_relief(), sequence=2, seed=2), 0).passed
    assert fresh.check(frames_of(head_relief(), sequence=3, seed=1), 0).reason == "repeated_frame"


def test_frame_that_goes_back_in_sequence_is_refused() -> None:
    fresh = Freshness(stale_s=0.5)
    assert fresh.check(frames_of(head_relief(), sequence=5, seed=1), 0).passed
    assert fresh.check(frames_of(head_relief(), sequence=5, seed=2), 0).reason == "repeated_frame"


@pytest.mark.parametrize(("now_ns", "passed"), [(0, True), (400_000_000, True), (600_000_000, False), (-1, False)])
def test_stale_or_future_frame_is_refused(now_ns: int, passed: bool) -> None:
    assert Freshness(stale_s=0.5).check(frames_of(head_relief(), timestamp_ns=0), now_ns).passed is passed
