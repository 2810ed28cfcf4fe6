"""The virtual camera: pace, faults and stage changes, on a clock of the test's own."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from drivers.camera import CameraLostError, CameraNotFoundError, FrameTimeoutError, open_camera
from hil.sensor.motion import EASE_S, eased, sway
from hil.sensor.scene import Pose
from hil.sensor.stage import James, Person, Stage, write_stage
from hil.sensor.virtual_camera import VirtualCamera, VirtualCameraOptions

PERIOD_NS = round(1e9 / 15)


class Clock:
    """A monotonic clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


class Theatre:
    """A camera, its stage and its clock."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock = folder / "stage.json", Clock()
        self.set(Stage(subject=Person(3)))
        self.camera = VirtualCamera(VirtualCameraOptions(stage=str(self.path)), self.clock, self.clock.wait)

    def set(self, stage: Stage) -> None:
        write_stage(self.path, stage)


@pytest.fixture
def theatre(tmp_path: Path) -> Theatre:
    made = Theatre(tmp_path)
    made.camera.start()
    return made


def test_frames_come_at_the_configured_pace(theatre: Theatre) -> None:
    frames = [theatre.camera.read(1.0) for _ in range(5)]
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3, 4]
    assert [b.timestamp_ns - a.timestamp_ns for a, b in pairwise(frames)] == [PERIOD_NS] * 4


def test_a_late_reader_finds_a_gap_and_a_fresh_frame(theatre: Theatre) -> None:
    theatre.camera.read(1.0)
    theatre.clock.wait(1.01)
    frame = theatre.camera.read(1.0)
    assert frame.sequence == 15
    assert frame.age_s(theatre.clock()) < 0.07


def test_no_frame_within_the_time_out(theatre: Theatre) -> None:
    theatre.camera.read(1.0)
    before = theatre.clock()
    with pytest.raises(FrameTimeoutError):
        theatre.camera.read(0.01)
    assert theatre.clock() - before == 10_000_000


def test_a_person_moves_a_little_between_frames(theatre: Theatre) -> None:
    one, two = theatre.camera.read(1.0), theatre.camera.read(1.0)
    assert not np.array_equal(one.ir, two.ir)
    assert not np.array_equal(one.depth_mm, two.depth_mm, equal_nan=True)


def test_freeze_repeats_the_picture_under_new_numbers(theatre: Theatre) -> None:
    live = theatre.camera.read(1.0)
    theatre.set(Stage(subject=Person(3), fault="freeze"))
    frozen = [theatre.camera.read(1.0) for _ in range(3)]
    assert [frame.sequence for frame in frozen] == [1, 2, 3]
    assert len({frame.timestamp_ns for frame in frozen}) == 3
    assert all(np.array_equal(frame.ir, live.ir) for frame in frozen)
    assert all(np.array_equal(frame.depth_mm, live.depth_mm, equal_nan=True) for frame in frozen)


def test_stop_delivers_nothing_until_the_fault_is_gone(theatre: Theatre) -> None:
    theatre.camera.read(1.0)
    theatre.set(Stage(subject=Person(3), fault="stop"))
    with pytest.raises(FrameTimeoutError):
        theatre.camera.read(0.5)
    theatre.set(Stage(subject=Person(3)))
    assert theatre.camera.read(1.0).sequence > 1


def test_a_new_stage_is_seen_in_the_next_frame(theatre: Theatre) -> None:
    theatre.camera.read(1.0)
    theatre.set(Stage())
    assert np.isnan(theatre.camera.read(1.0).depth_mm).all()


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b'{"subject": 7}')])
def test_a_missing_or_malformed_stage_is_a_lost_camera(theatre: Theatre, spoil: Callable[[Path], object]) -> None:
    theatre.camera.read(1.0)
    spoil(theatre.path)
    with pytest.raises(CameraLostError, match=r"stage\.json"):
        theatre.camera.read(1.0)


def test_james_without_his_data_is_a_lost_camera_that_says_what_to_do(theatre: Theatre) -> None:
    theatre.set(Stage(subject=James()))
    with pytest.raises(CameraLostError, match="option `data`"):
        theatre.camera.read(1.0)


def test_reading_before_start_or_after_stop_is_refused(theatre: Theatre) -> None:
    theatre.camera.stop()
    with pytest.raises(CameraLostError, match="before start"):
        theatre.camera.read(1.0)
    theatre.camera.start()
    assert theatre.camera.read(1.0).sequence == 0


def test_the_same_seed_gives_the_same_frames(tmp_path: Path) -> None:
    frames = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        theatre = Theatre(tmp_path / name)
        theatre.camera.start()
        frames.append([theatre.camera.read(1.0) for _ in range(2)])
    for one, two in zip(*frames, strict=True):
        assert np.array_equal(one.ir, two.ir)


def test_a_head_turn_takes_its_time_and_arrives() -> None:
    start, goal = Pose(yaw_deg=0), Pose(yaw_deg=20)
    yaws = [eased(start, goal, t * EASE_S / 8).yaw_deg for t in range(10)]
    assert yaws == sorted(yaws)
    assert yaws[0] == 0
    assert yaws[-1] == 20
    assert max(np.diff(yaws)) < 5


def test_sway_is_small_smooth_and_ones_own() -> None:
    walk = np.array([sway(t / 15, 1).x_mm for t in range(300)])
    assert 0.3 < walk.std() < 3
    assert np.abs(np.diff(walk)).max() < 0.5
    assert sway(1.0, 1) != sway(1.0, 2)


@pytest.mark.parametrize(
    "options", [{}, {"stage": "x", "speed": 3}, {"stage": "x", "fps": "15"}, {"stage": "x", "seed": -1}]
)
def test_options_are_decoded_strictly(options: dict[str, object]) -> None:
    with pytest.raises(CameraNotFoundError, match=r"camera\.options of `virtual`"):
        open_camera("virtual", options)
