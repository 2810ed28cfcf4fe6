"""Replay of an animated photo: one photograph, warped to blink, smile and speak when asked, on a display.

On an ordinary screen the near infrared sees none of it (`contrast` 0). The dangerous display reflects what it shows,
as electronic paper does, and answers prompts in time because the attacker hears them too.
"""

from dataclasses import replace

import numpy as np

from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.sheet import EYES_FROM_TOP, SCALE, laid_out, portrait, sheet
from hil.artefacts.warp import animated
from hil.people.actor import NEUTRAL, Actor
from hil.sensor.material import GLASS, PAPER
from hil.sensor.scene import Performance, Placed

SIZE_MM = (200.0, 270.0)
PIXELS_PER_MM = 2.0
BLACK, WHITE = 0.035, 0.45  # glass; the white of electronic paper


def replayed_photo(
    victim: Actor, attacker: Attacker, hold: Hold, *, contrast: float, scale: float, gloss: float
) -> Performance:
    """A display held by hand, and turned when asked to; it shows the attacker's own answers to the prompts."""
    rng = np.random.default_rng([attacker.seed, 0xA21])
    photo = laid_out(portrait(victim, rng), SIZE_MM, scale, PIXELS_PER_MM, 0)
    middle = np.array([SIZE_MM[0] / 2, SIZE_MM[1] * EYES_FROM_TOP])
    points = (victim.head(NEUTRAL).landmarks[:, :2] * scale + middle) * PIXELS_PER_MM
    display = sheet(photo, SIZE_MM, gloss, PAPER if contrast > 0.5 else GLASS)

    def at(time_s: float) -> tuple[Placed, ...]:
        expression, _ = attacker.act(hold, time_s)
        grey = animated(photo, np.asarray(points, np.float32), expression)
        shown = BLACK + contrast * (WHITE - BLACK) * grey
        return (Placed(replace(display, albedo=np.asarray(shown, np.float32)), attacker.turned(hold, time_s)),)

    return at


ANIMATED = Species(
    name="animated_photo",
    kind="complete",
    access="one photograph",
    level="B",
    cost_eur=(100, 900),
    not_modelled="refresh rate and ghosting of the display, a program that also moves head and shading",
    make=replayed_photo,
    shape={"contrast": Limit(0.0, 1.0, 0.9), "scale": SCALE, "gloss": Limit(0.1, 1.0, 0.3)},
)
