"""3D-printed head: opaque and painted, opaque and bare, or of translucent resin. The blind spot of static 3D sensing.

Painted in near-infrared reflectance it has the victim's shape and picture; in translucent resin its dots spread as
they do in skin. What it cannot do is deform.
"""

from hil.artefacts.finish import layered, painted, plain, scaled, skin_tone, solid
from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.people.actor import NEUTRAL, Actor
from hil.sensor.material import PAINT, PLASTIC_OPAQUE, RESIN_TRANSLUCENT
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import Surface

SCALE = Limit(0.85, 1.15, 1.0, "of life size")
GLOSS = Limit(0.0, 0.9, 0.2)
CONTRAST = Limit(0.0, 1.2, 0.9, "of the victim's")
_SCAN = "the shape of the head, from a scan or many photographs"


def turned(parts: tuple[Surface, ...], scale: float, attacker: Attacker, hold: Hold) -> Performance:
    """A rigid head on a stick, turned by hand when turning is asked for."""
    sized = tuple(scaled(part, scale) for part in parts)

    def at(time_s: float) -> tuple[Placed, ...]:
        _, pose = attacker.act(hold, time_s)
        return tuple(Placed(part, pose) for part in sized)

    return at


def opaque_painted(
    victim: Actor, attacker: Attacker, hold: Hold, *, tone: float, contrast: float, gloss: float, scale: float
) -> Performance:
    """Paint mixed to reflect as skin does, in the victim's pattern."""
    own = skin_tone(victim.head(NEUTRAL))
    parts = tuple(painted(part, own, tone, contrast, gloss, PAINT) for part in solid(victim.surfaces(NEUTRAL)))
    return turned(parts, scale, attacker, hold)


def opaque_bare(
    victim: Actor, attacker: Attacker, hold: Hold, *, albedo: float, gloss: float, scale: float
) -> Performance:
    """As it comes from the printer."""
    parts = tuple(plain(part, albedo, gloss, PLASTIC_OPAQUE) for part in solid(victim.surfaces(NEUTRAL)))
    return turned(parts, scale, attacker, hold)


def translucent(
    victim: Actor,
    attacker: Attacker,
    hold: Hold,
    *,
    tone: float,
    contrast: float,
    paint: float,
    gloss: float,
    scale: float,
) -> Performance:
    """Resin, under a wash of paint of opacity `paint` that carries the victim's pattern."""
    own = skin_tone(victim.head(NEUTRAL))
    body = layered(RESIN_TRANSLUCENT, PAINT, paint)
    parts = tuple(painted(part, own, tone, contrast, gloss, body) for part in solid(victim.surfaces(NEUTRAL)))
    return turned(parts, scale, attacker, hold)


HEAD_PAINTED = Species(
    name="printed_head_painted",
    kind="complete",
    access=f"{_SCAN}, and a near-infrared photograph",
    level="C",
    cost_eur=(100, 1000),
    not_modelled="layer lines, brush strokes, set-in glass eyes, implanted hair",
    make=opaque_painted,
    shape={"tone": Limit(0.4, 0.7, 0.55), "contrast": CONTRAST, "gloss": GLOSS, "scale": SCALE},
    rigid=True,
)

HEAD_BARE = Species(
    name="printed_head_bare",
    kind="complete",
    access=_SCAN,
    level="B",
    cost_eur=(30, 400),
    not_modelled="layer lines, colours of filament that absorb in the near infrared unevenly",
    make=opaque_bare,
    shape={"albedo": Limit(0.3, 0.85, 0.78), "gloss": GLOSS, "scale": SCALE},
    rigid=True,
)

HEAD_TRANSLUCENT = Species(
    name="printed_head_translucent",
    kind="complete",
    access=f"{_SCAN}, and a near-infrared photograph",
    level="C",
    cost_eur=(200, 2000),
    not_modelled="light that crosses thin parts (nose, ears), spread that depends on thickness, layer lines",
    make=translucent,
    shape={
        "tone": Limit(0.4, 0.65, 0.46),
        "contrast": CONTRAST,
        "paint": Limit(0.0, 0.6, 0.15, "opacity"),
        "gloss": GLOSS,
        "scale": SCALE,
    },
    rigid=True,
)
