"""Rigid worn mask with living eyes: the victim's face as a painted shell, the wearer's eyes blinking behind it.

Blinks and gaze come free with it; the lower face cannot deform.
"""

from hil.artefacts.finish import layered, painted, scaled, skin_tone
from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.worn import cut, inside_face, outside_eyes, worn
from hil.people.actor import NEUTRAL, Actor
from hil.sensor.material import PAINT, RESIN_TRANSLUCENT
from hil.sensor.scene import Performance

PRESSING = 0.3  # of the shell's area: it is lined, and faces give way
BACK_MM = 60.0  # the shell ends here, before the ears


def worn_mask(
    victim: Actor,
    attacker: Attacker,
    hold: Hold,
    *,
    tone: float,
    contrast: float,
    paint: float,
    gloss: float,
    scale: float,
    eye_hole_mm: float,
    thickness_mm: float,
) -> Performance:
    """The mask on its wearer: resin under paint of opacity `paint`."""
    head = victim.head(NEUTRAL)
    coat = painted(head, skin_tone(head), tone, contrast, gloss, layered(RESIN_TRANSLUCENT, PAINT, paint))
    sized = scaled(coat, scale)
    points = head.landmarks * scale
    keep = (
        inside_face(sized.vertices_mm, points)
        & outside_eyes(sized.vertices_mm, points[:2], eye_hole_mm)
        & (sized.vertices_mm[:, 2] < BACK_MM)
    )
    return worn(cut(sized, keep), attacker, hold, PRESSING, thickness_mm)


RIGID_MASK = Species(
    name="rigid_mask",
    kind="partial",
    access="the shape of the face, and a near-infrared photograph",
    level="C",
    cost_eur=(50, 600),
    not_modelled="the inside of the shell and its edge, straps, layer lines, make-up that blends it into the face",
    make=worn_mask,
    shape={
        "tone": Limit(0.4, 0.8, 0.55),
        "contrast": Limit(0.0, 1.2, 0.9, "of the victim's"),
        "paint": Limit(0.0, 1.0, 1.0, "opacity"),
        "gloss": Limit(0.0, 0.9, 0.2),
        "scale": Limit(0.9, 1.2, 1.03, "of life size"),
        "eye_hole_mm": Limit(9, 20, 14, "mm half width"),
        "thickness_mm": Limit(1, 8, 2.5, "mm"),
    },
    worn=True,
)
