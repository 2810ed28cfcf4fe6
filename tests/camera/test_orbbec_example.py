"""The plug-in of docs/orbbec.md is whole Python and a whole `Camera`, with the faults of one. Its SDK is a stand-in."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from drivers.camera import Camera, CameraLostError, CameraNotFoundError, FrameTimeoutError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "orbbec.md"


class OBError(Exception):
    pass


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Stands in for `pyorbbecsdk` with a camera of 640 x 400 that delivers nothing yet."""
    stand_in = MagicMock()
    stand_in.OBError = OBError
    intrinsic = SimpleNamespace(width=640, height=400, fx=450.0, fy=450.0, cx=319.5, cy=199.5)
    profiles = stand_in.Pipeline.return_value.get_stream_profile_list.return_value
    profiles.get_video_stream_profile.return_value.get_intrinsic.return_value = intrinsic
    device = stand_in.Context.return_value.query_devices.return_value.get_device_by_serial_number.return_value
    device.get_device_info.return_value.get_firmware_version.return_value = "1.2.3"
    stand_in.Pipeline.return_value.wait_for_frames.return_value = None
    monkeypatch.setitem(sys.modules, "pyorbbecsdk", stand_in)
    return stand_in


@pytest.fixture
def plug_in(sdk: MagicMock) -> ModuleType:
    found = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    module = ModuleType("tessera_orbbec")
    exec(compile(found[1], str(PAGE), "exec"), module.__dict__)
    return module


def taken(number: int) -> Any:
    depth, infrared = MagicMock(), MagicMock()
    counts = np.full(640 * 400, 5000, np.uint16)
    counts[0] = 0
    depth.get_index.return_value, depth.get_timestamp_us.return_value = number, number * 66_667
    depth.get_data.return_value, depth.get_depth_scale.return_value = counts.view(np.uint8), 0.1
    infrared.get_data.return_value = np.full(640 * 400, 90, np.uint8)
    infrared.get_metadata_value.return_value = 8000
    frames = MagicMock()
    frames.get_depth_frame.return_value, frames.get_frame.return_value = depth, infrared
    return frames


def test_the_example_delivers_frame_sets(plug_in: ModuleType, sdk: MagicMock) -> None:
    camera = plug_in.open_camera({"serial": "CP1"})
    assert isinstance(camera, Camera)
    assert (camera.info.serial, camera.info.firmware, camera.info.flood) == ("CP1", "1.2.3", False)
    with pytest.raises(CameraLostError, match="without start"):
        camera.read(0.1)
    camera.start()
    sdk.Pipeline.return_value.wait_for_frames.side_effect = [None, taken(7), taken(7), taken(9), taken(3)]
    first, second = camera.read(1.0), camera.read(1.0)
    assert (first.sequence, second.sequence, first.exposure_us) == (0, 2, 8000)
    assert np.isnan(first.depth_mm[0, 0])
    assert first.depth_mm[200, 320] == pytest.approx(500.0)
    with pytest.raises(CameraLostError) as lost:
        camera.read(1.0)
    assert lost.value.cause == "clock"
    camera.close()


def test_its_faults_are_those_of_the_interface(plug_in: ModuleType, sdk: MagicMock) -> None:
    camera = plug_in.open_camera({"serial": "CP1"})
    camera.start()
    with pytest.raises(FrameTimeoutError):
        camera.read(0.01)
    sdk.Pipeline.return_value.wait_for_frames.side_effect = OBError("gone")
    with pytest.raises(CameraLostError, match="gone"):
        camera.read(1.0)
    sdk.Context.return_value.query_devices.side_effect = OBError("none")
    with pytest.raises(CameraNotFoundError, match="none"):
        plug_in.open_camera({"serial": "CP1"})
