"""Who and what the liveness evidence rests on, as data: sets of simulated presentations, drawn before any was judged.

Rules kept here:
- Nothing that any limit or cue was fitted on: MakeHuman people of evaluation seeds, the sensor `held-out`, the
  evaluation family of materials; species are left out in turn where cues are fitted (`--leave-out`).
- The headline's people differ in everything at once. Every other set of people changes one thing about the first of
  them, who stand and move as they do in the headline.
- Instruments are drawn evenly within their species' limits, except where size alone would decide (`NARROWED`).
- A pair is one victim and one instrument made of them: presented once. Pairs are counted, never frames.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from math import ceil

import numpy as np

from firmware.core.session import REFUSE_AFTER
from hil.artefacts.instrument import Limit
from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.evaluate.presentations import who
from hil.evaluate.shots import Shot
from hil.people.generators import EVALUATION_SEEDS
from hil.people.sliders import Wearable

CELLS_MM = ((320.0, 400.0), (400.0, 500.0), (500.0, 600.0), (600.0, 700.0), (700.0, 800.0))
"""Of distance; nearer than 320 mm the terminal asks to step back."""
FAR_CELLS_MM = ((800.0, 900.0), (900.0, 1000.0))
NATURAL = {
    "yaw_deg": (7.0, 14.0),
    "pitch_deg": (5.0, 10.0),
}  # standard deviation and most, of who looks at the terminal
SUNS = (1.0, 2.0, 5.0)
MAX_START = 3  # frames that a replayed recording is begun later: longer would leave too few to answer a code
LIVING_AT_MOST = (
    6  # frames at a time of a splice: with one more, a living person has answered the short code by himself
)
DELAYS = (0, 1, 2)
STREAMED = 20
"""Frames of a session that are recorded, and fed into another."""

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


@dataclass(frozen=True)
class Protocol:
    """How many of each, and of whom.

    Attributes:
        people: adults of the headline.
        group: people of every other set of people.
        pairs: of a flat species, the mannequin or a recorded stream.
        solid: pairs of a head or mask, and of relit streams.
        seeds: that people are drawn from.
    """

    people: int = 510
    group: int = 102
    pairs: int = 300
    solid: int = 100
    seeds: range = EVALUATION_SEEDS

    @cached_property
    def adults(self) -> tuple[int, ...]:
        """Seeds of the headline's people."""
        return tuple(islice((seed for seed in self.seeds if who(seed).grown), self.people))

    @cached_property
    def minors(self) -> tuple[int, ...]:
        """Seeds of the children and adolescents."""
        return tuple(islice((seed for seed in self.seeds if not who(seed).grown), self.group))

    @cached_property
    def headline(self) -> People:
        """Adults at every distance of `CELLS_MM` alike, half of them speaking."""
        shots = tuple(_living(seed, place) for place, seed in enumerate(self.adults))
        return People("headline", "adults, 0.32 to 0.80 m, looking at the terminal, half of them speaking", shots)

    @cached_property
    def groups(self) -> tuple[People, ...]:
        """Every other set of people."""
        first = self.headline.shots[: self.group]

        def wearing(name: str, about: str, *things: Wearable) -> People:
            worn = tuple(replace(shot, worn=(things[n % len(things)],)) for n, shot in enumerate(first))
            return People(name, about, worn)

        def standing(name: str, about: str, parameter: str, low: float, high: float, either: bool) -> People:
            return People(name, about, tuple(_moved(shot, parameter, low, high, either) for shot in first))

        return (
            People("children", "4 to 17 years", tuple(_living(seed, n) for n, seed in enumerate(self.minors))),
            wearing("glasses", "clear lenses: what their frame costs", "glasses"),
            *(
                People(f"sun {sun:g}", "times the flood at 0.5 m", tuple(replace(shot, sun=sun) for shot in first))
                for sun in SUNS
            ),
            *(
                standing(f"{near / 1000:.1f}-{far / 1000:.1f} m", "farther away", "distance_mm", near, far, False)
                for near, far in FAR_CELLS_MM
            ),
            standing("yaw 15-25", "degrees to one side", "yaw_deg", 15.0, 25.0, True),
            standing("pitch 10-20", "degrees up or down", "pitch_deg", 10.0, 20.0, True),
            wearing("hats", "caps and beanies in turn", "cap", "beanie"),
            wearing("sunglasses", "drawn opaque, the worst case", "sunglasses"),
            wearing("masks", "cloth over mouth and nose", "mask"),
        )

    @cached_property
    def flat(self) -> tuple[Attack, ...]:
        """The two-dimensional species and the mannequin: zero accepted is asked for."""
        return tuple(self._attack(name, self.pairs) for name in (*FLAT, MANNEQUIN))

    @cached_property
    def bodies(self) -> tuple[Attack, ...]:
        """Heads and masks, which static evidence cannot be expected to stop."""
        return tuple(self._attack(name, self.solid) for name in SOLID)

    @cached_property
    def streams(self) -> tuple[Attack, ...]:
        """Recorded streams: the headline's people, each fed into the session of the next: zero is asked for."""
        return tuple(Attack(name, name, tuple(self._fed(n, name) for n in range(self.pairs))) for name in RECORDED)

    @cached_property
    def relit(self) -> tuple[Attack, ...]:
        """Recordings lit anew, by how many frames late the light is known."""
        return tuple(
            Attack(f"{RELIT}, {delay} late", RELIT, tuple(self._fed(n, RELIT, delay) for n in range(self.solid)))
            for delay in DELAYS
        )

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """All of them."""
        return (*self.flat, *self.bodies, *self.streams, *self.relit)

    def ahead(self, long: int, short: int) -> Iterator[tuple[Shot, int]]:
        """Every shot and how many of its frames to film before anything is judged; one person's follow each other.

        What is flat or one plain paint is mostly refused early, and so is a covered face: more is filmed if asked for.

        Args:
            long: frames that a decision takes under the long code, of somebody nothing speaks against.
            short: the same under the short code.
        """
        for place, shot in enumerate(self.headline.shots):
            yield shot, long
            if place < self.pairs:
                yield from ((_shot(attack.presented[place]), REFUSE_AFTER) for attack in self.flat)
        *open_faced, hats, sunglasses, masks = self.groups
        for people in open_faced:
            yield from ((shot, short) for shot in people.shots)
        for place in range(self.solid):
            yield from ((_shot(attack.presented[place]), long) for attack in self.bodies)
        for people, frames in ((hats, short), (sunglasses, REFUSE_AFTER), (masks, REFUSE_AFTER)):
            yield from ((shot, frames) for shot in people.shots)

    def _attack(self, name: str, pairs: int) -> Attack:
        return Attack(name, name, tuple(self._instrument(name, place) for place in range(pairs)))

    def _instrument(self, name: str, place: int) -> Shot:
        species, victim = SPECIES[name], self.adults[place]
        rng = np.random.default_rng([victim, _MAKE, *name.encode()])
        parameters = {key: drawn(limit, rng, NARROWED.get(key)) for key, limit in species.shape.items()}
        parameters |= {key: float(rng.uniform(*held)) for key, held in HELD.items()}
        wearer = self.adults[(place + 1) % self.people] if species.worn else None
        seed = _MAKE + sorted(SPECIES).index(name)
        return Shot(person=victim, seed=seed, species=name, parameters=tuple(parameters.items()), wearer=wearer)

    def _fed(self, place: int, name: str, delay: int | None = None) -> Fed:
        shots = self.headline.shots
        rng = np.random.default_rng([place, _STREAM, *name.encode()])
        parameters = _fed_with(name, rng)
        while not _mixed(parameters):
            parameters = _fed_with(name, rng)
        if delay is not None:
            parameters["delay_frames"] = float(delay)
        return Fed(shots[place], shots[(place + 1) % self.people], name, tuple(parameters.items()))


WHOLE = Protocol()
SAMPLE = Protocol(people=2, group=1, pairs=1, solid=1, seeds=range(700_000, 701_000))
"""What CI runs: nothing of the evaluation, and no rate follows from it."""


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


def _fed_with(name: str, rng: np.random.Generator) -> dict[str, float]:
    limits = STREAMS[name].parameters.items()
    return {key: drawn(limit, rng, (0, MAX_START) if key == "start" else None) for key, limit in limits}


def _mixed(parameters: Mapping[str, float]) -> bool:
    """Whether, if they are of a splice, every turn has something recorded in it and little that lives."""
    if "live_share" not in parameters:
        return True
    part = max(1, round(STREAMED / parameters["turns"]))
    return ceil(parameters["live_share"] * part) <= min(part - 1, LIVING_AT_MOST)


def drawn(limit: Limit, rng: np.random.Generator, narrowed: tuple[float, float] | None = None) -> float:
    """A possible value, evenly."""
    low, high = limit.low, limit.high
    if narrowed is not None:
        low, high = max(low, narrowed[0]), min(high, narrowed[1])
    return float(rng.integers(int(low), int(high) + 1) if limit.whole else rng.uniform(low, high))
