"""Cut-out print: a toner print cut along the face, with holes for the wearer's living eyes, worn as a mask.

It brings living eyes, a head's motion and a head's outline; its own shape is still a sheet, lying on nose and brow.
"""

import numpy as np

from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.sheet import A4_BORDER_MM, A4_MM, PIXELS_PER_MM, TONER, inked, laid_out, portrait, rolled, sheet
from hil.artefacts.worn import cut, inside_face, outside_eyes, worn
from hil.people.actor import NEUTRAL, Actor
from hil.sensor.scene import Performance

CELL_MM = 1.5  # of the mesh: how smooth the cut is
PRESSING = 0.02  # of the sheet's area that nose and brow bear


def worn_print(
    victim: Actor, attacker: Attacker, hold: Hold, *, k: float, scale: float, eye_hole_mm: float, radius_mm: float
) -> Performance:
    """The mask on its wearer."""
    rng = np.random.default_rng([attacker.seed, 0xC07])
    albedo = inked(laid_out(portrait(victim, rng), A4_MM, scale, PIXELS_PER_MM, A4_BORDER_MM), k, rng)
    flat = sheet(albedo, A4_MM, 0, cell_mm=CELL_MM)
    points = victim.head(NEUTRAL).landmarks * np.float32(scale)
    keep = inside_face(flat.vertices_mm, points) & outside_eyes(flat.vertices_mm, points[:2], eye_hole_mm)
    return worn(rolled(cut(flat, keep), radius_mm), attacker, hold, PRESSING, 0)


CUTOUT = Species(
    name="cutout_print",
    kind="partial",
    access="a near-infrared photograph",
    level="B",
    cost_eur=(1, 20),
    not_modelled="creases over the nose, a slit for it, paper that bulges when the mouth behind it moves",
    make=worn_print,
    shape={
        "k": Limit(0.03, TONER.high, TONER.typical),
        "scale": Limit(0.85, 1.2, 1.0, "of life size"),  # smaller, the wearer's own face shows around it
        "eye_hole_mm": Limit(8, 20, 13, "mm half width"),
        "radius_mm": Limit(60, 300, 100, "mm"),
    },
    worn=True,
)
