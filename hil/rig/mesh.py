"""A head scanned by anybody: a Wavefront .obj with its picture, turned to face the camera.

Rules kept here:
- The file is somebody's upload: its size and every index in it are checked before they are believed.
- It stands as .obj files do, y up, facing +z; its unit is guessed by its size (m, cm or mm).
- Where its face is, the terminal's own face detector says, on a rendering of it.
- A scan does not move. Its picture is a visible one: red, scaled so that the cheeks reflect as skin does at 940 nm,
  stands in for near infrared.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from drivers.camera import Intrinsics
from firmware.vision.networks import DETECTOR, load_network
from firmware.vision.yunet import find_candidates
from hil.artefacts.finish import skin_tone
from hil.people import Head, PeopleError
from hil.people.actor import Actor, Expression
from hil.people.head import NECK_PIVOT_MM
from hil.people.scan import SKIN_ALBEDO, SKIN_GLOSS
from hil.sensor import flood
from hil.sensor.rasteriser import view
from hil.sensor.scene import Placed, Pose, Scene
from hil.sensor.surface import F32, I32, Surface, vertex_normals

MAX_BYTES = 256 * 1024 * 1024
MAX_TRIANGLES = 2_000_000
HEAD_MM = (150.0, 900.0)  # longest side of what can be a head, shoulders included
_STAND_MM = 900.0
_LENS = Intrinsics(width=800, height=800, fx=1200.0, fy=1200.0, cx=399.5, cy=399.5)


class Scan(Actor):
    """A scanned head: the same in every expression."""

    def __init__(self, name: str, head: Head) -> None:
        self.name = name
        self._head = head

    def head(self, expression: Expression) -> Head:
        """The scan; it has no expressions."""
        del expression
        return self._head

    def surfaces(self, expression: Expression) -> tuple[Surface, ...]:
        """The scan alone."""
        return (self.head(expression),)


def load_scan(mesh: Path, texture: Path | None) -> Scan:
    """Read a scan.

    Raises:
        PeopleError: a file is missing, too large or damaged, or the detector finds no face.
        NetworkError: the detector is not built.
    """
    vertices, uv, faces = read_obj(mesh)
    picture: F32 | None = None
    if texture is not None:
        image = cv2.imread(str(texture), cv2.IMREAD_COLOR)
        if image is None:
            raise PeopleError(f"{texture}: cannot be read as a picture")
        picture = np.ascontiguousarray(image[:, :, 2] / 255, np.float32)
    return scan_of(mesh, vertices, uv, faces, picture)


def scan_of(path: Path, vertices: F32, uv: F32, faces: I32, picture: F32 | None = None) -> Scan:
    """The scan of a mesh in camera axes, turned to face the camera; plain skin without a picture.

    Args:
        path: names the scan, and is named in errors.
        vertices: (V, 3) mm.
        uv: (V, 2).
        faces: (F, 3).
        picture: (H, W) 0..1.

    Raises:
        PeopleError: the detector finds no face.
        NetworkError: the detector is not built.
    """
    if picture is None:
        picture = np.full((2, 2), SKIN_ALBEDO, np.float32)
    bare = Surface(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=uv,
        albedo=picture,
        gloss=np.full(len(vertices), SKIN_GLOSS, np.float32),
        pivot_mm=np.zeros(3, np.float32),
    )
    points = _find_points(path, bare)
    turn, origin = _facing(points)
    vertices = np.asarray((vertices - origin) @ turn.T, np.float32)
    head = Head(
        **{**vars(bare), "vertices_mm": vertices, "normals": vertex_normals(vertices, faces)},
        landmarks=np.asarray((points - origin) @ turn.T, np.float32),
    )
    tone = SKIN_ALBEDO / max(skin_tone(head), 1e-3)
    albedo = np.asarray(np.clip(head.albedo * tone, 0.02, 0.9), np.float32)
    return Scan(path.stem, replace(head, albedo=albedo, pivot_mm=NECK_PIVOT_MM))


def read_obj(path: Path) -> tuple[F32, F32, I32]:
    """(V, 3) vertices in mm, camera axes, centred; (V, 2) uv; (F, 3) faces. Polygons are split into fans.

    Raises:
        PeopleError: it cannot be read, is too large, or is not a head's mesh.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PeopleError(f"{path}: larger than {MAX_BYTES} bytes")
        lines = path.read_text(encoding="utf-8", errors="strict").splitlines()
        points, places, corners = _parse(lines)
    except OSError as error:
        raise PeopleError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise PeopleError(f"{path}: not a Wavefront .obj mesh: {error}") from error
    pairs, flat = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
    if pairs.min() < 0 or pairs[:, 0].max() >= len(points) or pairs[:, 1].max() >= max(len(places), 1):
        raise PeopleError(f"{path}: a face names a vertex that is not there")
    if not np.isfinite(points).all():
        raise PeopleError(f"{path}: a vertex is not a finite number")
    side = float(np.ptp(points, axis=0).max())
    unit = next((unit for unit in (1.0, 10.0, 1000.0) if HEAD_MM[0] <= side * unit <= HEAD_MM[1]), None)
    if unit is None:
        raise PeopleError(f"{path}: {side:g} units long, not a head in mm, cm or m")
    centred = (points - (points.max(axis=0) + points.min(axis=0)) / 2) * unit
    vertices = centred[pairs[:, 0]] * np.array([1, -1, -1])
    uv = places[pairs[:, 1]] * [1, -1] + [0, 1] if len(places) else np.zeros((len(pairs), 2))
    return (
        np.ascontiguousarray(vertices, np.float32),
        np.ascontiguousarray(uv, np.float32),
        np.ascontiguousarray(flat.reshape(-1, 3), np.int32),
    )


