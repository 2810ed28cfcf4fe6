"""Where each point of a bust lies in its texture: a cylinder unrolled about the head, and a patch for each eye.

Painting happens in millimetres on that cylinder (`Canvas`): `across` from the face's middle line, positive to the
person's left, `down` from the eyes. Every bust shares the base mesh, so a brow is at the same place of every texture.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hil.people.makehuman import bust
from hil.sensor.surface import F32, I32

SIZE = 1024
ROWS = 896  # of the cylinder; the eyes lie below
TOP_MM, BOTTOM_MM = -130.0, 282.0
AXIS_Z_MM = 109.0
RADIUS_MM = 90.0
EYE_PATCH = 112
EYE_RADIUS_MM = 15.0
MOUTH_PATCH = (2 * EYE_PATCH + 8, 3 * EYE_PATCH - 8)  # columns, below the cylinder; one tone
MOUTH_UV = (2.5 * EYE_PATCH / SIZE, (ROWS + 8 + EYE_PATCH / 2) / SIZE)


@dataclass(frozen=True, eq=False)
class Atlas:
    """`source` (W,) the bust vertex behind each textured vertex, `faces` (F, 3) over them, `uv` (W, 2).

    Vertices on the seam at the back of the head appear twice.
    """

    source: I32
    faces: I32
    uv: F32


@dataclass(frozen=True, eq=False)
class Canvas:
    """The cylinder part of a texture while it is painted.

    Attributes:
        across: (1, W) float32, mm of arc, circumference at both ends.
        down: (H, 1) float32, mm.
        albedo: (H, W) float32, painted in place.
    """

    across: F32
    down: F32
    albedo: F32

    def scale(self, change: float, where: F32) -> None:
        """Brighten (or darken, if negative) by the fraction `change` at full `where` (H, W), 0..1 or noise."""
        self.albedo[:] *= 1 + np.float32(change) * where

    def blend(self, tone: F32, where: F32) -> None:
        """Cover with reflectance `tone` (H, W) by the share `where` (H, W)."""
        self.albedo[:] = self.albedo * (1 - where) + tone * where

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.albedo.shape[0], self.albedo.shape[1]

    @property
    def pitch_mm(self) -> tuple[float, float]:
        """Millimetres of one row and of one column."""
        return (BOTTOM_MM - TOP_MM) / ROWS, 2 * np.pi * RADIUS_MM / SIZE


def blank_canvas(albedo: float) -> Canvas:
    """A canvas all of one reflectance."""
    across = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1) * np.pi * RADIUS_MM
    down = TOP_MM + (np.arange(ROWS) + 0.5) / ROWS * (BOTTOM_MM - TOP_MM)
    painted = np.full((ROWS, SIZE), albedo, np.float32)
    return Canvas(across[None, :].astype(np.float32), down[:, None].astype(np.float32), painted)


@cache
def atlas() -> Atlas:
    """The texture layout every virtual person shares."""
    base = bust()
    return unrolled(base.vertices_mm, base.faces, base.eye, cylinder_place(base.vertices_mm))


def unrolled(
    vertices_mm: F32,
    faces: I32,
    eye: NDArray[np.int8],
    place: tuple[NDArray[np.float64], NDArray[np.float64]],
    inside_mouth: NDArray[np.bool_] | None = None,
) -> Atlas:
    """Lay a mesh (V, 3), (F, 3) out: skin at `place` on the canvas, eyes and the inside of the mouth in their patches.

    Args:
        vertices_mm: the base mesh.
        faces: its triangles.
        eye: (V,) 1 on the right eyeball, 2 on the left one.
        place: (across, down) on the canvas in mm, (V,) each.
        inside_mouth: (V,) bool; triangles wholly inside take the mouth's patch.
    """
    uv = _cylinder_uv(vertices_mm, eye, place)
    faces = faces.copy()
    spread = np.ptp(uv[faces, 0], axis=1) > 0.5
    wrapped = np.unique(faces[spread][uv[faces[spread], 0] < 0.5])
    twin = np.arange(len(uv))
    twin[wrapped] = len(uv) + np.arange(len(wrapped))
    faces[spread] = twin[faces[spread]]
    source = np.concatenate([np.arange(len(uv)), wrapped]).astype(np.int32)
    doubled = np.concatenate([uv, uv[wrapped] + np.array([1, 0])])
    if inside_mouth is not None:
        within = inside_mouth[source[faces]].all(axis=1)
        lining = np.unique(faces[within])
        twin = np.arange(len(source))
        twin[lining] = len(source) + np.arange(len(lining))
        faces[within] = twin[faces[within]]
        source = np.concatenate([source, source[lining]])
        doubled = np.concatenate([doubled, np.full((len(lining), 2), MOUTH_UV)])
    return Atlas(source, faces.astype(np.int32), doubled.astype(np.float32))


def cylinder_place(vertices_mm: F32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(across, down) in mm, each (V,), of points of the base mesh."""
    angle = np.arctan2(vertices_mm[:, 0], AXIS_Z_MM - vertices_mm[:, 2]).astype(np.float64)
    return angle * RADIUS_MM, vertices_mm[:, 1].astype(np.float64)


def _cylinder_uv(
    vertices_mm: F32, eye: NDArray[np.int8], place: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    across, down = place
    u = across / (2 * np.pi * RADIUS_MM) + 0.5
    v = (down - TOP_MM) / (BOTTOM_MM - TOP_MM) * ROWS / SIZE
    uv = np.stack([u, np.clip(v, 0, (ROWS - 1) / SIZE)], axis=1)
    for mark in (1, 2):
        here = eye == mark
        eyeball = vertices_mm[here, :2]
        middle = (eyeball.min(axis=0) + eyeball.max(axis=0)) / 2
        uv[here] = ((eyeball - middle) / EYE_RADIUS_MM * 0.5 + 0.5) * EYE_PATCH / SIZE
        uv[here] += np.array([(mark - 1) * EYE_PATCH / SIZE, (ROWS + 8) / SIZE])
    return uv
