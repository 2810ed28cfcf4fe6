"""What the sensor can see: a triangle mesh with a reflectance texture."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hil.sensor.material import SKIN, Material

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Surface:
    """A mesh in the camera's axes: x right in the image, y down, z away from the camera, millimetres.

    It faces the camera, so its front lies towards smaller z; triangles seen from behind are not drawn.

    Attributes:
        vertices_mm: (V, 3) float32.
        normals: (V, 3) float32, unit, outward.
        faces: (F, 3) int32, counter-clockwise in the image when seen from outside.
        uv: (V, 2) float32, texture place 0..1, u to the right, v down; beyond 0..1 it wraps.
        albedo: (T, T) float32, diffuse reflectance at 940 nm, 0..1.
        gloss: (V,) float32, 0 matt paper, about 0.3 skin, 1 glass.
        pivot_mm: (3,) float32, the point the surface turns about.
        material: how it spreads a dot of light; a thing of several materials is several surfaces at one pose.
    """

    vertices_mm: F32
    normals: F32
    faces: I32
    uv: F32
    albedo: F32
    gloss: F32
    pivot_mm: F32
    material: Material = field(default=SKIN, kw_only=True)


def vertex_normals(vertices: F32, faces: I32) -> F32:
    """(V, 3) unit normals, outward as `Surface` winds its faces (F, 3), which weigh by their area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normals = np.stack(
        [
            sum(np.bincount(faces[:, k], weights=face[:, axis], minlength=len(vertices)) for k in range(3))
            for axis in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-9), np.float32)
