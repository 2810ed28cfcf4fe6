"""Flat print: a sheet of paper held before the face, with the victim's near-infrared portrait in toner at life size."""

import numpy as np

from hil.artefacts.toner import EYES_BELOW_TOP_MM, SHEET_MM, print_of, sheet_mesh
from hil.people.head import Head
from hil.sensor.surface import Surface, vertex_normals


def flat_print(victim: Head, seed: int) -> Surface:
    """The sheet, its origin at the printed point between the eyes."""
    vertices, uv, faces = sheet_mesh(8, 8, *SHEET_MM)
    vertices[:, 1] += SHEET_MM[1] / 2 - EYES_BELOW_TOP_MM
    return Surface(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=uv,
        albedo=print_of(victim, np.random.default_rng(seed)),
        gloss=np.zeros(len(vertices), np.float32),
        pivot_mm=np.zeros(3, np.float32),
    )
