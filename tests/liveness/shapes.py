"""Shapes before a camera, as depth alone, and the face that is seen in their middle."""

import numpy as np
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.vision.face import Face

K = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
DISTANCE_MM = 450.0


def frames_of(relief_mm: NDArray[np.float64], *, sequence: int = 0, timestamp_ns: int = 0, seed: int = 0) -> FrameSet:
    """A FrameSet whose depth is the distance plus `relief_mm`, (480, 640)."""
    ir = np.random.default_rng(seed).integers(0, 255, (480, 640), dtype=np.uint8)
    depth = (DISTANCE_MM + relief_mm).astype(np.float32)
    return FrameSet(
        sequence, timestamp_ns, ir, depth, K, Emitter(1, 1), 1000, 1.0, CameraInfo("TEST", "0", "0" * 64, True)
    )


def metric_xy() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Millimetres right and down of the face's centre, each (480, 640)."""
    v, u = np.mgrid[0:480, 0:640].astype(float)
    return (u - K.cx) / K.fx * DISTANCE_MM, (v - K.cy) / K.fy * DISTANCE_MM


def face_at_centre(ipd_mm: float = 63.0) -> Face:
    """An upright frontal face whose eyes are `ipd_mm` apart."""
    points_mm = np.array(
        [[-0.5, -0.5, 0], [0.5, -0.5, 0], [0, 0.05, -0.3], [-0.4, 0.55, 0], [0.4, 0.55, 0]], np.float32
    )
    points_mm = points_mm * ipd_mm + np.array([0, 0, DISTANCE_MM])
    points = points_mm[:, :2] / DISTANCE_MM * K.fx + np.array([K.cx, K.cy])
    return Face(
        box=(250.0, 150.0, 140.0, 180.0),
        points_px=points.astype(np.float32),
        score=0.9,
        distance_mm=DISTANCE_MM,
        points_mm=points_mm.astype(np.float32),
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        ipd_mm=ipd_mm,
    )


def head_relief() -> NDArray[np.float64]:
    """An ellipsoid with a nose and eye sockets, mm."""
    x, y = metric_xy()
    ellipsoid = 95 * (1 - np.sqrt(np.clip(1 - (x / 78) ** 2 - (y / 110) ** 2, 0, 1)))
    relief: NDArray[np.float64] = ellipsoid - 22 * np.exp(-((x / 13) ** 2) - ((y - 5) / 20) ** 2)
    return relief
