"""What a search over one species may vary: the instrument, how it is held, whose likeness it is and who presents it.

Rules kept here:
- Parameters stay within their physical limits, whatever is proposed.
- Victims and wearers are MakeHuman adults of seeds that nothing else draws from: no training, no tuning, no evidence.
  Sensor and materials are those of the evidence, which nothing was tuned on: `held-out`, each victim before a module of
  its own, and the evaluation family.
- What is found here is reported, and tunes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from hil.artefacts.instrument import Species
from hil.evaluate.presentations import who
from hil.evaluate.shots import Shot

VICTIMS = range(6_000_000, 6_100_000)
WEARERS = range(6_100_000, 6_200_000)
ATTACKERS = range(1, 1_000_001)
"""Seeds of hand, workmanship, materials, noise and emitter code."""
FPS = 8.0
FRAMES = 96
"""Of one presentation at most: longer than a terminal looks."""


@dataclass(frozen=True)
class Cast:
    """Who is in it: seeds of the victim, of the attacker's hand and workmanship, and of whoever wears it."""

    victim: int
    attacker: int
    wearer: int | None = None


@dataclass(frozen=True)
class Space:
    """Everything that can be made of one species. A point of it is one number from 0 to 1 for each parameter."""

    species: Species

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return len(self.species.parameters)

    @property
    def typical(self) -> tuple[float, ...]:
        """The point that every parameter is typical at."""
        limits = self.species.parameters.values()
        return tuple((limit.typical - limit.low) / (limit.high - limit.low) for limit in limits)

    def cast(self, rng: np.random.Generator) -> Cast:
        """Draw who is in it."""
        wearer = _adult(WEARERS, rng) if self.species.worn else None
        return Cast(_adult(VICTIMS, rng), ATTACKERS[rng.integers(len(ATTACKERS))], wearer)

    def shot(self, point: Sequence[float], cast: Cast) -> Shot:
        """What is filmed at `point`; numbers outside 0 to 1 are taken to the nearest limit."""
        parameters = []
        for share, (name, limit) in zip(point, self.species.parameters.items(), strict=True):
            value = limit.low + min(max(float(share), 0.0), 1.0) * (limit.high - limit.low)
            parameters.append((name, min(max(float(round(value)) if limit.whole else value, limit.low), limit.high)))
        return Shot(
            person=cast.victim,
            seed=cast.attacker,
            species=self.species.name,
            parameters=tuple(parameters),
            wearer=cast.wearer,
            frames=FRAMES,
            fps=FPS,
        )


def _adult(seeds: range, rng: np.random.Generator) -> int:
    """Somebody who may pay, of the seeds from one drawn on; past the last come the first."""
    first = int(rng.integers(len(seeds)))
    return next(seed for n in count() if who(seed := seeds[(first + n) % len(seeds)]).grown)
