"""Who and what the liveness evidence rests on, as data: sets of simulated presentations, drawn before any was judged.

Rules kept here:
- Nothing that any limit or cue was fitted on: MakeHuman people of evaluation seeds, the sensor `held-out`, the
  evaluation family of materials; species are left out in turn where cues are fitted (`--leave-out`).
- The headline's people differ in everything at once. Every other set of people changes one thing about the first of
  them, who stand and move as they do in the headline.
- Instruments are drawn evenly within their species' limits, except where size alone would decide (`NARROWED`).
- A pair is one victim and one instrument made of them: presented once. Pairs are counted, never frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

import numpy as np

from firmware.core.session import REFUSE_AFTER
from hil.artefacts.instrument import Limit
from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.evaluate.presentations import who
from hil.evaluate.shots import Shot
from hil.people.generators import EVALUATION_SEEDS

PEOPLE = 510
GROUP = 102
PAIRS = 300
SOLID_PAIRS = 100
CELLS_MM = ((320.0, 400.0), (400.0, 500.0), (500.0, 600.0), (600.0, 700.0), (700.0, 800.0))
"""Of distance; nearer than 320 mm the terminal asks to step back."""
FAR_CELLS_MM = ((800.0, 900.0), (900.0, 1000.0))
NATURAL = {
    "yaw_deg": (7.0, 14.0),
    "pitch_deg": (5.0, 10.0),
}  # standard deviation and most, of who looks at the terminal
SUNS = (1.0, 2.0, 5.0)
MAX_START = 3  # frames that a replayed recording is begun later: longer would leave too few to answer a code
DELAYS = (0, 1, 2)

FLAT = (
    "flat_print_toner", "flat_print_dye", "bent_print", "folded_print", "touched_print",
    "cutout_print", "glossy_print", "lcd_replay", "oled_replay", "animated_photo",
)  # fmt: skip
MANNEQUIN = "mannequin"
SOLID = (
    "printed_head_painted", "printed_head_bare", "printed_head_translucent", "rigid_mask", "silicone_mask",
)  # fmt: skip
RECORDED = ("replayed_session", "cloned_serial", "spliced")
RELIT = "relit"

HELD = {"distance_mm": (320.0, 800.0), "yaw_deg": (-10.0, 10.0), "pitch_deg": (-8.0, 8.0), "unsteady": (0.3, 1.5)}
NARROWED = {"scale": (0.9, 1.1), "width_mm": (120.0, 400.0)}
"""Size, so that the metric gates alone do not decide: within a tenth of life size, and screens that hold a face."""
_HEADLINE_SEED, _HOLD, _MAKE, _STREAM = 1, 0x401D, 0x3AC3, 0x57E4


@dataclass(frozen=True)
class People:
    """A set of bona fide presentations.

    Attributes:
        name: of the row.
        about: what is particular about them, in words.
        shots: one of each person.
    """

    name: str
    about: str
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Fed:
    """A stream injected: `past` is the victim's session recorded once, `live` the session it goes into."""

    past: Shot
    live: Shot
    stream: str
    parameters: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Attack:
    """A set of attacks of one species, one a pair.

    Attributes:
        name: of the species or stream, with what is particular where that is reported apart.
        species: of `SPECIES` or `STREAMS`.
        presented: shots or injected streams.
    """

    name: str
    species: str
    presented: tuple[Shot, ...] | tuple[Fed, ...]

    @property
    def identities(self) -> int:
        """Distinct victims."""
        return len({(one.past if isinstance(one, Fed) else one).person for one in self.presented})


@cache
def adults() -> tuple[int, ...]:
    """Seeds of the headline's people."""
    return tuple(islice((seed for seed in EVALUATION_SEEDS if who(seed).grown), PEOPLE))


@cache
def minors() -> tuple[int, ...]:
    """Seeds of the children and adolescents."""
    return tuple(islice((seed for seed in EVALUATION_SEEDS if not who(seed).grown), GROUP))


@cache
def headline() -> People:
    """Adults at every distance of `CELLS_MM` alike, half of them speaking."""
    shots = tuple(_living(seed, place) for place, seed in enumerate(adults()))
    return People("headline", "adults, 0.32 to 0.80 m, looking at the terminal, half of them speaking", shots)


@cache
def groups() -> tuple[People, ...]:
    """Every other set of people."""
    first = headline().shots[:GROUP]

    def differ(name: str, about: str, **changed: object) -> People:
        return People(name, about, tuple(replace(shot, **changed) for shot in first))  # type: ignore[arg-type]

    def stand(name: str, about: str, parameter: str, low: float, high: float, either: bool) -> People:
        return People(name, about, tuple(_moved(shot, parameter, low, high, either) for shot in first))

    return (
        People("children", "4 to 17 years", tuple(_living(seed, place) for place, seed in enumerate(minors()))),
        differ("glasses", "clear lenses: their frame", worn=("glasses",)),
        *(differ(f"sun {sun:g}", f"sun {sun:g} times the flood at 0.5 m", sun=sun) for sun in SUNS),
        *(
            stand(f"{near / 1000:.1f}-{far / 1000:.1f} m", "standing farther away", "distance_mm", near, far, False)
            for near, far in FAR_CELLS_MM
        ),
        stand("yaw 15-25", "turned to one side", "yaw_deg", 15.0, 25.0, True),
        stand("pitch 10-20", "looking up or down", "pitch_deg", 10.0, 20.0, True),
        differ("sunglasses", "drawn opaque, the worst case", worn=("sunglasses",)),
        differ("mask", "cloth over mouth and nose", worn=("mask",)),
        People(
            "hats", "caps and beanies in turn",
            tuple(replace(shot, worn=(("cap", "beanie")[n % 2],)) for n, shot in enumerate(first)),
        ),
    )  # fmt: skip


