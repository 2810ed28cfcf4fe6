"""What an expression frame costs: `python -m hil.people.pace`. Surfaces and normals, CPU time of one thread."""

import sys
import time

import numpy as np

from hil.people.actor import Actor, Expression
from hil.people.generators import GENERATORS, make_actor
from hil.people.ict import data_dir_of
from hil.people.transfer import moving_james

FRAMES = 60


def frame_ms(actor: Actor) -> float:
    """Median milliseconds of one expression of somebody talking, smiling and blinking."""
    taken = []
    for n in range(FRAMES + 1):
        face = Expression(smile=0.3 + n / 100, mouth_open=0.3, lips_wide=0.2, blink_left=0.4, blink_right=0.4)
        start = time.thread_time()
        actor.surfaces(face)
        taken.append(time.thread_time() - start)
    return float(np.median(taken[1:]) * 1000)  # the first compiles


def main() -> None:
    """Print one line an actor."""
    actors = [make_actor(generator, 5, worn=worn) for generator in GENERATORS for worn in ((), ("glasses", "mask"))]
    for actor in (*actors, moving_james(data_dir_of())):
        sys.stdout.write(f"{actor.name:12} {len(actor.surfaces(Expression())):2} surfaces {frame_ms(actor):6.2f} ms\n")


if __name__ == "__main__":
    main()
