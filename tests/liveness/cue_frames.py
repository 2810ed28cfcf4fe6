"""FrameSets for the cues: faces rendered, and shapes whose answer is known without rendering."""

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.vision.face import Face

CAMERA = Intrinsics(width=320, height=320, fx=600.0, fy=600.0, cx=159.5, cy=159.5)
SIGMA_PX = 1.0
FULL = Emitter(flood=1.0, dots=1.0)
ALBEDO_PER_MS = 0.35  # of full scale, of white at 1 m


def face_at(distance_mm: float) -> Face:
    """An adult's five points in the middle of the picture."""
    points = np.array([[-32, -20, 0], [32, -20, 0], [0, 12, -20], [-26, 45, 0], [26, 45, 0]], np.float32)
    px = points[:, :2] * np.float32(CAMERA.fx / distance_mm) + np.float32(159.5)
    return Face(
        box=(0.0, 0.0, 320.0, 320.0),
        points_px=px.astype(np.float32),
        score=0.9,
        distance_mm=distance_mm,
        points_mm=points,
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        ipd_mm=64.0,
    )


def of(
    depth_mm: NDArray[np.float32],
    albedo: NDArray[np.float32],
    dots: NDArray[np.float32] | None = None,
    dark: float = 1.5,
) -> FrameSet:
    """A matt surface of this depth and reflectance (320, 320), flood-lit from the lens, and `dots` 0..1 on top."""
    v, u = np.mgrid[0:320, 0:320].astype(np.float32)
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u)], axis=2)
    points = rays * depth_mm[..., None]
    normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    reach = np.linalg.norm(rays, axis=2)
    incidence = -(normal * rays).sum(axis=2) / reach
    lit = albedo * np.maximum(incidence, 0) * reach**-5.5 / (depth_mm * reach / 1000) ** 2
    rng = np.random.default_rng(7)
    exposure_us = int(110 / 255 / (ALBEDO_PER_MS * np.median(lit)) * 1000)
    flood = 255 * ALBEDO_PER_MS * lit * exposure_us / 1000

    def read(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        noisy = image + dark + rng.normal(0, 0.6, image.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    return FrameSet(
        sequence=0,
        timestamp_ns=1,
        ir=read(flood),
        depth_mm=depth_mm.astype(np.float32),
        intrinsics=CAMERA,
        emitter=FULL,
        exposure_us=exposure_us,
        gain=1.0,
        camera=CameraInfo("TEST", "0", "0" * 64, True, dot_sigma_px=SIGMA_PX),
        ambient=read(np.zeros_like(depth_mm)),
        dots=read(255 * (np.zeros_like(depth_mm) if dots is None else dots)),
    )


def ball(distance_mm: float, bumps_mm: float = 0.0) -> NDArray[np.float32]:
    """(320, 320) depth of a head-sized ball whose front is `distance_mm` away, with bumps as features have."""
    v, u = np.mgrid[0:320, 0:320].astype(np.float64)
    x, y = (u - CAMERA.cx) / CAMERA.fx * distance_mm, (v - CAMERA.cy) / CAMERA.fy * distance_mm
    round_mm = 110 - np.sqrt(np.maximum(110**2 - x**2 - y**2, 30**2))
    return np.asarray(distance_mm + round_mm + bumps_mm * np.cos(x / 6) * np.cos(y / 6), np.float32)


def plane(distance_mm: float, slope: float = 0.6) -> NDArray[np.float32]:
    """(320, 320) depth of a plane leaning back by `slope` mm a mm, so that no dot on it is near-specular."""
    v = np.mgrid[0:320, 0:320][0].astype(np.float64)
    ray = (v - CAMERA.cy) / CAMERA.fy
    return np.asarray(distance_mm / (1 + slope * ray), np.float32)


def dots(distance_mm: float, spread: tuple[tuple[float, float], ...] = ()) -> NDArray[np.float32]:
    """(320, 320) 0..1: random dots of the sensor's own width; light that entered leaves with `spread` (weight, mm)."""
    rng, finer = np.random.default_rng(3), 3
    where = np.zeros((320 * finer, 320 * finer), np.float32)
    places = np.array([(y, x) for y in range(2, 318, 6) for x in range(2, 318, 6)]) * finer
    places += rng.integers(-finer, finer + 1, places.shape)
    where[places[:, 0], places[:, 1]] = 4.0 * finer**2
    total = np.zeros_like(where)
    for weight, sigma_mm in spread or ((1.0, 0.0),):
        sigma = finer * float(np.hypot(SIGMA_PX, sigma_mm * CAMERA.fx / distance_mm))
        total += np.float32(weight) * cv2.GaussianBlur(where, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(total, (320, 320), interpolation=cv2.INTER_AREA), np.float32)
