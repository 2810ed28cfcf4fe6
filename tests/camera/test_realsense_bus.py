"""A RealSense on the bus: settings read back, USB 2 named, unplugged and plugged in again."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from drivers.camera import Camera, CameraLostError, CameraNotFoundError, FrameSet, FrameTimeoutError
from drivers.camera.realsense import Options, open_camera
from drivers.camera.realsense.presets import UNIT_M, nearest_mm, settings

Make = Callable[[int], list[FrameSet]]
MODE = (640, 480, 15)


@pytest.fixture
def device(librealsense: ModuleType, synthetic_frames: Make) -> Callable[..., Any]:
    """Make a software device with the options named, on USB as told."""
    from hil.sensor.software_device import OPTIONS, SoftwareDevice

    frame = synthetic_frames(1)[0]

    def make(without: tuple[str, ...] = (), usb: str = "3.2") -> Any:
        names = [name for name in OPTIONS if name not in without]
        return SoftwareDevice(frame.camera, frame.intrinsics, MODE[2], usb=usb, options=names).device

    return make


def driver(device: Any, mode: tuple[int, int, int] = MODE, alternate: bool = True, board: bool = False) -> Camera:
    from drivers.camera.realsense.driver import RealSenseCamera
    from drivers.camera.realsense.sources import Attached

    return RealSenseCamera(
        Attached("rig", device, mode, settings(alternate, board)), alternate=alternate, flood_board=board
    )


@pytest.mark.parametrize("board", [False, True])
def test_every_setting_is_taken_by_the_real_library_and_read_back(
    librealsense: ModuleType, device: Callable[..., Any], board: bool
) -> None:
    made = device()
    assert driver(made, board=board).health.advice == ""
    sensor = made.first_depth_sensor()
    for setting in settings(True, board):
        assert sensor.get_option(getattr(librealsense.option, setting.option)) == pytest.approx(setting.value)
    assert sensor.get_depth_scale() == pytest.approx(UNIT_M)


def test_the_order_is_preset_first_and_alternation_after_hdr_and_emitter() -> None:
    names = [setting.option for setting in settings(True, True)]
    assert names[0] == "visual_preset"
    assert names.index("emitter_on_off") > max(names.index("hdr_enabled"), names.index("emitter_enabled"))
    assert all(setting.why and setting.source for setting in settings(True, True))


def test_what_the_firmware_lacks_is_reported(device: Callable[..., Any]) -> None:
    from drivers.camera.realsense.bus import describe

    made = device(without=("laser_power", "emitter_always_on"))
    assert driver(made).health.advice == "Update its firmware: it lacks laser_power, emitter_always_on."
    said = describe(made)
    assert "firmware 1.0.0, USB 3.2" in said
    assert said.endswith("lacks laser_power, emitter_always_on")


def test_a_mode_that_cannot_measure_the_nearest_face_says_so(
    device: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hil.sensor import software_device

    monkeypatch.setitem(software_device.OPTIONS, "stereo_baseline", (0, 200, 1, 95))
    advice = driver(device()).health.advice
    assert advice == "Choose a smaller picture: nearer than 452 mm this one has no depth, and faces come to 300 mm."


@pytest.mark.parametrize("needed", ["emitter_on_off", "emitter_enabled", "inter_cam_sync_mode"])
def test_without_what_is_needed_it_is_no_camera_and_says_why(device: Callable[..., Any], needed: str) -> None:
    with pytest.raises(CameraNotFoundError, match=f"{needed} cannot be set to 1 .*does not know it.*firmware"):
        driver(device(without=(needed,)), board=True)


def test_a_depth_unit_that_stays_is_refused(device: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from hil.sensor import software_device

    monkeypatch.setitem(software_device.OPTIONS, "depth_units", (0.001, 0.01, 0.001, 0.001))
    with pytest.raises(CameraNotFoundError, match=r"depth_units cannot be set to 0\.0001"):
        driver(device())


def test_usb_2_is_named_where_it_lacks_the_mode(device: Callable[..., Any]) -> None:
    with pytest.raises(CameraNotFoundError, match=r"USB 2\.1 \(port simulated-1\).*1280x720, 30 fps.*USB 3") as lost:
        driver(device(usb="2.1"), (1280, 720, 30))
    assert lost.value.cause == "usb2"
    with pytest.raises(CameraNotFoundError, match="has no depth with infrared") as lost:
        driver(device(), (1280, 720, 30))
    assert lost.value.cause == "absent"
    driver(device(usb="2.1"))  # what it can do over USB 2 it does


class Plug:
    """A recording that librealsense shows as a camera on the bus, plugged in and out."""

    def __init__(self, context: Any, path: Path) -> None:
        self._context, self._path = context, str(path)
        self._device: Any = None  # held: librealsense plays it only so long

    def put_in(self) -> None:
        self._device = self._context.load_device(self._path)
        self._device.set_real_time(False)

    def pull_out(self) -> None:
        self._context.unload_device(self._path)


def read_on(camera: Camera, timeout_s: float) -> None:
    """Read until it raises."""
    while True:
        camera.read(timeout_s)


@pytest.fixture
def plug(librealsense: ModuleType, tmp_path: Path, synthetic_frames: Make, monkeypatch: pytest.MonkeyPatch) -> Plug:
    from drivers.camera.realsense import bus
    from hil.sensor.software_device import record

    record(tmp_path / "camera.db3", synthetic_frames(12), fps=MODE[2])
    context = librealsense.context()
    monkeypatch.setattr(bus, "context", lambda: context)
    return Plug(context, tmp_path / "camera.db3")


def test_a_camera_is_lost_when_pulled_out_and_works_again_when_put_in(plug: Plug) -> None:
    from drivers.camera.realsense.bus import Bus, on_the_bus
    from drivers.camera.realsense.driver import RealSenseCamera

    assert on_the_bus() == []
    for _ in range(2):
        plug.put_in()
        assert [found.serial for found in on_the_bus()] == ["SYN0001"]
        camera = RealSenseCamera(Bus(None, MODE, ()))
        camera.start()
        assert camera.read(5.0).sequence == 0
        plug.pull_out()
        with pytest.raises(CameraLostError, match="gone from the bus") as lost:
            read_on(camera, 2.0)
        assert lost.value.cause == "unplugged"
        with pytest.raises(CameraLostError) as again:  # and stays so
            camera.read(0.1)
        assert again.value is lost.value
        camera.close()
        with pytest.raises(CameraNotFoundError, match="none is on the bus"):
            Bus("SYN0001", MODE, ()).find()


def test_a_camera_that_went_before_the_start_does_not_block(plug: Plug) -> None:
    from drivers.camera.realsense.bus import Bus
    from drivers.camera.realsense.driver import RealSenseCamera

    plug.put_in()
    camera = RealSenseCamera(Bus("SYN0001", MODE, ()))
    plug.pull_out()
    before = time.monotonic()
    with pytest.raises(CameraLostError, match="is gone") as lost:
        camera.start()
    assert lost.value.cause == "unplugged"
    assert time.monotonic() - before < 2.0
    with pytest.raises(CameraLostError, match="without start"):
        camera.read(0.1)


def test_one_context_lives_as_long_as_the_process(librealsense: ModuleType) -> None:
    from drivers.camera.realsense.bus import context

    assert context() is context()


def test_a_silent_camera_that_is_there_is_a_time_out(plug: Plug) -> None:
    from drivers.camera.realsense.bus import Bus
    from drivers.camera.realsense.driver import RealSenseCamera

    plug.put_in()
    camera = RealSenseCamera(Bus("SYN0001", MODE, ()))
    camera.start()
    with pytest.raises(FrameTimeoutError) as lost:
        read_on(camera, 0.8)
    assert lost.value.cause == "silent"
    camera.close()


def test_a_live_camera_alternates_and_a_file_does_not_unless_told() -> None:
    assert Options().alternates
    assert not Options(file="a.db3").alternates
    assert Options(file="a.db3", alternate=True).alternates
    assert (Options().mode, Options(flood_board=True).mode) == ((640, 480, 30), (640, 480, 60))
    with pytest.raises(CameraNotFoundError, match="no camera none"):
        open_camera({"serial": "none", "flood_board": True})
    with pytest.raises(ValueError, match="needs `alternate`"):
        Options(alternate=False, flood_board=True)


def test_the_constants_of_liveness_are_options_of_who_measured_them() -> None:
    made = msgspec.convert({"flood_board": True, "flood_response": 0.2, "dot_sigma_px": 1.3}, Options)
    assert (made.flood_response, made.dot_sigma_px) == (0.2, 1.3)
    for wrong in (
        {"flood_response": 0.2},
        {"flood_board": True, "flood_response": 0},
        {"flood_board": True, "flood_response": -1.0},
        {"flood_board": True, "flood_response": math.nan},
        {"flood_board": True, "flood_response": math.inf},
        {"flood_board": True, "dot_sigma_px": math.nan},
        {"alternate": False, "dot_sigma_px": 1.3},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Options)


def test_nearest_distances_are_those_of_the_tuning_guide() -> None:
    assert nearest_mm(390.0, 50.0) == pytest.approx(155, abs=1)  # D435 at 640 x 480
    assert nearest_mm(390.0, 95.0) < 300  # a D455 just reaches the nearest face


def test_the_page_shows_every_setting_as_it_is() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "realsense.md").read_text()
    for setting in settings(True, True):
        row = next(
            line for line in page.splitlines() if line.startswith(f"| `{setting.option}` | {setting.value:g} | ")
        )
        assert setting.why.split(";")[0] in row
        assert setting.source in row
        assert (" Needed" in row or "needed" in row) == setting.needed
