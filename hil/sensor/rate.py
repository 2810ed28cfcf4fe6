"""How many FrameSets a second one core renders: run `python -m hil.sensor.rate`.

How it is counted: a FrameSet is a whole cycle of `hil.sensor.cycle.take` at 640 x 480: dark, flood and dot exposure,
each with its own light, lens blur, distortion, noise, read-out and rectification, and depth decoded from the dots by
the real decoder within 190 x 225 mm about the face (`d4xx`: by the stereo noise model over the whole image). CPU time
of this process, OpenCV on one thread, median of the cycles. One virtual person: standing, drawn once for the three
exposures since it moves less than a tenth of a pixel between them, and turning the head at 60 degrees a second, drawn
for each exposure.
"""

import json
import statistics
import time

import cv2
import numpy as np

from hil.people import virtual_person
from hil.sensor.cycle import take
from hil.sensor.motion import sway
from hil.sensor.presets import preset
from hil.sensor.scene import Performance, Placed, Pose

PERSON = 91
CYCLES = 40
EVERY_S = 1 / 15
TURN_DEG_S = 60.0


def measure() -> dict[str, dict[str, float]]:
    """FrameSets per second of CPU time, and the milliseconds one takes, by preset, distance and motion."""
    cv2.setNumThreads(1)
    person = virtual_person(PERSON)

    def standing(z_mm: float) -> Performance:
        return lambda time_s: (Placed(person, Pose(z_mm=z_mm).moved(sway(time_s, 0))),)

    def turning(time_s: float) -> tuple[Placed, ...]:
        yaw_deg = TURN_DEG_S * (abs((time_s % 2) - 1) - 0.5)
        return (Placed(person, Pose(z_mm=500, yaw_deg=yaw_deg)),)

    cases = {
        f"{name}, {what}": (name, performance)
        for name in ("structured-light", "d4xx")
        for what, performance in (
            ("standing at 0.5 m", standing(500)),
            ("standing at 0.8 m", standing(800)),
            ("standing at 0.35 m", standing(350)),
            ("turning at 0.5 m", turning),
        )
    }
    return {case: _cost(name, performance) for case, (name, performance) in cases.items()}


def _cost(name: str, performance: Performance) -> dict[str, float]:
    sensor, spent = preset(name), []
    take(performance, 0.0, sensor, np.random.default_rng(0))  # compiles, and takes the reference
    for cycle in range(CYCLES):
        before = time.process_time_ns()
        take(performance, cycle * EVERY_S, sensor, np.random.default_rng(cycle))
        spent.append((time.process_time_ns() - before) / 1e6)
    median_ms = statistics.median(spent)
    return {"framesets_per_s": round(1000 / median_ms, 1), "cpu_ms": round(median_ms, 1), "cycles": CYCLES}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))  # noqa: T201
