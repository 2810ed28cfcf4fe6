from collections.abc import Callable, Iterator, Sequence
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import (
    FULL_LEVELS,
    Camera,
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Intrinsics,
    RecordingEndError,
    open_camera,
)

Make = Callable[[int], list[FrameSet]]
SECOND = 10**9


class Scripted(Camera):
    """Plays a script against a clock of its own: (delay in s, frame or the error it raises)."""

    def __init__(self, script: list[tuple[float, FrameSet | Exception]]) -> None:
        self.now_ns = 100 * SECOND
        self._script: Iterator[tuple[float, FrameSet | Exception]] = iter(script)

    @property
    def info(self) -> CameraInfo:
        return CameraInfo("SCRIPT", "0", "", flood=False)

    @property
    def intrinsics(self) -> Intrinsics:
        return Intrinsics(640, 480, 1.0, 1.0, 0.0, 0.0)

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def clock_ns(self) -> int:
        return self.now_ns

    def read(self, timeout_s: float) -> FrameSet:
        delay_s, what = next(self._script)
        self.now_ns += int(min(delay_s, timeout_s) * SECOND)
        if delay_s > timeout_s:
            raise FrameTimeoutError("script")
        if isinstance(what, Exception):
            raise what
        return what


@pytest.fixture
def frame(synthetic_frames: Make) -> FrameSet:
    return replace(synthetic_frames(1)[0], timestamp_ns=100 * SECOND)


def at(frame: FrameSet, second: float, sequence: int = 0) -> FrameSet:
    return replace(frame, timestamp_ns=int((100 + second) * SECOND), sequence=sequence)


def test_latest_discards_queued_old_frames(frame: FrameSet) -> None:
    camera = Scripted(
        [(0, at(frame, -5, 1)), (0, at(frame, -0.6, 2)), (0.1, at(frame, 0.05, 3)), (0, at(frame, 0.1, 4))]
    )
    assert camera.latest(0.5, 1.0, camera.clock_ns).sequence == 3


def test_latest_gives_up_in_time_on_a_camera_that_only_repeats_an_old_frame(frame: FrameSet) -> None:
    camera = Scripted([(0.1, at(frame, -5))] * 100)
    with pytest.raises(FrameTimeoutError, match="SCRIPT: no frame younger than"):
        camera.latest(0.5, 1.0, camera.clock_ns)
    assert camera.now_ns - 100 * SECOND == pytest.approx(SECOND, abs=2)


def test_latest_does_not_take_a_frame_from_the_future(frame: FrameSet) -> None:
    camera = Scripted([(0, at(frame, 3600)), (2.0, frame)])
    with pytest.raises(FrameTimeoutError):
        camera.latest(0.5, 1.0, camera.clock_ns)


@given(ages=st.lists(st.floats(-2, 10), max_size=20), max_age_s=st.floats(0.01, 2))
def test_latest_never_returns_a_frame_older_than_asked(
    synthetic_frames: Make, ages: list[float], max_age_s: float
) -> None:
    frame = synthetic_frames(1)[0]
    camera = Scripted([*((0.0, at(frame, -age)) for age in ages), (99.0, frame)])
    try:
        got = camera.latest(max_age_s, 1.0, camera.clock_ns)
    except FrameTimeoutError:
        assert all(abs(age) > max_age_s - 1e-6 for age in ages)
    else:
        assert abs(got.age_s(camera.now_ns)) <= max_age_s


def test_a_lost_camera_passes_through_latest_and_frames(frame: FrameSet) -> None:
    with pytest.raises(CameraLostError, match="unplugged"):
        Scripted([(0, CameraLostError("unplugged"))]).latest(0.5, 1.0)
    every = Scripted([(0, frame), (0, CameraLostError("unplugged"))]).frames()
    assert next(every) is frame
    with pytest.raises(CameraLostError, match="unplugged"):
        next(every)


def test_frames_end_with_the_recording(frame: FrameSet) -> None:
    assert list(Scripted([(0, frame), (0, frame), (0, RecordingEndError("end"))]).frames()) == [frame, frame]


def test_a_time_out_is_a_lost_camera_but_a_recordings_end_is_not() -> None:
    assert issubclass(FrameTimeoutError, CameraLostError)
    assert not issubclass(RecordingEndError, CameraLostError)


def test_a_frame_cannot_be_changed(frame: FrameSet) -> None:
    for image in (frame.ir, frame.depth_mm, frame.ambient):
        assert image is not None
        with pytest.raises(ValueError, match="read-only"):
            image[0, 0] = 1
    with pytest.raises(FrozenInstanceError):
        frame.sequence = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ir", np.zeros((480, 641), np.uint8)),
        ("ir", np.zeros((480, 640), np.float32)),
        ("ir", np.zeros((480, 640, 1), np.uint8)),
        ("ir", np.zeros((480, 640), ">u2")),
        ("ir", np.zeros((480, 640), np.uint16)),  # while ambient is uint8: their difference would mean nothing
        ("ambient", np.zeros((640, 480), np.uint8)),
        ("dots", np.zeros((480, 640), np.uint16)),
        ("depth_mm", np.zeros((480, 640), np.float64)),
        ("depth_mm", np.zeros((240, 320), np.float32)),
    ],
)
def test_a_frame_of_the_wrong_shape_or_type_is_refused_by_name(frame: FrameSet, field: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"FrameSet\.(ambient|" + field + ")"):
        replace(frame, **{field: value})  # type: ignore[arg-type]


def test_age_is_by_the_clock_given(frame: FrameSet) -> None:
    assert frame.age_s(102 * SECOND) == 2.0


def test_an_unknown_camera_lists_those_there_are() -> None:
    with pytest.raises(CameraNotFoundError, match="recording"):
        open_camera("periscope", {})
