from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from drivers.camera import FrameSet, open_camera

Make = Callable[[int], list[FrameSet]]


@pytest.fixture(scope="module")
def rig(librealsense: ModuleType) -> ModuleType:
    import hil.sensor.software_device

    return hil.sensor.software_device


def test_frames_come_back_through_librealsense_frame_for_frame(
    rig: ModuleType, tmp_path: Path, synthetic_frames: Make
) -> None:
    frames = synthetic_frames(40)
    path = tmp_path / "scene.db3"
    assert rig.record(path, frames, fps=15) == 40
    camera = open_camera("realsense", {"file": str(path)})
    camera.start()
    replayed = list(camera.frames())
    camera.close()
    assert [frame.sequence for frame in replayed] == list(range(40))
    for before, after in zip(map(rig.as_replayed, frames), replayed, strict=True):
        assert after.ir.tobytes() == before.ir.tobytes()
        assert after.depth_mm.tobytes() == before.depth_mm.tobytes()
        assert after.intrinsics == before.intrinsics == camera.intrinsics
        assert (after.exposure_us, after.gain) == (before.exposure_us, before.gain)
        assert after.emitter.dots == 1.0
        assert (after.ambient, after.dots) == (None, None)
        since_ns = after.timestamp_ns - replayed[0].timestamp_ns
        assert abs(since_ns - (before.timestamp_ns - frames[0].timestamp_ns)) < 1000
    assert (camera.info.serial, camera.info.firmware) == ("SYN0001", "1.0.0")


def test_a_file_cannot_claim_flood_light(rig: ModuleType, tmp_path: Path, synthetic_frames: Make) -> None:
    frames = synthetic_frames(2)
    assert frames[0].camera.flood
    rig.record(tmp_path / "scene.db3", frames, fps=15)
    camera = open_camera("realsense", {"file": str(tmp_path / "scene.db3")})
    camera.start()
    assert not camera.info.flood
    assert camera.read(1.0).emitter.flood == 0.0


def test_more_frames_than_the_recorder_queues_all_reach_the_disk(
    rig: ModuleType, tmp_path: Path, synthetic_frames: Make
) -> None:
    frame = synthetic_frames(1)[0]
    many = (replace(frame, sequence=n, timestamp_ns=n * 66_666_667) for n in range(400))
    assert rig.record(tmp_path / "long.db3", many, fps=15) == 400
    (tmp_path / "long.db3").unlink()


@given(
    depth_mm=hnp.arrays(
        np.float32,
        (3, 4),
        elements=st.floats(0.5, 6553.0, width=32) | st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1e9]),
    )
)
def test_rounding_is_to_the_nearest_tenth_of_a_millimetre(rig: ModuleType, depth_mm: NDArray[np.float32]) -> None:
    rounded = rig.quantise_depth(depth_mm)
    known = (depth_mm > 0) & (depth_mm < 6553.6)
    assert np.array_equal(np.isnan(rounded), ~known)
    assert np.all(np.abs(rounded[known].astype(np.float64) - depth_mm[known]) <= 0.0505)
    assert rig.quantise_depth(rounded).tobytes() == rounded.tobytes()


def test_what_librealsense_cannot_carry_is_refused(rig: ModuleType, tmp_path: Path, synthetic_frames: Make) -> None:
    frame = synthetic_frames(1)[0]
    with pytest.raises(rig.SoftwareDeviceError, match="8-bit"):
        rig.record(tmp_path / "a.db3", [replace(frame, ir=frame.ir.astype(np.uint16), ambient=None)], fps=15)
    with pytest.raises(rig.SoftwareDeviceError, match="no frames"):
        rig.record(tmp_path / "b.db3", [], fps=15)
    (tmp_path / "c.db3").touch()
    with pytest.raises(rig.SoftwareDeviceError, match="exists"):
        rig.record(tmp_path / "c.db3", [frame], fps=15)
