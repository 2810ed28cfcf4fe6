"""Phone screen: the victim replayed on a phone, which emits visible light and no near infrared.

So the infrared camera sees a slab of dark glass whatever plays on it (albedo about 0.035), and the dot projector's
light is mirrored away: its depth is mostly holes. The victim's picture does not enter at all.
"""

import numpy as np

from hil.artefacts.toner import sheet_mesh
from hil.people.head import Head
from hil.sensor.material import GLASS
from hil.sensor.surface import Surface, vertex_normals

GLASS_ALBEDO = 0.035
BEZEL_ALBEDO = 0.09
SIZE_MM = (72.0, 150.0)
_TEXELS = (288, 600)
_BEZEL_TEXELS = 10


def phone_screen(victim: Head, seed: int) -> Surface:
    """The phone, its origin in the middle of the screen, `victim` playing on it unseen; `seed` places finger smears."""
    del victim
    rng = np.random.default_rng(seed)
    vertices, uv, faces = sheet_mesh(2, 2, *SIZE_MM)
    columns, rows = _TEXELS
    albedo = np.full((rows, columns), BEZEL_ALBEDO, np.float32)
    inner = (slice(_BEZEL_TEXELS, -_BEZEL_TEXELS), slice(_BEZEL_TEXELS, -_BEZEL_TEXELS))
    albedo[inner] = GLASS_ALBEDO * (1 + 0.1 * rng.random((rows, columns), dtype=np.float32)[inner])
    return Surface(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=uv,
        albedo=albedo,
        gloss=np.ones(len(vertices), np.float32),
        pivot_mm=np.zeros(3, np.float32),
        material=GLASS,
    )
