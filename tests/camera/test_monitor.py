"""What no working camera does, and what a working one may well do."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import CameraInfo, CameraLostError, Cause, Emitter, FrameSet, Intrinsics
from drivers.camera.monitor import FROZEN_AFTER, FUTURE_NS, PARTIAL_AFTER, Monitor

HEIGHT, WIDTH = 96, 128
NOW_NS, PERIOD_NS = 10**12, 66_000_000
INFO = CameraInfo(serial="fake-1", firmware="1", calibration_digest="", flood=True)


def noisy(sequence: int, lit: slice = slice(None), size: tuple[int, int] = (HEIGHT, WIDTH)) -> FrameSet:
    """A frame with noise in the rows `lit`, and nothing elsewhere."""
    rng = np.random.default_rng(sequence)
    ir, depth_mm = np.zeros(size, np.uint8), np.full(size, np.nan, np.float32)
    ir[lit] = rng.integers(3, 200, ir[lit].shape)
    depth_mm[lit] = rng.uniform(400, 500, depth_mm[lit].shape)
    intrinsics = Intrinsics(width=size[1], height=size[0], fx=50.0, fy=50.0, cx=64.0, cy=48.0)
    at_ns = NOW_NS + sequence * PERIOD_NS
    return FrameSet(sequence, at_ns, ir, depth_mm, intrinsics, Emitter(1.0, 1.0), 100, 1.0, INFO)


def numbered(frames: FrameSet, sequence: int) -> FrameSet:
    """The same picture under another number and time."""
    return replace(frames, sequence=sequence, timestamp_ns=NOW_NS + sequence * PERIOD_NS)


def watch(frames: list[FrameSet], monitor: Monitor | None = None) -> list[bool]:
    """Let a monitor see `frames`, each on time."""
    monitor = monitor or Monitor()
    return [monitor.passes(frame, frame.timestamp_ns) for frame in frames]


def lost(frames: list[FrameSet], monitor: Monitor | None = None) -> Cause:
    with pytest.raises(CameraLostError, match="fake-1") as raised:
        watch(frames, monitor)
    return raised.value.cause


def test_frames_with_noise_pass() -> None:
    monitor = Monitor()
    assert all(watch([noisy(i) for i in range(50)], monitor))
    assert (monitor.seen, monitor.dropped) == (50, 0)


def test_one_picture_again_and_again_is_frozen() -> None:
    picture = noisy(0)
    assert all(watch([numbered(picture, i) for i in range(FROZEN_AFTER - 1)]))
    assert lost([numbered(picture, i) for i in range(FROZEN_AFTER)]) == "frozen"


def test_a_noiseless_recording_that_moves_is_not_frozen(synthetic_frames: Callable[[int], list[FrameSet]]) -> None:
    assert all(watch(synthetic_frames(30)))


def test_two_equal_pictures_now_and_then_are_not_frozen() -> None:
    pictures = [noisy(i // (FROZEN_AFTER - 1)) for i in range(20)]
    assert all(watch([numbered(picture, i) for i, picture in enumerate(pictures)]))


@pytest.mark.parametrize("value", [0, 255])
def test_a_covered_camera_is_not_frozen(value: int) -> None:
    blank = noisy(0, lit=slice(0))
    blank = replace(blank, ir=np.full((HEIGHT, WIDTH), value, np.uint8))
    assert all(watch([numbered(blank, i) for i in range(10)]))


@pytest.mark.parametrize("back_ns", [0, 1, PERIOD_NS, 10**11])
def test_time_that_does_not_go_on_is_a_fault_of_the_clock(back_ns: int) -> None:
    first, second = noisy(0), noisy(1)
    assert lost([first, replace(second, timestamp_ns=first.timestamp_ns - back_ns)]) == "clock"


def test_numbers_that_do_not_go_on_are_a_fault_of_the_clock() -> None:
    assert lost([noisy(3), replace(noisy(4), sequence=3)]) == "clock"


def test_a_frame_from_the_future_is_a_fault_of_the_clock() -> None:
    frame = noisy(0)
    assert Monitor().passes(frame, frame.timestamp_ns - FUTURE_NS)
    with pytest.raises(CameraLostError, match="future") as raised:
        Monitor().passes(frame, frame.timestamp_ns - FUTURE_NS - 1)
    assert raised.value.cause == "clock"


def test_old_frames_of_a_recording_are_for_core_to_refuse() -> None:
    monitor = Monitor()
    assert all(monitor.passes(noisy(i), 10**15) for i in range(3))


@pytest.mark.parametrize("left", [slice(0, 48), slice(48, None), slice(0, 80)])
def test_half_frames_are_held_back_and_then_a_fault(left: slice) -> None:
    monitor = Monitor()
    whole, halves = [noisy(i) for i in range(3)], [noisy(3 + i, lit=left) for i in range(PARTIAL_AFTER)]
    assert watch([*whole, *halves[:-1]], monitor) == [True] * 3 + [False] * (PARTIAL_AFTER - 1)
    assert monitor.dropped == PARTIAL_AFTER - 1
    with pytest.raises(CameraLostError, match="rows are missing") as raised:
        monitor.passes(halves[-1], halves[-1].timestamp_ns)
    assert raised.value.cause == "partial"


def test_a_single_half_frame_is_dropped_and_forgotten() -> None:
    frames = [noisy(i, lit=slice(0, 48) if i % 3 == 2 else slice(None)) for i in range(30)]
    assert watch(frames) == [i % 3 != 2 for i in range(30)]


def test_capture_that_begins_with_half_frames_is_known_from_the_one_before() -> None:
    monitor = Monitor()
    watch([noisy(i) for i in range(3)], monitor)
    monitor.begin()
    assert lost([noisy(i, lit=slice(0, 48)) for i in range(PARTIAL_AFTER)], monitor) == "partial"


def test_a_scene_that_was_always_dark_below_is_whole() -> None:
    assert all(watch([noisy(i, lit=slice(0, 40)) for i in range(20)]))


def test_a_camera_covered_by_a_hand_gives_whole_frames() -> None:
    assert all(watch([noisy(0), *(noisy(i, lit=slice(0)) for i in range(1, 20))]))


def test_a_source_without_infrared_may_lose_whole_bands_of_depth() -> None:
    frames = [noisy(i, lit=slice(0, 48) if i else slice(None)) for i in range(20)]
    dark = [replace(frame, ir=np.zeros_like(frame.ir)) for frame in frames]
    assert all(watch(dark))


def test_gaps_in_the_numbers_are_counted_as_drops() -> None:
    monitor = Monitor()
    watch([noisy(i) for i in (0, 1, 4, 5, 10)], monitor)
    assert monitor.dropped == 6


def test_each_capture_is_counted_by_itself() -> None:
    monitor = Monitor()
    watch([noisy(0), noisy(5)], monitor)
    monitor.begin()
    assert watch([noisy(0)], monitor) == [True]
    assert (monitor.seen, monitor.dropped) == (1, 0)


@given(order=st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_whatever_the_order_only_rising_numbers_pass(order: list[int]) -> None:
    frames = [noisy(i, size=(16, 16)) for i in order]
    if all(a < b for a, b in pairwise(order)):
        assert len(watch(frames)) == len(order)
    else:
        assert lost(frames) == "clock"


def test_a_look_costs_little() -> None:
    frames = [noisy(i, size=(480, 640)) for i in range(20)]
    monitor = Monitor()
    spent = []
    for frame in frames:
        before = time.thread_time_ns()
        monitor.passes(frame, frame.timestamp_ns)
        spent.append((time.thread_time_ns() - before) / 1e6)
    # CPU milliseconds, 640x480
    assert np.median(spent) < 0.3
