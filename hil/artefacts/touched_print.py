"""Touched print: a flat toner print with one or two fingers held before it.

A few square centimetres of finger give a flat sheet the relief of a face wherever relief is an average. Found by
review, kept so that it stays found.
"""

from dataclasses import replace

import numpy as np

from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.sheet import A4_BORDER_MM, A4_MM, SCALE, TONER, printed, rolled, sheet
from hil.people.actor import Actor
from hil.sensor.material import SKIN
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import Surface

SKIN_ALBEDO, SKIN_GLOSS = 0.54, 0.25


def finger(x_mm: float, y_mm: float, thick_mm: float, long_mm: float, before_mm: float) -> Surface:
    """A half cylinder of skin, upright, its front `before_mm` before the paper."""
    flat = sheet(
        np.full((8, 8), SKIN_ALBEDO, np.float32), (thick_mm * np.pi / 2, long_mm), SKIN_GLOSS, SKIN, cell_mm=2.0
    )
    round_ = rolled(flat, thick_mm / 2)
    middle = (round_.vertices_mm[:, 1].min() + round_.vertices_mm[:, 1].max()) / 2
    place = np.array([x_mm, y_mm - middle, -before_mm], np.float32)
    return replace(round_, vertices_mm=round_.vertices_mm + place)


def held_touched(
    victim: Actor,
    attacker: Attacker,
    hold: Hold,
    *,
    k: float,
    scale: float,
    fingers: float,
    x_mm: float,
    y_mm: float,
    thick_mm: float,
    long_mm: float,
    before_mm: float,
) -> Performance:
    """An A4 print, and fingers that move with it."""
    parts = [printed(victim, attacker.seed, A4_MM, k, scale, 0.0, A4_BORDER_MM)]
    parts += [finger(side * x_mm, y_mm, thick_mm, long_mm, before_mm) for side in (1, -1)[: int(fingers)]]
    return lambda time_s: tuple(Placed(part, attacker.hand(hold, time_s)) for part in parts)


TOUCHED = Species(
    name="touched_print",
    kind="complete",
    access="a near-infrared photograph of the face",
    level="A",
    cost_eur=(1, 2),
    not_modelled="the hand behind the fingers, their joints and nails",
    make=held_touched,
    shape={
        "k": TONER,
        "scale": SCALE,
        "fingers": Limit(1, 2, 2, whole=True),
        "x_mm": Limit(0, 50, 12, "mm"),
        "y_mm": Limit(-40, 100, 30, "mm"),
        "thick_mm": Limit(10, 22, 14, "mm"),
        "long_mm": Limit(20, 90, 60, "mm"),
        "before_mm": Limit(5, 45, 30, "mm"),
    },
)
