"""Hair as a surface of its own: a shell over the scalp, as thick as the haircut, with the scalp's painted texture."""

import numpy as np

from hil.people.atlas import BOTTOM_MM, RADIUS_MM, ROWS, SIZE, TOP_MM
from hil.people.hair import Haircut
from hil.people.head import Head
from hil.people.puppet import Worn, fast_normals
from hil.sensor.material import HAIR
from hil.sensor.surface import F32, Surface

REACHES = 0.02  # the shell goes on beyond the hairline, under the skin, so that it grows out of it without a step
UNDER_MM = -2.0


def shell(head: Head, haircut: Haircut) -> tuple[Worn, ...]:
    """The hair of `head` at rest, or nothing where it is shaven."""
    across, down = _place(head.uv)
    on_scalp = head.uv[:, 1] < (ROWS - 1) / SIZE  # eyes and mouth lie below
    volume = haircut.volume(across, down) * on_scalp
    faces = head.faces[(volume[head.faces] > REACHES).all(axis=1)]
    if haircut.thick_mm < 1 or not len(faces):
        return ()
    used, compact = np.unique(faces, return_inverse=True)
    thick = np.maximum((2 * volume - 1) * np.float32(haircut.thick_mm), UNDER_MM)
    vertices = (head.vertices_mm + head.normals * thick[:, None])[used]
    faces = np.ascontiguousarray(compact.reshape(-1, 3), np.int32)
    surface = Surface(
        vertices_mm=np.ascontiguousarray(vertices, np.float32),
        normals=fast_normals(vertices, faces),
        faces=faces,
        uv=head.uv[used],
        albedo=head.albedo,
        gloss=np.zeros(len(used), np.float32),
        pivot_mm=head.pivot_mm,
        material=HAIR,
    )
    return (Worn(surface),)


def _place(uv: F32) -> tuple[F32, F32]:
    """(across, down) in mm on the canvas, of texture places (W, 2)."""
    across = (uv[:, 0] % 1 - 0.5) * (2 * np.pi * RADIUS_MM)
    down = uv[:, 1] * SIZE / ROWS * (BOTTOM_MM - TOP_MM) + TOP_MM
    return across.astype(np.float32), down.astype(np.float32)
