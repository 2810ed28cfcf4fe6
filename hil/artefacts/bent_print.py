"""Bent print: the flat print rolled about a vertical axis, as one holds it to feign the roundness of a head.

`bent_print` is the one sheet that the demo shows and that calibrations were made with; the species has limits.
"""

from dataclasses import replace

import numpy as np

from hil.artefacts.flat_print import PAPER_GLOSS, flat_print
from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.sheet import A4_BORDER_MM, A4_MM, RADIUS, SCALE, TONER, printed, rolled
from hil.artefacts.toner import SHEET_MM, sheet_mesh
from hil.people.actor import Actor
from hil.people.head import Head
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import Surface, vertex_normals

RADIUS_MM = (50.0, 200.0)  # from a tight roll to a slight curl


def bent_print(victim: Head, seed: int, radius_mm: float = 90.0) -> Surface:
    """The sheet on a cylinder of `radius_mm` (50-200), bulging towards the camera, its edges behind.

    Raises:
        ValueError: a radius outside that range.
    """
    if not RADIUS_MM[0] <= radius_mm <= RADIUS_MM[1]:
        raise ValueError(f"radius_mm is {radius_mm}, expected {RADIUS_MM[0]}-{RADIUS_MM[1]}")
    flat = flat_print(victim, seed)
    vertices, uv, faces = sheet_mesh(48, 8, *SHEET_MM)
    angle = vertices[:, 0] / radius_mm
    vertices[:, 1] = np.interp(uv[:, 1], [0, 1], [flat.vertices_mm[:, 1].min(), flat.vertices_mm[:, 1].max()])
    vertices[:, 0] = np.sin(angle) * radius_mm
    vertices[:, 2] = (1 - np.cos(angle)) * radius_mm
    return replace(
        flat, vertices_mm=vertices, normals=vertex_normals(vertices, faces), faces=faces, uv=uv,
        gloss=np.zeros(len(vertices), np.float32),
    )  # fmt: skip


def held_bent(
    victim: Actor, attacker: Attacker, hold: Hold, *, k: float, scale: float, gloss: float, radius_mm: float
) -> Performance:
    """An A4 print, rolled and held by hand."""
    print_ = rolled(printed(victim, attacker.seed, A4_MM, k, scale, gloss, A4_BORDER_MM), radius_mm)
    return lambda time_s: (Placed(print_, attacker.hand(hold, time_s)),)


BENT = Species(
    name="bent_print",
    kind="complete",
    access="a near-infrared photograph",
    level="A",
    cost_eur=(1, 10),
    not_modelled="a radius that differs along the sheet, creases, the hand and body behind it",
    make=held_bent,
    shape={"k": Limit(0.03, TONER.high, TONER.typical), "scale": SCALE, "gloss": PAPER_GLOSS, "radius_mm": RADIUS},
)
