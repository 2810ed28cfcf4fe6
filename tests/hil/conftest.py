"""Shapes whose image is known in closed form, and people made once."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hil.artefacts.toner import sheet_mesh
from hil.people import Head, virtual_person
from hil.sensor.surface import F32, Surface, vertex_normals


def _matt(vertices: F32, uv: F32, faces: NDArray[np.int32], albedo: float) -> Surface:
    return Surface(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=uv,
        albedo=np.full((8, 8), albedo, np.float32),
        gloss=np.zeros(len(vertices), np.float32),
        pivot_mm=np.zeros(3, np.float32),
    )


@pytest.fixture(scope="session")
def board() -> Callable[[float], Surface]:
    """Return a maker of plain matt boards, 200 mm square, facing the camera, of a given albedo."""
    return lambda albedo: _matt(*sheet_mesh(6, 6, 200.0, 200.0), albedo)


@pytest.fixture(scope="session")
def ball() -> Surface:
    """A finely meshed matt ball of 100 mm radius about the origin."""
    flat, uv, faces = sheet_mesh(240, 120, 2 * np.pi, np.pi)
    around, up = flat[:, 0], flat[:, 1]
    unit = np.stack([np.cos(up) * np.sin(around), np.sin(up), -np.cos(up) * np.cos(around)], axis=1)
    return _matt(np.asarray(100 * unit, np.float32), uv, faces, 0.5)


@pytest.fixture(scope="session")
def person() -> Head:
    """A virtual person."""
    return virtual_person(3)
