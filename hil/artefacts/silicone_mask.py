"""Silicone mask: the victim's head in soft silicone over a living face, which passes on a share of its motion.

Its dots spread as in skin, its shape is the victim's, its eyes and lids are the wearer's. Passive cues do not separate
it, and nothing here shows that they do: only how much less of a smile or an opened mouth arrives at its surface.
"""

from dataclasses import replace

from hil.artefacts.finish import painted, scaled, skin_tone
from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.people.actor import MOVEMENTS, NEUTRAL, Actor, Expression
from hil.sensor.material import SILICONE, SKIN
from hil.sensor.scene import Performance, Placed

LIVING = {"blink_left", "blink_right"}  # seen through the mask's own eye holes, as is the gaze


def passed_on(expression: Expression, transfer: float) -> Expression:
    """What of the wearer's expression shows on the mask."""
    damped = {name: getattr(expression, name) * transfer for name in MOVEMENTS if name not in LIVING}
    return replace(expression, **damped)


def worn_silicone(
    victim: Actor,
    attacker: Attacker,
    hold: Hold,
    *,
    transfer: float,
    tone: float,
    contrast: float,
    gloss: float,
    scale: float,
) -> Performance:
    """The mask, moved by the attacker's own expressions."""
    own = skin_tone(victim.head(NEUTRAL))

    def at(time_s: float) -> tuple[Placed, ...]:
        expression, pose = attacker.act(hold, time_s)
        parts = victim.surfaces(passed_on(expression, transfer))
        skins = (
            painted(part, own, tone, contrast, gloss, SILICONE) if part.material == SKIN else part for part in parts
        )
        return tuple(Placed(scaled(part, scale), pose) for part in skins)

    return at


SILICONE_MASK = Species(
    name="silicone_mask",
    kind="complete",
    access="a life cast or a good scan, and a near-infrared photograph",
    level="C",
    cost_eur=(500, 8000),
    not_modelled="folds and slip, the edge about eyes and lips, the wearer's own eyes (the victim's stand in)",
    make=worn_silicone,
    shape={
        "transfer": Limit(0.0, 0.9, 0.35, "of the wearer's motion"),
        "tone": Limit(0.5, 0.75, 0.65),
        "contrast": Limit(0.0, 1.2, 0.9, "of the victim's"),
        "gloss": Limit(0.0, 0.8, 0.3),
        "scale": Limit(1.0, 1.1, 1.02, "of life size"),  # it covers a head
    },
)
