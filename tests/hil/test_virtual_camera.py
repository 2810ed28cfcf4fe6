"""The virtual camera: pace, faults and stage changes, on a clock of the test's own."""

import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import CameraLostError, CameraNotFoundError, Emitter, FrameSet, FrameTimeoutError, open_camera
from hil.sensor.camera_faults import HANG_S
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


LEVELS = tuple(Emitter(flood=level, dots=1.0) for level in (1.0, 0.512, 0.8))


@pytest.mark.parametrize("preset", [None, "structured-light"])
def test_each_frame_is_lit_at_the_level_commanded_for_it(theatre: Theatre, preset: Literal["structured-light"]) -> None:
    camera = VirtualCamera(
        VirtualCameraOptions(stage=str(theatre.path), preset=preset), theatre.clock, theatre.clock.wait
    )
    camera.start(LEVELS)
    frames = [camera.read(1.0) for _ in range(5)]
    assert [frame.emitter for frame in frames] == [
        Emitter(LEVELS[n % 3].flood, 1.0, frame.sequence) for n, frame in enumerate(frames)
    ]
    first, *others = (_lit(frame) for frame in frames)
    seen = first > np.percentile(first, 90)
    for frame, lit in zip(frames[1:], others, strict=True):
        # control does not take back what was commanded
        assert (frame.exposure_us, frame.gain) == pytest.approx((frames[0].exposure_us, frames[0].gain), rel=0.03)
        assert float((lit[seen] / first[seen]).mean()) == pytest.approx(frame.emitter.flood, rel=0.06)


def test_after_a_dropped_cycle_the_level_is_still_that_of_its_number(theatre: Theatre) -> None:
    theatre.camera.stop()
    theatre.camera.start(LEVELS)
    first = theatre.camera.read(1.0)
    theatre.clock.wait(4.4 * PERIOD_NS / 1e9)
    late = theatre.camera.read(1.0)
    assert (first.sequence, late.sequence) == (0, 4)
    seen = _lit(first) > np.percentile(_lit(first), 90)
    assert float((_lit(late)[seen] / _lit(first)[seen]).mean()) == pytest.approx(LEVELS[4 % 3].flood, rel=0.06)


def test_the_plain_sensor_exposes_what_is_there_without_the_flood_too(theatre: Theatre) -> None:
    frames = theatre.camera.read(1.0)
    assert frames.ambient is not None
    assert 0 < float(frames.ambient.mean()) < 0.2 * float(frames.ir.mean())


def _lit(frames: FrameSet) -> NDArray[np.float64]:
    """What the flood alone brought, of a millisecond at gain 1."""
    assert frames.ambient is not None
    return np.asarray((frames.ir.astype(float) - frames.ambient) / (frames.exposure_us * frames.gain))


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


@pytest.mark.parametrize("change", [{"fault": "unplug"}, {"serial": "OTHER"}, {"calibration_digest": "0" * 64}])
def test_pulled_out_while_it_runs_is_lost(theatre: Theatre, change: dict[str, str]) -> None:
    theatre.camera.read(1.0)
    theatre.set(msgspec.convert(change, Stage))
    with pytest.raises(CameraLostError, match="unplugged") as lost:
        theatre.camera.read(1.0)
    assert lost.value.cause == "unplugged"


def test_unplugged_camera_is_not_found(theatre: Theatre) -> None:
    theatre.set(Stage(fault="unplug"))
    with pytest.raises(CameraNotFoundError, match="none is plugged in"):
        open_camera("virtual", {"stage": str(theatre.path)})


def test_another_camera_says_who_it_is(theatre: Theatre) -> None:
    theatre.set(Stage(serial="OTHER", calibration_digest="0" * 64))
    info = open_camera("virtual", {"stage": str(theatre.path)}).info
    assert (info.serial, info.calibration_digest) == ("OTHER", "0" * 64)


def test_hang_holds_whoever_reads_for_as_long_as_librealsense_does(theatre: Theatre) -> None:
    theatre.camera.read(1.0)
    theatre.set(Stage(fault="hang"))
    before = theatre.clock()
    theatre.camera.read(0.2)
    assert theatre.clock() - before >= HANG_S * 1e9


def test_crash_is_a_real_segmentation_fault(tmp_path: Path) -> None:
    write_stage(tmp_path / "stage.json", Stage(fault="crash"))
    script = f"""
from drivers.camera import open_camera
camera = open_camera("virtual", {{"stage": {str(tmp_path / "stage.json")!r}}})
camera.start()
camera.read(1.0)
"""
    died = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False)
    assert died.returncode == -signal.SIGSEGV


def test_half_frames_have_no_lower_half(theatre: Theatre) -> None:
    theatre.set(Stage(fault="half"))
    frame = theatre.camera.read(1.0)
    assert frame.ir[:240].any()
    assert not frame.ir[240:].any()
    assert np.isnan(frame.depth_mm[240:]).all()


def test_backwards_is_time_going_back_under_rising_numbers(theatre: Theatre) -> None:
    theatre.camera.read(1.0)
    theatre.set(Stage(fault="backwards"))
    frames = [theatre.camera.read(1.0) for _ in range(3)]
    assert [frame.sequence for frame in frames] == [1, 2, 3]
    assert all(b.timestamp_ns < a.timestamp_ns for a, b in pairwise(frames))


def test_burst_waits_for_nobody_and_repeats_nothing(theatre: Theatre) -> None:
    theatre.camera.read(1.0)
    theatre.set(Stage(fault="burst"))
    theatre.camera.read(1.0)
    before = theatre.clock()
    frames = [theatre.camera.read(1.0) for _ in range(20)]
    assert theatre.clock() == before
    assert [frame.sequence for frame in frames] == list(range(2, 22))
    assert all(not np.array_equal(a.ir, b.ir) for a, b in pairwise(frames))


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
