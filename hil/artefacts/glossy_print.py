"""Glossy life-size print: head and shoulders on photographic paper.

An infrared-only daemon accepted 69 of 70 such prints: depth is what stops them. The gloss throws a highlight where a
face has a nose, and mirrors some dots away.
"""

from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.sheet import SCALE, TONER, printed, rolled
from hil.people.actor import Actor
from hil.sensor.scene import Performance, Placed

A3_PLUS_MM = (329.0, 483.0)


def held_glossy(
    victim: Actor, attacker: Attacker, hold: Hold, *, k: float, scale: float, gloss: float, radius_mm: float
) -> Performance:
    """An A3+ print without border, held at both sides: it curls a little."""
    print_ = rolled(printed(victim, attacker.seed, A3_PLUS_MM, k, scale, gloss, 0), radius_mm)
    return lambda time_s: (Placed(print_, attacker.hand(hold, time_s)),)


GLOSSY = Species(
    name="glossy_print",
    kind="complete",
    access="a near-infrared photograph of head and shoulders",
    level="A",
    cost_eur=(10, 60),
    not_modelled="the mirror image of the terminal in the paper, the hands that hold it",
    make=held_glossy,
    shape={
        "k": Limit(0.03, TONER.high, TONER.typical),  # dye to pigment inks with carbon
        "scale": SCALE,
        "gloss": Limit(0.4, 1.0, 0.7),
        "radius_mm": Limit(200, 5000, 1000, "mm"),
    },
)
