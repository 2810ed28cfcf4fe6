"""Flat print: a sheet of paper held before the face, with the victim's near-infrared portrait in toner at life size.

As a species it comes twice: in toner or other carbon black, which stays black in the near infrared, and in dye,
which does not. `flat_print` is the one sheet that the demo shows and that calibrations were made with.
"""

import numpy as np

from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.sheet import A4_BORDER_MM, A4_MM, DYE, SCALE, TONER, printed
from hil.artefacts.toner import EYES_BELOW_TOP_MM, SHEET_MM, print_of, sheet_mesh
from hil.people.actor import Actor
from hil.people.head import Head
from hil.sensor.material import PAPER
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import Surface, vertex_normals

PAPER_GLOSS = Limit(0.0, 0.3, 0.0)


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
        material=PAPER,
    )


def held_flat(victim: Actor, attacker: Attacker, hold: Hold, *, k: float, scale: float, gloss: float) -> Performance:
    """An A4 print held by hand."""
    print_ = printed(victim, attacker.seed, A4_MM, k, scale, gloss, A4_BORDER_MM)
    return lambda time_s: (Placed(print_, attacker.hand(hold, time_s)),)


FLAT_TONER = Species(
    name="flat_print_toner",
    kind="complete",
    access="a near-infrared photograph (a visible one prints a stranger's skin)",
    level="A",
    cost_eur=(1, 10),
    not_modelled="waves in the paper, the hand and body behind it, relief of the toner",
    make=held_flat,
    shape={"k": TONER, "scale": SCALE, "gloss": PAPER_GLOSS},
)

FLAT_DYE = Species(
    name="flat_print_dye",
    kind="complete",
    access="a photograph",
    level="A",
    cost_eur=(1, 10),
    not_modelled="waves in the paper, the hand and body behind it, a black cartridge that holds carbon",
    make=held_flat,
    shape={"k": DYE, "scale": SCALE, "gloss": PAPER_GLOSS},
)
