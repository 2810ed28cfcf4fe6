"""Who and what the evidence of motion rests on, as data: simulated presentations drawn before any was judged.

Rules kept here:
- People, instruments, materials and sensor are those of `protocol`, which no limit was chosen on, filmed for longer;
  and they hear the prompts that the terminal draws.
- A thing is held still, or turned and nodded all the time (`turned`): amounts and pace are those of people who are
  asked to turn (`living.toml`). A display is turned in the hand, a mask by who wears it. The first half of a species'
  pairs is held first and the second half turned first: whoever stops there has shown every pair once.
- james is one identity: his takes are counted, and make no rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from firmware.liveness.policy import PolicyName
from hil.evaluate.protocol import CELLS_MM, MANNEQUIN, NATURAL, Protocol
from hil.evaluate.shots import TURNS, Shot
from hil.people.living import Prompt

FPS, TURNED_FPS, LONG_FPS = 15.0, 10.0, 8.0
"""FrameSets a second: what a terminal gets; of what is turned, and of masks and resin, which are watched longest, what
a busy board still judges."""
FRAMES = 192
"""Of one presentation at most: longer than a terminal looks."""
PAUSE_S = (1.0, 2.5)
"""Between two turns of what is turned all the time."""
RIGID = ("printed_head_painted", "rigid_mask", "printed_head_bare", MANNEQUIN, "animated_photo")
"""Nothing of these may get in."""
SOFT = ("printed_head_translucent", "silicone_mask")
"""Not claimed."""
LONG = ("rigid_mask", *SOFT)
MOVING_JAMES, STILL_JAMES = "james, deformation transferred", "james, the scan at rest"
PEOPLE = "people"
ROUNDS = 6
_TURN, _JAMES = 0x7C21, 0x1A3E5

Manner = Literal["held", "turned"]
MANNERS: tuple[Manner, ...] = ("held", "turned")


@dataclass(frozen=True)
class Presented:
    """One presentation before one terminal.

    Attributes:
        row: of the report that it belongs to.
        shot: what is filmed.
        policy: that judges.
        motion_alone: whether it is also asked what motion decides without the cues.
    """

    row: str
    shot: Shot
    policy: PolicyName = "payment"
    motion_alone: bool = False


@dataclass(frozen=True)
class Moving:
    """How many of each, and of whom.

    Attributes:
        base: people and instruments; its pairs are those of every species here.
        soft: pairs of a species that is not claimed.
        watched: pairs of a species and manner that motion alone decides on, too.
        door: pairs of a species before a door.
        guests: people before a door.
        takes: of james, at rest and moving.
        frames: of a presentation at most.
    """

    base: Protocol
    soft: int = 60
    watched: int = 3
    door: int = 100
    guests: int = 102
    takes: int = 20
    frames: int = FRAMES

    @property
    def people(self) -> tuple[Presented, ...]:
        """The headline's adults before a terminal that takes payments."""
        return tuple(Presented(PEOPLE, self._filmed(shot)) for shot in self.base.headline.shots)

    @property
    def at_the_door(self) -> tuple[Presented, ...]:
        """Some of the same before a door."""
        return tuple(replace(one, policy="door") for one in self.people[: self.guests])

    @property
    def james(self) -> tuple[Presented, ...]:
        """The scan, at rest and moving."""
        moving = tuple(Presented(MOVING_JAMES, self._filmed(_james(place))) for place in range(self.takes))
        return (*moving, *(replace(one, row=STILL_JAMES, shot=replace(one.shot, still=True)) for one in moving))

    def pairs(self, species: str, manner: Manner, policy: PolicyName = "payment") -> tuple[Presented, ...]:
        """Of one species, a pair each."""
        count = self.door if policy == "door" else self.soft if species in SOFT else self.base.pairs
        watched = self.watched if policy == "payment" and species in RIGID else 0
        first = self._half if manner == "turned" else 0
        fps = LONG_FPS if policy == "payment" and species in LONG else FPS
        shots = (self._filmed(shot, fps) for shot in self._instruments[species][:count])
        return tuple(
            Presented(named(species, manner), _turned(shot, manner), policy, first <= place < first + watched)
            for place, shot in enumerate(shots)
        )

    @property
    def in_order(self) -> Iterator[tuple[Presented, ...]]:
        """All of it, every part of one row: people first, then in rounds, so that who stops early has some of each."""
        half = self._half
        held = [self.pairs(one, "held")[:half] for one in RIGID]
        turned = [self.pairs(one, "turned")[half:] for one in RIGID]

        def rounds(first: int, last: int) -> Iterator[tuple[Presented, ...]]:
            for turn in range(first, last):
                for one in (*held, *turned):
                    yield one[len(one) * turn // ROUNDS : len(one) * (turn + 1) // ROUNDS]

        yield self.people
        yield from rounds(0, ROUNDS // 2)
        yield from (self.james[: self.takes], self.james[self.takes :])
        yield from (self.pairs(species, "held") for species in SOFT)
        yield self.at_the_door
        yield from rounds(ROUNDS // 2, ROUNDS)
        yield from (self.pairs(species, "held", "door") for species in (*RIGID, *SOFT))
        yield from (self.pairs(species, "turned") for species in SOFT)
        for species in RIGID:
            yield self.pairs(species, "held")[half:]
            yield self.pairs(species, "turned")[:half]

    @property
    def _half(self) -> int:
        return (self.base.pairs + 1) // 2

    def _filmed(self, shot: Shot, fps: float = FPS) -> Shot:
        return replace(shot, fps=fps, frames=self.frames)

    @cached_property
    def _instruments(self) -> dict[str, tuple[Shot, ...]]:
        return {
            attack.species: tuple(shot for shot in attack.presented if isinstance(shot, Shot))
            for attack in (*self.base.flat, *self.base.bodies)
            if attack.species in (*RIGID, *SOFT)
        }


ALL = Moving(Protocol(pairs=300, solid=300))
FEW = Moving(
    Protocol(people=2, group=1, pairs=1, solid=1, seeds=range(700_000, 701_000)),
    soft=1,
    watched=0,
    door=0,
    takes=1,
    frames=2,
)
"""What CI runs: nothing of the evaluation, and no rate follows from it."""


def named(species: str, manner: Manner) -> str:
    """Of a row."""
    return f"{species}, {manner}"


def _turned(shot: Shot, manner: Manner) -> Shot:
    """Turned and nodded from before the first frame to after the last."""
    if manner == "held":
        return shot
    rng = np.random.default_rng([shot.person, shot.seed, _TURN])
    prompts, at_s = [], -float(rng.uniform(*PAUSE_S))
    while at_s < FRAMES / FPS:
        prompts.append(Prompt(TURNS[int(rng.integers(len(TURNS)))], at_s))
        at_s += float(rng.uniform(*PAUSE_S))
    return replace(shot, fps=min(shot.fps, TURNED_FPS), prompts=tuple(prompts))


def _james(place: int) -> Shot:
    """A take of his, standing as the headline's people do, before a module of its own."""
    rng = np.random.default_rng([place, _JAMES])
    near, far = CELLS_MM[place % len(CELLS_MM)]
    parameters = {"distance_mm": float(rng.uniform(near, far))}
    for name, (sigma, most) in NATURAL.items():
        parameters[name] = float(np.clip(rng.normal(0, sigma), -most, most))
    return Shot(place, 1, generator="james", parameters=tuple(parameters.items()))
