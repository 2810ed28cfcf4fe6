"""Do once at set-up what would otherwise delay the first frame: compile the pixel loops, parse MakeHuman's files.

Run as `python -m hil.sensor.warm_up`.
"""

import numpy as np

from hil.people import virtual_person
from hil.people.generators import make_actor
from hil.sensor.capture import render
from hil.sensor.cycle import take
from hil.sensor.presets import preset
from hil.sensor.scene import Placed, Pose, Scene


def warm_up() -> None:
    """Fill both caches on disk. Raises PeopleError where the data files are missing."""
    make_actor("makehuman", 0)
    standing = (Placed(virtual_person(0), Pose()),)
    render(Scene(standing), np.random.default_rng(0))
    take(lambda _: standing, 0.0, preset("structured-light", 640), np.random.default_rng(0))


if __name__ == "__main__":
    warm_up()
