"""The networks loaded once, and frames made from an infrared image and a depth of our choosing."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from drivers.npu.interface import Network
from firmware.vision.detect import Detector
from firmware.vision.embed import DepthEmbedder, Embedder, FaceEmbedder
from firmware.vision.eyes import EyeReader
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, IRIS, MESH, load_network
from tests.vision.drawn import MakeFrame


@pytest.fixture(scope="session")
def detector_network(models_dir: Path) -> Network:
    return load_network(DETECTOR, models_dir)


@pytest.fixture(scope="session")
def detector(detector_network: Network) -> Detector:
    return Detector(detector_network)


@pytest.fixture(scope="session")
def embedder(models_dir: Path) -> Embedder:
    return Embedder(load_network(EMBEDDER, models_dir))


@pytest.fixture(scope="session")
def face_embedder(embedder: Embedder, models_dir: Path) -> FaceEmbedder:
    return FaceEmbedder(embedder, DepthEmbedder(load_network(DEPTH_EMBEDDER, models_dir)))


@pytest.fixture(scope="session")
def make_frame() -> MakeFrame:
    """Return a maker of frames from an infrared image and a depth, a number or an image."""
    camera = CameraInfo(serial="T", firmware="", calibration_digest="", flood=True)
    intrinsics = Intrinsics(width=640, height=480, fx=600.0, fy=600.0, cx=319.5, cy=239.5)

    def make(ir: NDArray[np.uint8] | NDArray[np.uint16], depth_mm: float | NDArray[np.float32]) -> FrameSet:
        depth = np.broadcast_to(np.asarray(depth_mm, np.float32), (480, 640)).copy()
        return FrameSet(0, 0, ir.copy(), depth, intrinsics, Emitter(flood=1.0, dots=1.0), 1000, 1.0, camera)

    return make


@pytest.fixture(scope="session")
def eye_reader(models_dir: Path) -> EyeReader:
    return EyeReader(load_network(MESH, models_dir), load_network(IRIS, models_dir))
