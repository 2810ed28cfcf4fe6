"""LCD and OLED replay: a video of the victim on a telephone, a tablet or a monitor.

No screen emits near infrared, so the infrared camera sees a slab of glass whatever plays on it, and the same slab in
every frame. Behind an LCD's glass the reflector of its backlight returns a little; an OLED's metal cathode mirrors.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.phone_screen import phone_screen
from hil.people.actor import NEUTRAL, Actor
from hil.sensor.material import GLASS
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import Surface

SIZE = Limit(65, 600, 150, "mm wide")
ASPECT = 16 / 10


def slab(victim: Actor, seed: int, width_mm: float, albedo: float, gloss: float) -> Surface:
    """The screen upright, as a telephone's glass with its bezel, stretched to size."""
    phone = phone_screen(victim.head(NEUTRAL), seed)
    across, down = np.ptp(phone.vertices_mm[:, 0]), np.ptp(phone.vertices_mm[:, 1])
    stretch = np.array([width_mm / across, width_mm * ASPECT / down, 1], np.float32)
    return replace(
        phone,
        vertices_mm=phone.vertices_mm * stretch,
        albedo=phone.albedo * np.float32(albedo / np.median(phone.albedo)),
        gloss=np.full(len(phone.gloss), gloss, np.float32),
        material=GLASS,
    )


def played(
    victim: Actor, attacker: Attacker, hold: Hold, *, width_mm: float, albedo: float, gloss: float
) -> Performance:
    """A screen held by hand."""
    screen = slab(victim, attacker.seed, width_mm, albedo, gloss)
    return lambda time_s: (Placed(screen, attacker.hand(hold, time_s)),)


_species = partial(Species, kind="complete", access="a video", level="B", cost_eur=(0, 800), make=played)

LCD = _species(
    name="lcd_replay",
    not_modelled="the mirror image of the terminal in the glass, stray near infrared of old backlights",
    shape={"width_mm": SIZE, "albedo": Limit(0.01, 0.15, 0.05), "gloss": Limit(0.2, 1.0, 0.9)},  # matt to glossy
)

OLED = _species(
    name="oled_replay",
    not_modelled="the metal cathode as a mirror: image of the terminal, dots measured at twice the distance",
    shape={"width_mm": SIZE, "albedo": Limit(0.005, 0.09, 0.02), "gloss": Limit(0.8, 1.0, 1.0)},
)