@cache
def flat_attacks() -> tuple[Attack, ...]:
    """The two-dimensional species and the mannequin: zero accepted is asked for."""
    return tuple(_attack(name, PAIRS) for name in (*FLAT, MANNEQUIN))


@cache
def solid_attacks() -> tuple[Attack, ...]:
    """Heads and masks, which static evidence cannot be expected to stop."""
    return tuple(_attack(name, SOLID_PAIRS) for name in SOLID)


@cache
def streams() -> tuple[Attack, ...]:
    """Recorded streams: the first frames of the headline's people, fed into the session of the next of them."""
    return tuple(Attack(name, name, tuple(_fed(n, name) for n in range(PAIRS))) for name in RECORDED)


@cache
def relit() -> tuple[Attack, ...]:
    """Recordings lit anew, by how late the light is known."""
    return tuple(
        Attack(
            f"{RELIT}, {delay} late",
            RELIT,
            tuple(replace(_fed(n, RELIT), parameters=(("delay_frames", float(delay)),)) for n in range(PAIRS)),
        )
        for delay in DELAYS
    )


def ahead(wanted: int) -> Iterator[tuple[Shot, int]]:
    """Every shot and how many of its frames to film before anything is judged; one person's follow each other.

    Args:
        wanted: frames that a decision takes of somebody nothing speaks against; what is flat is mostly refused before.
    """
    flat = {attack.name: attack.presented for attack in flat_attacks()}
    for place, shot in enumerate(headline().shots):
        yield shot, wanted
        for name, presented in flat.items():
            if place < len(presented):
                yield _shot(presented[place]), wanted if name == MANNEQUIN else REFUSE_AFTER
    for people in groups():
        for shot in people.shots:
            yield shot, wanted
    for one in zip(*(attack.presented for attack in solid_attacks()), strict=True):
        for presented_one in one:
            yield _shot(presented_one), wanted


def _shot(one: Shot | Fed) -> Shot:
    return one.live if isinstance(one, Fed) else one


def _living(seed: int, place: int) -> Shot:
    rng = np.random.default_rng([seed, _HOLD])
    near, far = CELLS_MM[place % len(CELLS_MM)]
    parameters = {"distance_mm": float(rng.uniform(near, far))}
    for name, (sigma, most) in NATURAL.items():
        parameters[name] = float(np.clip(rng.normal(0, sigma), -most, most))
    return Shot(
        person=seed,
        seed=_HEADLINE_SEED,
        parameters=tuple(parameters.items()),
        talking=place // len(CELLS_MM) % 2 == 1,
    )


def _moved(shot: Shot, parameter: str, low: float, high: float, either: bool) -> Shot:
    rng = np.random.default_rng([shot.person, _HOLD, *parameter.encode(), round(low)])
    value = float(rng.uniform(low, high)) * (float(rng.choice([-1, 1])) if either else 1)
    return replace(shot, parameters=tuple({**dict(shot.parameters), parameter: value}.items()))


def _attack(name: str, pairs: int) -> Attack:
    return Attack(name, name, tuple(_instrument(name, place) for place in range(pairs)))


def _instrument(name: str, place: int) -> Shot:
    species, victim = SPECIES[name], adults()[place]
    rng = np.random.default_rng([victim, _MAKE, *name.encode()])
    parameters = {key: drawn(limit, rng, NARROWED.get(key)) for key, limit in species.shape.items()}
    parameters |= {key: float(rng.uniform(*held)) for key, held in HELD.items()}
    wearer = adults()[(place + 1) % PEOPLE] if species.worn else None
    seed = _MAKE + sorted(SPECIES).index(name)
    return Shot(person=victim, seed=seed, species=name, parameters=tuple(parameters.items()), wearer=wearer)


def drawn(limit: Limit, rng: np.random.Generator, narrowed: tuple[float, float] | None = None) -> float:
    """A possible value, evenly."""
    low, high = limit.low, limit.high
    if narrowed is not None:
        low, high = max(low, narrowed[0]), min(high, narrowed[1])
    return float(rng.integers(int(low), int(high) + 1) if limit.whole else rng.uniform(low, high))


def _fed(place: int, name: str) -> Fed:
    shots = headline().shots
    rng = np.random.default_rng([place, _STREAM, *name.encode()])
    parameters = {key: drawn(limit, rng, (0, MAX_START) if key == "start" else None)
                  for key, limit in STREAMS[name].parameters.items()}  # fmt: skip
    return Fed(shots[place], shots[place + 1], name, tuple(parameters.items()))
