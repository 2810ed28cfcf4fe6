"""What tests share: where the test data, the built networks and librealsense are.

Rule kept here: a test that lacks one of these says why it skips; under `TESSERA_STRICT=1` (CI) it fails instead.
"""

import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import settings

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from tests.absent import absent

# The machines that run these are shared: how long an example takes says nothing.
settings.register_profile("tessera", deadline=None)
settings.load_profile("tessera")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the test data: `TESSERA_DATA`, default `../shared/data` beside the repository."""
    path = Path(os.environ.get("TESSERA_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        absent(f"no test data at {path}: set TESSERA_DATA to its folder")
    return path


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Folder of the built networks."""
    path = ROOT / "models" / "weights" / "built"
    if not any(path.glob("*.onnx")):
        absent(f"no built networks in {path}: run `make setup`")
    return path


@pytest.fixture(scope="session")
def mosquitto_installed() -> None:
    """For tests that run the real broker."""
    if shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") is None:
        absent("mosquitto is not installed: apt-get install mosquitto")


@pytest.fixture(scope="session")
def librealsense() -> ModuleType:
    """The module pyrealsense2, for tests that run the real library."""
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        absent(f"pyrealsense2 does not import: {error}; install the extra realsense and the package libusb-1.0-0")


@pytest.fixture(scope="session")
def real_depth_frames(data_dir: Path) -> dict[str, FrameSet]:
    """Real structured-light depth images of people by file name, as FrameSets without infrared.

    640x480; `person_depth_mm` is a whole scene with a person in it, the `object_template_*` are sparse samples of one
    face each.
    Intrinsics are the nominal ones of that sensor family (f = 525 px), as its own library assumes.
    """
    intrinsics = Intrinsics(width=640, height=480, fx=525.0, fy=525.0, cx=319.5, cy=239.5)
    camera = CameraInfo(serial="structured-light", firmware="", calibration_digest="nominal", flood=False)
    frames = {}
    for path in sorted((data_dir / "depth").glob("*_depth_mm.png")):
        counts = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert counts is not None, path
        assert counts.dtype == np.uint16, path
        frames[path.stem] = FrameSet(
            sequence=0,
            timestamp_ns=0,
            ir=np.zeros((480, 640), np.uint8),
            depth_mm=np.where(counts > 0, counts, np.nan).astype(np.float32),
            intrinsics=intrinsics,
            emitter=Emitter(flood=0.0, dots=1.0),
            exposure_us=0,
            gain=1.0,
            camera=camera,
        )
    if not frames:
        absent(f"no depth images in {data_dir / 'depth'}")
    return frames


@pytest.fixture(scope="session")
def synthetic_frames() -> Callable[[int], list[FrameSet]]:
    """Return a maker of n flood-lit frames at 15 fps: a ball at 0.5 m, wandering before a wall at 0.9 m, with holes.

    Pixel (0, 0) of `ir` counts the frames modulo 256. 640x480.
    """
    intrinsics = Intrinsics(width=640, height=480, fx=600.0, fy=600.0, cx=319.5, cy=239.5)
    camera = CameraInfo(serial="SYN0001", firmware="1.0.0", calibration_digest="synthetic", flood=True)
    y, x = np.mgrid[0:480, 0:640].astype(np.float32)

    def frame(n: int) -> FrameSet:
        squared = (x - 320 - 20 * np.sin(n / 10)) ** 2 + ((y - 240) / 1.25) ** 2
        ball = 500 + 100 * (1 - np.sqrt(np.clip(1 - squared / 130**2, 0, 1)))
        depth_mm = np.where(squared < 130**2, ball, 900).astype(np.float32)
        depth_mm[:4] = np.nan
        ir = np.clip(120 * (500 / np.nan_to_num(depth_mm, nan=900)) ** 2 + 20 * np.sin(x / 5), 0, 255).astype(np.uint8)
        ir[0, 0] = n % 256
        return FrameSet(
            sequence=n,
            timestamp_ns=10**12 + n * 66_666_667,
            ir=ir,
            depth_mm=depth_mm,
            intrinsics=intrinsics,
            emitter=Emitter(flood=1.0, dots=1.0, code_index=n % 7),
            exposure_us=8000 + n,
            gain=1.5,
            camera=camera,
            ambient=ir // 8,
        )

    return lambda count: [frame(n) for n in range(count)]