def _parse(lines: list[str]) -> "tuple[F32, F32, I32]":
    """Points (P, 3), texture places (T, 2) and (F, 3, 2) corners as indices into both."""
    points: list[list[float]] = []
    places: list[list[float]] = []
    corners: list[list[tuple[int, int]]] = []
    for line in lines:
        words = line.split()
        match words[:1]:
            case ["v"]:
                points.append([float(word) for word in words[1:4]])
            case ["vt"]:
                places.append([float(word) for word in words[1:3]])
            case ["f"]:
                ring = [_corner(word, len(points), len(places)) for word in words[1:]]
                corners += [[ring[0], ring[k], ring[k + 1]] for k in range(1, len(ring) - 1)]
    if not points or not corners or len(corners) > MAX_TRIANGLES:
        raise ValueError(f"{len(points)} vertices and {len(corners)} triangles")
    return np.array(points, np.float32), np.array(places, np.float32), np.array(corners, np.int32)


def _corner(word: str, points: int, places: int) -> tuple[int, int]:
    """`v/vt/vn`, counted from 1, or backwards from the end if negative."""
    parts = word.split("/")
    vertex = int(parts[0])
    place = int(parts[1]) if len(parts) > 1 and parts[1] else 1
    return (vertex - 1 if vertex > 0 else points + vertex), (place - 1 if place > 0 else places + place)


def _find_points(path: Path, surface: Surface) -> F32:
    """(5, 3) mm: the detector's points on the mesh, seen from the front."""
    scene = Scene((Placed(surface, Pose(z_mm=_STAND_MM)),), wall_mm=None)
    seen = view(scene, _LENS)
    picture = flood.expose(seen, _LENS, np.random.default_rng(0)).ir
    found = find_candidates(load_network(DETECTOR), picture)
    if not found:
        raise PeopleError(f"{path}: no face is found on it: it should stand upright (y up) and face +z")
    pixels = found[0].points_px
    near = 1 / seen.inverse_depth[np.round(pixels[:, 1]).astype(int), np.round(pixels[:, 0]).astype(int)]
    if not np.isfinite(near).all():
        raise PeopleError(f"{path}: the face found is not on the mesh")
    x, y = (pixels[:, 0] - _LENS.cx) / _LENS.fx * near, (pixels[:, 1] - _LENS.cy) / _LENS.fy * near
    return np.stack([x, y, near - _STAND_MM], axis=1).astype(np.float32)


def _facing(points: F32) -> tuple[F32, F32]:
    """The turn (3, 3) that makes the five points those of a face looking ahead, and its origin (3,)."""
    origin = points[:2].mean(axis=0)
    right = points[1] - points[0]
    right = right / np.linalg.norm(right)
    down = points[3:].mean(axis=0) - origin
    down = down - right * (down @ right)
    down = down / np.linalg.norm(down)
    return np.stack([right, down, np.cross(right, down)]), origin
