"""Where to look next: rounds of trying widely, and of closing in on the best by CMA-ES (Hansen), without gradients.

A round tries `TRIED` presentations, each with a cast of its own: the first as is typical, half of the others near that,
the rest anywhere. From the best of them on the cast stays, and CMA-ES moves the parameters; when it has converged, or
`STALE` generations have found nothing better, the next round begins.

Rules kept here:
- What is proposed follows from the species, the seed and the scores alone: a search that was cut short is taken up by
  telling it the scores it had. Nothing depends on how long it will be.
"""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from hil.evaluate.shots import Shot
from hil.rig.attack_space import Cast, Space

TRIED = 8
NEAR = 0.15  # standard deviation about what is typical, as a share of the range
STEP = 0.15  # of CMA-ES at the start, the same
GENERATION = 6
STALE = 4

Proposals = Generator[Shot, float, None]


def proposals(space: Space, seed: int) -> Proposals:
    """Yield what to present next; send its score, larger is nearer to being accepted. It never ends."""
    rng = np.random.default_rng([seed, *space.species.name.encode()])
    while True:
        point, cast, score = yield from _widely(space, rng)
        yield from _closing_in(space, rng, point, cast, score)


def _widely(space: Space, rng: np.random.Generator) -> Generator[Shot, float, tuple[NDArray[np.float64], Cast, float]]:
    tried: list[tuple[NDArray[np.float64], Cast, float]] = []
    typical = np.array(space.typical)
    for number in range(TRIED):
        near = np.clip(rng.normal(typical, NEAR), 0, 1) if number else typical
        point, cast = near if number % 2 == 0 else rng.random(space.size), space.cast(rng)
        tried.append((point, cast, (yield space.shot(point.tolist(), cast))))
    return max(tried, key=lambda one: one[2])


def _closing_in(
    space: Space, rng: np.random.Generator, point: NDArray[np.float64], cast: Cast, best: float
) -> Proposals:
    import cma  # takes a second, and `tessera rig` has other commands

    options = {
        "bounds": [0, 1],
        "popsize": GENERATION,
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": float("nan"),  # none: `randn` draws
        "verbose": -10,  # nor does it read a file of signals from wherever it is run
        "verb_log": 0,
    }
    strategy = cma.CMAEvolutionStrategy(point, STEP, options)
    stale = 0
    while not strategy.stop() and stale < STALE:
        asked = strategy.ask()
        scores: list[float] = []
        for one in asked:
            scores += ((yield space.shot(one.tolist(), cast)),)
        strategy.tell(asked, [-score for score in scores])
        stale = 0 if max(scores) > best else stale + 1
        best = max(best, *scores)
