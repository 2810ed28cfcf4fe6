"""Paper cannot earn relief, however it is bent, folded or touched; a face has it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firmware.liveness.gates import Freshness, geometry_gates
from firmware.liveness.limits import load_limits
from tests.liveness.shapes import DISTANCE_MM, face_at_centre, frames_of, head_relief, metric_xy

LIMITS, _ = load_limits()


def noise(sigma_mm: float = 0.6) -> NDArray[np.float64]:
    """White depth noise, mm."""
    return np.random.default_rng(1).normal(0, sigma_mm, (480, 640))


def refused_as_paper(relief_mm: NDArray[np.float64], noise_mm: float = 0.6) -> bool:
    """Whether a surface fails one of the gates of shape."""
    gates = geometry_gates(frames_of(relief_mm + noise(noise_mm)), face_at_centre(), LIMITS)
    return any(gate.reason in ("flat", "covered") for gate in gates)


def fingers(*places_mm: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Fingers 30 mm before the paper, each (x, y, width, height) in mm; zero elsewhere."""
    x, y = metric_xy()
    before = np.zeros_like(x)
    for left, top, width, height in places_mm:
        before[(np.abs(x - left) < width / 2) & (np.abs(y - top) < height / 2)] = -30
    return before


def creased(across_mm: float, tilt_deg: float, fold_deg: float) -> NDArray[np.float64]:
    """A sheet with both sides folded back along two creases that are not parallel; an isometry of the flat one."""
    x, y = metric_xy()
    tilt, slope = np.radians(tilt_deg), np.tan(np.radians(fold_deg))
    right = np.maximum(0, x * np.cos(tilt) + y * np.sin(tilt) - across_mm)
    left = np.maximum(0, -x * np.cos(tilt) + y * np.sin(tilt) - across_mm)
    folded: NDArray[np.float64] = slope * np.maximum(right, left)
    return folded


def test_head_has_relief() -> None:
    assert not refused_as_paper(head_relief())


@settings(max_examples=30)
@given(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8))
def test_flat_print_has_no_relief_at_any_tilt(right: float, down: float) -> None:
    x, y = metric_xy()
    assert refused_as_paper(right * x + down * y)


@settings(max_examples=60)
@given(radius=st.floats(50, 400), angle=st.floats(0, np.pi), slope=st.floats(-0.4, 0.4))
def test_bent_print_has_no_relief_at_any_radius_and_axis(radius: float, angle: float, slope: float) -> None:
    x, y = metric_xy()
    s, t = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    s = np.clip(s, -0.98 * radius, 0.98 * radius)
    assert refused_as_paper(radius - np.sqrt(radius**2 - s**2) + slope * t)


@settings(max_examples=60)
@given(across=st.floats(15, 55), tilt=st.floats(-35, 35), fold=st.floats(5, 55))
def test_print_folded_along_two_creases_has_no_relief(across: float, tilt: float, fold: float) -> None:
    assert refused_as_paper(creased(across, tilt, fold))


@pytest.mark.parametrize(
    "held",
    [
        [(0, 80, 18, 40)],
        [(40, 60, 18, 60)],
        [(40, 60, 18, 60), (-40, 60, 18, 60)],
        [(0, 0, 18, 50)],
        [(12, 30, 12, 60), (-12, 30, 12, 60)],
        [(20, 30, 16, 90), (-20, 30, 16, 90)],
    ],
)
def test_finger_before_a_print_earns_no_relief(held: list[tuple[float, float, float, float]]) -> None:
    assert refused_as_paper(fingers(*held))
    assert refused_as_paper(creased(45, 25, 50) + fingers(*held))


@settings(max_examples=40)
@given(
    held=st.lists(
        st.tuples(st.floats(-45, 45), st.floats(-50, 90), st.floats(14, 24), st.floats(20, 60)), min_size=4, max_size=7
    ),
    ring_mm=st.floats(0, 8),
)
def test_things_stuck_on_paper_earn_no_relief_nor_does_a_ring_of_missing_depth_about_them(
    held: list[tuple[float, float, float, float]], ring_mm: float
) -> None:
    """Shadows and dark outlines take the depth round a thing away, and with it the step that gives it away."""
    inside = fingers(*held) < 0
    ringed = fingers(*[(x, y, width + 2 * ring_mm, height + 2 * ring_mm) for x, y, width, height in held]) < 0
    relief_mm = np.where(inside, -20.0, 0.0)
    relief_mm[ringed & ~inside] = np.nan
    assert not all(gate.passed for gate in geometry_gates(frames_of(relief_mm + noise()), face_at_centre(), LIMITS))


def test_paper_pleated_like_a_nose_has_no_relief() -> None:
    x, _ = metric_xy()
    assert refused_as_paper(-20 * np.exp(-((x / 10) ** 2)))


def test_cone_shaped_print_has_no_relief() -> None:
    x, y = metric_xy()
    to_apex = y + 200
    assert refused_as_paper(0.5 * to_apex * (1 - np.cos(1.2 * x / to_apex)))


def test_wild_pixels_on_a_flat_print_earn_no_relief() -> None:
    x, _ = metric_xy()
    wild = np.random.default_rng(2).random(x.shape) < 0.15
    assert refused_as_paper(np.where(wild, -60, 0.3 * x))


def test_zero_and_negative_depth_on_a_flat_print_earn_no_relief() -> None:
    x, _ = metric_xy()
    holes = np.random.default_rng(3).random(x.shape) < 0.15
    assert refused_as_paper(np.where(holes, -DISTANCE_MM, 0.3 * x))
    assert refused_as_paper(np.where(holes, -2 * DISTANCE_MM, 0.3 * x))


def test_face_without_depth_is_refused_not_guessed() -> None:
    gates = geometry_gates(frames_of(np.full((480, 640), np.nan)), face_at_centre(), LIMITS)
    assert {gate.name: (gate.passed, gate.reason) for gate in gates} == {
        "depth_coverage": (False, "depth_missing"),
        "relief": (False, "gate_unknown"),
        "solid_relief": (False, "gate_unknown"),
        "plane": (False, "gate_unknown"),
        "nose": (False, "gate_unknown"),
        "edges": (False, "gate_unknown"),
        "eye_distance": (True, ""),
    }


@pytest.mark.parametrize(("scale", "passed"), [(0.6, False), (0.8, True), (1.0, True), (1.3, False)])
def test_face_of_wrong_size_is_refused_but_not_a_child(scale: float, passed: bool) -> None:
    gates = geometry_gates(frames_of(head_relief()), face_at_centre(63 * scale), LIMITS)
    assert gates[-1].passed is passed


def test_unknown_eye_distance_is_refused() -> None:
    face = dataclasses.replace(face_at_centre(), ipd_mm=float("nan"))
    gate = geometry_gates(frames_of(head_relief()), face, LIMITS)[-1]
    assert not gate.passed
    assert gate.reason == "gate_unknown"


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
