"""A head that can be turned, moved, opened and covered, as depth images and the points a detector would find."""

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.limits import load_limits
from firmware.liveness.motion import Deformation, Motion
from firmware.vision.face import Face
from hil.sensor.scene import Pose
from tests.liveness.shapes import K, frames_of

F64 = NDArray[np.float64]
FRAME_NS = 66_666_667
GRID_MM = 0.7
LIMITS, _ = load_limits()
LANDMARKS = np.array([[-31.0, 0], [31, 0], [0, 38], [-24, 66], [24, 66]])
STRAIGHT = Pose(z_mm=450.0)


@dataclass(frozen=True)
class Head:
    """What it does: 0 is at rest.

    Attributes:
        opened_mm: how far the chin went down.
        smile_mm: how far the corners of the mouth went back and the cheeks came forward.
        flap_mm: how far a flap before the left cheek comes off it.
        scale: of an adult.
        other: how much of another person's face it has.
    """

    opened_mm: float = 0.0
    smile_mm: float = 0.0
    flap_mm: float = 0.0
    scale: float = 1.0
    other: float = 0.0

    def surface(self, x: F64, y: F64) -> F64:
        """z of the surface at x, y, in mm of the head's own axes: between the eyes, right, down, away."""
        x, y = x / self.scale, y / self.scale
        jaw = _bell(x, 0, 45) * np.clip((y - 58) / 30, 0, 1)
        down = y - self.opened_mm * jaw
        z = 90 * (1 - np.sqrt(np.clip(1 - (x / (78 + 6 * self.other)) ** 2 - ((down - 20) / 108) ** 2, 0.02, 1)))
        z -= (22 + 6 * self.other) * _bell(x, 0, 11) * _bell(down, 32, 15)  # nose
        z -= 4 * _bell(x, 0, 20) * (_bell(down, 61, 4) + _bell(down, 72, 5))  # lips
        z -= 8 * _bell(x, 0, 18) * _bell(down, 98, 9)  # chin
        z += (9 - 5 * self.other) * (_bell(x, -31, 13) + _bell(x, 31, 13)) * _bell(down, 0, 9)  # sockets
        z -= 4 * _bell(down, -18 - 8 * self.other, 9) * _bell(x, 2, 40)  # brow
        z += 0.8 * self.opened_mm * jaw
        z += self.smile_mm * _bell(np.abs(x), 26, 12) * _bell(y, 66, 12)
        z -= 0.6 * self.smile_mm * _bell(np.abs(x), 40, 12) * _bell(y, 45, 14)
        z -= self.flap_mm * _bell(x, 32, 16) * _bell(y, 66, 20)
        z *= self.scale
        gap = (np.abs(x) < 20) & (np.abs(y - 67 - 0.4 * self.opened_mm) < 0.3 * self.opened_mm)
        return np.where(gap & (self.opened_mm > 0), np.nan, z)  # inside an open mouth nothing is measured


REST = Head()


@cache
def seen(head: Head = REST, pose: Pose = STRAIGHT, number: int = 0, fps_ns: int = FRAME_NS) -> tuple[FrameSet, Face]:
    """Frame `number`: the head's depth with noise that a matching window makes, and its face."""
    rng = np.random.default_rng([number, 7])
    rotation, away = pose.rotation().astype(np.float64), np.array([pose.x_mm, pose.y_mm, pose.z_mm])
    x, y = np.meshgrid(np.arange(-72, 72, GRID_MM) * head.scale, np.arange(-70, 118, GRID_MM) * head.scale)
    points = np.stack([x, y, head.surface(x, y)], axis=-1).reshape(-1, 3)
    points = points[np.isfinite(points[:, 2])] @ rotation.T + away
    u = np.rint(points[:, 0] / points[:, 2] * K.fx + K.cx).astype(int)
    v = np.rint(points[:, 1] / points[:, 2] * K.fy + K.cy).astype(int)
    inside = (u >= 0) & (u < K.width) & (v >= 0) & (v < K.height)
    depth = np.full(K.height * K.width, np.inf)
    np.minimum.at(depth, v[inside] * K.width + u[inside], points[inside, 2])
    noise = np.roll(_noise(), rng.integers(0, 400, 2), (0, 1)) * 0.25 * (pose.z_mm / 450) ** 2
    image = np.where(np.isfinite(depth), depth, np.nan).reshape(K.height, K.width) + noise
    frames = frames_of(image - 450.0, sequence=number, timestamp_ns=number * fps_ns, seed=number)
    at = LANDMARKS * head.scale
    spots = np.column_stack([at, REST.surface(*LANDMARKS.T) * head.scale]) @ rotation.T + away
    return frames, _face(spots + rng.normal(0, 0.7, spots.shape))


@cache
def _noise() -> F64:
    """(480, 640) of unit sigma, smeared as by the window that dots are matched in."""
    smeared = cv2.GaussianBlur(np.random.default_rng(7).normal(0, 1, (K.height, K.width)), (0, 0), 3)
    return np.asarray(smeared / smeared.std(), np.float64)


def _face(points_mm: F64) -> Face:
    points_px = points_mm[:, :2] / points_mm[:, 2:] * [K.fx, K.fy] + [K.cx, K.cy]
    return Face(
        box=(250.0, 150.0, 140.0, 180.0),
        points_px=points_px.astype(np.float32),
        score=0.9,
        distance_mm=float(np.median(points_mm[:, 2])),
        points_mm=points_mm.astype(np.float32),
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        ipd_mm=float(np.linalg.norm(points_mm[1] - points_mm[0])),
    )


def covered(frames: FrameSet, x_mm: float, y_mm: float, wide_mm: float, high_mm: float, before_mm: float) -> FrameSet:
    """`frames` with a rounded thing so far before the surface at 450 mm; holes where `before_mm` is NaN."""
    v, u = np.mgrid[0 : K.height, 0 : K.width]
    x, y = (u - K.cx) / K.fx * 450 - x_mm, (v - K.cy) / K.fy * 450 - y_mm
    thing = (np.abs(x) < wide_mm / 2) & (np.abs(y) < high_mm / 2)
    if np.isnan(before_mm):
        return replace(frames, depth_mm=np.where(thing, np.float32(np.nan), frames.depth_mm))
    round_mm = before_mm * np.sqrt(np.clip(1 - (2 * x / wide_mm) ** 2, 0, 1))
    ahead = cv2.boxFilter(np.where(thing, round_mm, 0), -1, (9, 9))  # the window that dots are matched in
    return replace(frames, depth_mm=(frames.depth_mm - ahead).astype(np.float32))


def rested(head: Head = REST, pose: Pose = STRAIGHT) -> Motion:
    """Somebody who has been followed at rest for six frames."""
    motion = Motion(LIMITS)
    for number in range(6):
        motion.follow(*seen(head, pose, number))
    return motion


def shown(motion: Motion, *what: tuple[FrameSet, Face]) -> Deformation:
    """What the last of several more frames shows."""
    found = [motion.follow(*one) for one in what][-1]
    assert found is not None
    return found


def kept_up(motion: Motion, head: Head = REST, pose: Pose = STRAIGHT, first: int = 6) -> Deformation:
    """What is measured once it has been so for three frames."""
    return shown(motion, *(seen(head, pose, number) for number in range(first, first + 3)))


def _bell(value: F64, middle: float, wide: float) -> F64:
    return np.asarray(np.exp(-(((value - middle) / wide) ** 2)), np.float64)
