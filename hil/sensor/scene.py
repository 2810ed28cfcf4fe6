"""What stands before the camera: surfaces at poses, and perhaps a wall."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drivers.camera import Intrinsics
from hil.sensor.surface import F32, Surface

# A VGA structured-light module: 56 x 44 degrees.
INTRINSICS = Intrinsics(width=640, height=480, fx=600.0, fy=600.0, cx=319.5, cy=239.5)

WALL_MM = 1500.0
WALL_ALBEDO = 0.6  # matt wall paint in the near infrared


@dataclass(frozen=True)
class Pose:
    """Where a surface's origin stands (mm, camera axes) and how it is turned about its pivot (degrees).

    Positive yaw turns the front towards the right of the image, positive pitch upwards,
    positive roll clockwise as the camera sees it.
    """

    x_mm: float = 0.0
    y_mm: float = 0.0
    z_mm: float = 450.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0

    def moved(self, by: "Pose") -> "Pose":
        """Add every component of `by`: small involuntary motion."""
        return replace(self, **{name: getattr(self, name) + getattr(by, name) for name in self.__dataclass_fields__})

    def rotation(self) -> F32:
        """(3, 3) float32: pitch after yaw after roll."""
        yaw, pitch, roll = np.radians([self.yaw_deg, self.pitch_deg, self.roll_deg])
        about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
        about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        return np.asarray(about_x @ about_y @ about_z, np.float32)


@dataclass(frozen=True)
class Placed:
    """A surface at a pose."""

    surface: Surface
    pose: Pose

    def in_camera(self) -> tuple[F32, F32]:
        """Vertices (V, 3) in mm and unit normals (V, 3), both in camera axes."""
        rotation = self.pose.rotation()
        origin = np.array([self.pose.x_mm, self.pose.y_mm, self.pose.z_mm], np.float32)
        pivot = self.surface.pivot_mm
        return (self.surface.vertices_mm - pivot) @ rotation.T + (pivot + origin), self.surface.normals @ rotation.T


@dataclass(frozen=True)
class Scene:
    """Everything in view. `wall_mm`: distance of a plain wall square to the axis, or None for open space."""

    placed: tuple[Placed, ...] = ()
    wall_mm: float | None = WALL_MM


# Whatever stands before the sensor, over time (seconds): the same time always shows the same thing.
Performance = Callable[[float], tuple[Placed, ...]]
