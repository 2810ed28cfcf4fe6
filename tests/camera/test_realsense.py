import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from drivers.camera import (
    Camera,
    CameraLostError,
    CameraNotFoundError,
    FrameSet,
    FrameTimeoutError,
    RecordingEndError,
)
from drivers.camera.realsense import open_camera
from drivers.camera.realsense.depth import depth_table

Make = Callable[[int], list[FrameSet]]


class Clock:
    """A clock the test moves; it also creeps, so that a wait ends."""

    now_ns = 5 * 10**9

    def __call__(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns


class Live:
    """A software device streaming through a live pipeline, frame by frame as the test says."""

    def __init__(self, frames: list[FrameSet], clock: Callable[[], int] = time.monotonic_ns) -> None:
        from drivers.camera.realsense.driver import RealSenseCamera
        from drivers.camera.realsense.sources import Attached
        from hil.sensor.software_device import SoftwareDevice

        self.frames = frames
        self.device = SoftwareDevice(frames[0].camera, frames[0].intrinsics, fps=15)
        self.camera: Camera = RealSenseCamera(Attached("rig", self.device.device), clock)
        self.camera.start()

    def show(self, number: int) -> FrameSet:
        self.device.push(self.frames[number])
        return self.camera.read(2.0)


@pytest.fixture
def live(librealsense: ModuleType, synthetic_frames: Make) -> Iterator[Live]:
    live = Live(synthetic_frames(8))
    yield live
    live.camera.close()


def test_depth_counts_are_exact_millimetres_and_zero_is_unknown() -> None:
    table = depth_table(1000)
    assert np.isnan(table[0])
    assert table[1:].tolist() == list(range(1, 65536))
    assert depth_table(100)[5003] == np.float32(500.3)


def test_a_camera_that_stops_is_a_time_out_in_time_and_may_come_back(live: Live) -> None:
    assert live.show(0).sequence == 0
    before = time.monotonic()
    with pytest.raises(FrameTimeoutError, match="no frame within"):
        live.camera.read(0.2)
    assert 0.19 < time.monotonic() - before < 1.0
    assert live.show(3).sequence == 3  # the gap shows


def test_a_repeated_frame_is_not_delivered_twice(live: Live) -> None:
    live.show(0)
    live.device.push(live.frames[0])
    with pytest.raises(FrameTimeoutError):
        live.camera.read(0.2)


def test_a_camera_that_restarts_by_itself_is_lost(live: Live) -> None:
    live.show(5)
    live.device.push(live.frames[1])
    with pytest.raises(CameraLostError, match="went back"):
        live.camera.read(1.0)


def test_a_frame_that_waited_is_as_old_as_it_is(librealsense: ModuleType, synthetic_frames: Make) -> None:
    clock = Clock()
    live = Live(synthetic_frames(3), clock)
    assert live.show(0).age_s(clock.now_ns) < 0.01
    live.device.push(live.frames[1])
    clock.now_ns += 10 * 10**9  # nobody read it for ten seconds
    assert live.camera.read(1.0).age_s(clock.now_ns) > 9.9
    live.camera.close()


def test_reading_needs_a_start(live: Live) -> None:
    live.camera.stop()
    live.camera.stop()
    with pytest.raises(CameraLostError, match="without start"):
        live.camera.read(0.1)


def test_a_file_starts_again_from_its_beginning(
    librealsense: ModuleType, tmp_path: Path, synthetic_frames: Make
) -> None:
    from hil.sensor.software_device import record

    record(tmp_path / "a.db3", synthetic_frames(6), fps=15)
    camera = open_camera({"file": str(tmp_path / "a.db3")})
    camera.start()
    camera.read(1.0)
    for _ in range(2):
        camera.start()
        assert [frame.sequence for frame in camera.frames()] == list(range(6))
        with pytest.raises(RecordingEndError):
            camera.read(1.0)


def test_a_file_left_in_the_middle_or_dropped_unclosed_crashes_nothing(
    librealsense: ModuleType, tmp_path: Path, synthetic_frames: Make
) -> None:
    from hil.sensor.software_device import record

    record(tmp_path / "a.db3", synthetic_frames(2), fps=15)
    for turn in range(60):  # without the pause in `File.stop` about one in a hundred kills the process
        camera = open_camera({"file": str(tmp_path / "a.db3")})
        camera.start()
        assert camera.read(5.0).sequence == 0
        if turn % 2:
            camera.close()


def test_a_file_without_infrared_plays_with_depth_alone(librealsense: ModuleType, data_dir: Path) -> None:
    camera = open_camera({"file": str(data_dir / "realsense" / "single_depth_color_640x480.bag")})
    assert (camera.info.serial, camera.info.flood) == ("728612070259", False)
    camera.start()
    frames = list(camera.frames())
    camera.close()
    assert frames
    for frame in frames:
        assert not frame.ir.any()
        assert 0.5 < np.isfinite(frame.depth_mm).mean() < 1.0
        assert 300 < np.nanmedian(frame.depth_mm) < 5000  # an office wall
        assert frame.intrinsics == camera.intrinsics
        assert frame.exposure_us == 6452


@pytest.mark.parametrize("name", ["none.db3", "junk.db3", "junk.bag", "empty.db3", "cut.db3", "cut.bag"])
def test_a_file_that_cannot_be_played_is_no_camera(
    librealsense: ModuleType, tmp_path: Path, data_dir: Path, synthetic_frames: Make, name: str
) -> None:
    from hil.sensor.software_device import record

    path = tmp_path / name
    if name == "cut.db3":
        record(path, synthetic_frames(4), fps=15)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif name == "cut.bag":
        whole = (data_dir / "realsense" / "single_depth_color_640x480.bag").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif name != "none.db3":
        path.write_bytes(b"junk" * 100 if "junk" in name else b"")
    with pytest.raises(CameraNotFoundError, match=name):
        open_camera({"file": str(path)})


def test_no_camera_is_said_at_once(librealsense: ModuleType) -> None:
    before = time.monotonic()
    with pytest.raises(CameraNotFoundError, match="no camera no-such-serial"):
        open_camera({"serial": "no-such-serial"})
    assert time.monotonic() - before < 1.0


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("libusb-1.0.so.0: cannot open shared object file: No such file or directory", "apt install libusb-1.0-0"),
        ("No module named 'pyrealsense2'", "pip install"),
    ],
)
def test_missing_librealsense_says_what_to_install(monkeypatch: pytest.MonkeyPatch, fault: str, remedy: str) -> None:
    class Missing(MetaPathFinder):
        def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
            if name == "pyrealsense2":
                raise ImportError(fault)

    for module in ("pyrealsense2", "drivers.camera.realsense.driver", "drivers.camera.realsense.sources"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(CameraNotFoundError, match=remedy):
        open_camera({})


@pytest.mark.parametrize(
    "options",
    [
        {"width": 641},
        {"width": 1280, "height": 720, "fps": 90},
        {"fps": "30"},
        {"file": "a.db3", "fps": 30},
        {"file": "a.db3", "serial": "1"},
        {"file": ""},
        {"emitter": True},
    ],
)
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        open_camera(options)
