"""Figures that any depth camera is judged by: a flat target in the middle, and how frames come."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from drivers.camera import FrameSet, Intrinsics
from drivers.camera.meter import Meter
from drivers.camera.plane import fit_plane, middle, valid_share

LENS = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
Make = Callable[[int], list[FrameSet]]


def target(distance_mm: float, tilt_deg: float = 0.0, noise_mm: float = 0.0) -> NDArray[np.float32]:
    """Depth of a plane through `distance_mm` on the axis, turned about the vertical; noise at right angles to it."""
    columns = np.arange(LENS.width, dtype=np.float64)[None].repeat(LENS.height, axis=0)
    rays = (columns - LENS.cx) / LENS.fx
    slope = np.tan(np.radians(tilt_deg))
    depth = distance_mm / (1 - slope * rays)
    noise = np.random.default_rng(1).normal(0, noise_mm, depth.shape) / np.cos(np.radians(tilt_deg))
    return np.asarray(depth + noise, np.float32)


@pytest.mark.parametrize("distance_mm", [300.0, 500.0, 800.0])
@pytest.mark.parametrize("tilt_deg", [0.0, 5.0, 20.0])
def test_noise_distance_and_tilt_of_a_flat_target_are_found(distance_mm: float, tilt_deg: float) -> None:
    plane = fit_plane(target(distance_mm, tilt_deg, noise_mm=1.0), LENS)
    assert plane is not None
    assert plane.distance_mm == pytest.approx(distance_mm, abs=0.5)
    assert plane.tilt_deg == pytest.approx(tilt_deg, abs=2.0)
    assert plane.rms_mm == pytest.approx(1.0, rel=0.2)
    assert plane.wild < 0.01
    assert plane.valid == 1.0


def test_what_stands_off_the_target_is_told_apart_from_noise() -> None:
    depth = target(500.0, noise_mm=0.5)
    rows, columns = middle(*depth.shape)
    depth[rows.start : rows.start + 4, columns] = 400.0
    plane = fit_plane(depth, LENS)
    assert plane is not None
    assert plane.rms_mm < 0.7
    assert plane.wild == pytest.approx(0.25, abs=0.02)


def test_a_ball_is_not_flat(synthetic_frames: Make) -> None:
    frames = synthetic_frames(1)[0]
    plane = fit_plane(frames.depth_mm, frames.intrinsics)
    assert plane is not None
    assert plane.rms_mm > 5


def test_only_the_middle_counts() -> None:
    depth = target(500.0)
    rows, columns = middle(*depth.shape)
    edges = depth.copy()
    edges[:] = np.nan
    edges[rows, columns] = depth[rows, columns]
    assert valid_share(edges) == 1.0
    assert fit_plane(edges, LENS) == fit_plane(depth, LENS)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 64), st.integers(1, 64)),
        elements=st.floats(0, 1e5, width=32) | st.just(np.nan) | st.just(np.inf),
    )
)
def test_no_depth_image_raises(depth: NDArray[np.float32]) -> None:
    plane = fit_plane(depth, LENS)
    assert plane is None or (np.isfinite(plane.rms_mm) and 0 <= plane.wild <= 1 and 0 <= plane.valid <= 1)


def test_the_meter_counts_gaps_intervals_and_age(synthetic_frames: Make) -> None:
    frames = synthetic_frames(12)
    meter = Meter()
    assert meter.figures.rate_hz is None
    for one in [*frames[:4], *frames[6:]]:
        meter.take(one, one.timestamp_ns + 20_000_000)
    figures = meter.figures
    assert (figures.frames, figures.dropped) == (10, 2)
    assert figures.interval_ms is not None
    assert figures.interval_ms[0] == pytest.approx(66.67, abs=0.1)
    assert figures.interval_ms[1] > 180
    assert figures.latency_ms == pytest.approx((20.0, 20.0))
    assert figures.distance_mm is not None
    assert 400 < figures.distance_mm < 600


def test_what_was_recorded_has_no_latency_and_times_that_stand_still_no_rate(synthetic_frames: Make) -> None:
    meter = Meter()
    for one in synthetic_frames(3):
        meter.take(replace(one, timestamp_ns=5), 10**15)
    assert meter.figures.latency_ms is None
    assert meter.figures.rate_hz is None
