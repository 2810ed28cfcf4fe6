"""Do once at set-up what would otherwise delay the first frame: compile the pixel loops, parse MakeHuman's files.

Run as `python -m hil.sensor.warm_up`.
"""

import numpy as np

from hil.people import virtual_person
from hil.sensor.capture import render
from hil.sensor.scene import Placed, Pose, Scene


def warm_up() -> None:
    """Fill both caches on disk. Raises PeopleError where the data files are missing."""
    render(Scene((Placed(virtual_person(0), Pose()),)), np.random.default_rng(0))


if __name__ == "__main__":
    warm_up()
