"""Mannequin: a head in the victim's shape, all of one light paint. Its features are relief only."""

from hil.artefacts.finish import plain, scaled, solid
from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.people.actor import NEUTRAL, Actor
from hil.sensor.material import PAINT
from hil.sensor.scene import Performance, Placed


def on_a_stick(
    victim: Actor, attacker: Attacker, hold: Hold, *, albedo: float, gloss: float, scale: float
) -> Performance:
    """The head, turned by hand when turning is asked for."""
    parts = tuple(scaled(plain(part, albedo, gloss, PAINT), scale) for part in solid(victim.surfaces(NEUTRAL)))

    def at(time_s: float) -> tuple[Placed, ...]:
        _, pose = attacker.act(hold, time_s)
        return tuple(Placed(part, pose) for part in parts)

    return at


MANNEQUIN = Species(
    name="mannequin",
    kind="complete",
    access="the shape of the head, or one like it",
    level="B",
    cost_eur=(30, 300),
    not_modelled="seams, glass eyes, wigs, a near-infrared projector that throws a face on it",
    make=on_a_stick,
    shape={
        "albedo": Limit(0.4, 0.88, 0.78),  # titanium white paint at most
        "gloss": Limit(0, 0.9, 0.2),
        "scale": Limit(0.85, 1.15, 1.0, "of life size"),
    },
    rigid=True,
)
