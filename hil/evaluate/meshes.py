"""Scanned heads as trials: each is enrolled as a terminal would, then looked at from a grid of poses.

Rules kept here:
- A mesh is somebody's upload: sizes, indices and numbers are checked before they are believed.
- The simulated sensor takes the pictures, and the terminal's own detector finds the face on its infrared.
- What comes out is evidence of geometry before a simulated sensor: a scan does not move.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from drivers.camera import FrameSet
from hil.evaluate.errors import EvaluateError
from hil.evaluate.presentations import GUIDED
from hil.people import PeopleError
from hil.people.actor import NEUTRAL, Actor
from hil.rig.mesh import MAX_TRIANGLES, load_scan, scan_of
from hil.rig.render import code_of, film
from hil.sensor.presets import preset
from hil.sensor.scene import Placed, Pose
from hil.sensor.surface import F32, I32

MAX_BYTES = 256 * 1024 * 1024
MAX_VERTICES = 2_000_000
ENROL_MM, PROBE_MM = 450.0, (400.0, 600.0)
GRID_DEG = ((-18.0, 0.0, 18.0), (-8.0, 8.0))  # yaw, pitch


def load(path: Path) -> Actor:
    """The head in `path`. Raises EvaluateError, NetworkError."""
    try:
        return load_scan(path, None) if path.suffix == ".obj" else scan_of(path, *_read_npz(path))
    except PeopleError as error:
        raise EvaluateError(str(error)) from error


def enrolment(actor: Actor, seed: int) -> Iterator[FrameSet]:
    """A frame at each guided pose."""
    for number, (yaw, pitch) in enumerate(GUIDED):
        yield _shoot(actor, Pose(z_mm=ENROL_MM, yaw_deg=yaw, pitch_deg=pitch), seed * 100 + number)


def probes(actor: Actor, seed: int) -> Iterator[FrameSet]:
    """A frame at each pose of the grid."""
    poses = [
        Pose(z_mm=z, yaw_deg=yaw, pitch_deg=pitch) for z in PROBE_MM for yaw in GRID_DEG[0] for pitch in GRID_DEG[1]
    ]
    for number, pose in enumerate(poses):
        yield _shoot(actor, pose, seed * 100 + len(GUIDED) + number)


def _shoot(actor: Actor, pose: Pose, seed: int) -> FrameSet:
    placed = tuple(Placed(surface, pose) for surface in actor.surfaces(NEUTRAL))
    return next(film(lambda _: placed, preset("structured-light", 640), seed, code_of(seed, 1), 15.0))


def _read_npz(path: Path) -> tuple[F32, F32, I32]:
    """Vertices in mm, camera axes; uv; faces."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise EvaluateError(f"{path}: larger than {MAX_BYTES} bytes")
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > MAX_BYTES:
                raise EvaluateError(f"{path}: unpacks to more than {MAX_BYTES} bytes")
        with np.load(path, allow_pickle=False) as stored:
            vertices, faces = np.asarray(stored["vertices_m"]), np.asarray(stored["faces"])
    except OSError as error:
        raise EvaluateError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise EvaluateError(f"{path}: not an .npz with vertices_m and faces: {error}") from error
    if vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype.kind != "f" or len(vertices) > MAX_VERTICES:
        raise EvaluateError(f"{path}: vertices_m is {vertices.shape} {vertices.dtype}, must be (V, 3) floats, metres")
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu" or not 0 < len(faces) <= MAX_TRIANGLES:
        raise EvaluateError(f"{path}: faces is {faces.shape} {faces.dtype}, must be (F, 3) integers")
    if not np.isfinite(vertices).all():
        raise EvaluateError(f"{path}: a vertex is not a finite number")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise EvaluateError(f"{path}: a face names a vertex that is not there")
    side_mm = float(np.ptp(vertices, axis=0).max()) * 1000
    if not 150 <= side_mm <= 900:
        raise EvaluateError(f"{path}: {side_mm:.0f} mm long, not a head in metres")
    middle = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    turned = (vertices - middle) * np.array([1000, -1000, -1000])
    return (
        np.ascontiguousarray(turned, np.float32),
        np.zeros((len(vertices), 2), np.float32),
        np.ascontiguousarray(faces, np.int32),
    )
