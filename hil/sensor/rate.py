"""How many FrameSets a second one core renders: run `python -m hil.sensor.rate`.

How it is counted: a FrameSet is a whole cycle of `hil.sensor.cycle.take` at 640 x 480: dark, flood and dot exposure,
each with its own light, lens blur, distortion, noise, read-out and rectification, and depth decoded from the dots by
the real decoder within 190 x 225 mm about the face (`d4xx`: by the stereo noise model over the whole image). Cycles
at 15 a second of the scene's time, divided by the CPU time of this process, OpenCV on one thread. The person, an
actor of the demo's generator with hair and shoulders, breathes, sways, blinks, looks about and is asked to smile;
while it moves less than a tenth of a pixel between two exposures, all three are drawn from one view. The turning head
moves 60 degrees a second and is drawn anew for each.
"""

import json
import statistics
import time

import cv2
import numpy as np

from hil.people.actor import NEUTRAL
from hil.people.generators import make_actor
from hil.people.living import Prompt, Timeline, performance
from hil.sensor.cycle import take
from hil.sensor.presets import preset
from hil.sensor.scene import Performance, Placed, Pose

PERSON = 91
CYCLES = 45
EVERY_S = 1 / 15
TURN_DEG_S = 60.0


def measure() -> dict[str, dict[str, float]]:
    """FrameSets per second of CPU time, and the milliseconds one takes, by preset, distance and motion."""
    cv2.setNumThreads(1)
    actor, timeline = make_actor("makehuman", PERSON), Timeline(PERSON, (Prompt("smile", at_s=1.0),))
    still = actor.surfaces(NEUTRAL)

    def turning(time_s: float) -> tuple[Placed, ...]:
        pose = Pose(z_mm=500, yaw_deg=TURN_DEG_S * (abs((time_s % 2) - 1) - 0.5))
        return tuple(Placed(surface, pose) for surface in still)

    scenes = {f"living at {z_mm / 1000:g} m": performance(actor, timeline, Pose(z_mm=z_mm)) for z_mm in (350, 500, 800)}
    scenes["turning at 0.5 m"] = turning
    return {
        f"{name}, {what}": _cost(name, scene) for name in ("structured-light", "d4xx") for what, scene in scenes.items()
    }


def _cost(name: str, scene: Performance) -> dict[str, float]:
    sensor, spent_ms = preset(name), []
    take(scene, 0.0, sensor, np.random.default_rng(0))  # compiles, and takes the reference
    for cycle in range(CYCLES):
        before = time.process_time_ns()
        take(scene, cycle * EVERY_S, sensor, np.random.default_rng(cycle))
        spent_ms.append((time.process_time_ns() - before) / 1e6)
    return {
        "framesets_per_s": round(1000 * CYCLES / sum(spent_ms), 1),
        "median_ms": round(statistics.median(spent_ms), 1),
        "p95_ms": round(float(np.percentile(spent_ms, 95)), 1),
        "cycles": CYCLES,
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))  # noqa: T201
