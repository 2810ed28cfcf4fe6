"""How often dots and off frames of an alternating D4xx are told apart: run `python -m hil.sensor.dots_or_off`.

How it is counted: every pair is a dots frame and an off frame, dark or lit by our board, of one rendered cycle of the
preset `d4xx` at 640 x 480, shown to `which_has_dots` in both orders. Metadata is not asked, so it cannot lie. Wrong is
worse than undecided: an undecided pair is dropped and counted. `flood` is the share of cycles whose flood and dark
frame `is_flood_lit` tells apart. Everybody here is made up; four of six have beards. The limits were set on seeds 11
to 16 and are counted on others.
"""

import json
from collections import Counter
from functools import lru_cache
from itertools import product

import msgspec
import numpy as np

from drivers.camera import CameraInfo, Emitter, FrameSet
from drivers.camera.realsense.alternation import is_flood_lit, which_has_dots
from hil.people.actor import NEUTRAL, Actor
from hil.people.generators import make_actor
from hil.people.living import Prompt, Timeline, performance
from hil.sensor.cycle import take
from hil.sensor.presets import Preset, preset
from hil.sensor.scene import Performance, Placed, Pose

SUBJECTS = ("living", "turning")
TURN_DEG_S = 60.0
GAP_US = 33_333  # from dots to off, at 30 frames a second
SEEDS = (31, 33, 42, 46, 50, 58)  # none, none, stubble, goatee, moustache, full beard
DISTANCES_MM = (300.0, 500.0, 1000.0)
COUNT = 2
_EVERY_NS = 66_666_667
_BEGIN_S = 0.3


def _with(sun: float = 0.0, dots: float = 1.0) -> Preset:
    base = preset("d4xx")
    return msgspec.structs.replace(
        base,
        ambient=msgspec.structs.replace(base.ambient, sun=sun),
        exposure_gap_us=GAP_US,
        projector=msgspec.structs.replace(base.projector, power_uw=base.projector.power_uw * dots),
    )


CONDITIONS = {
    "indoors": _with(),
    "sun 0.2": _with(sun=0.2),
    "sun 1": _with(sun=1.0),
    "dots at 20 %": _with(dots=0.2),
    "dots at 10 %": _with(dots=0.1),
    "sun 0.2, dots at 30 %": _with(sun=0.2, dots=0.3),
}


def frame_sets(subject: str, sensor: Preset, seed: int, distance_mm: float, count: int) -> list[FrameSet]:
    """Render `count` cycles, 15 a second, of one made-up person, living or turning the head."""
    actor = _actor(seed)
    living = performance(actor, Timeline(seed, (Prompt("smile", at_s=0.2),)), Pose(z_mm=distance_mm))
    still = actor.surfaces(NEUTRAL)

    def turning(time_s: float) -> tuple[Placed, ...]:
        pose = Pose(z_mm=distance_mm, yaw_deg=TURN_DEG_S * (abs((time_s % 2) - 1) - 0.5))
        return tuple(Placed(surface, pose) for surface in still)

    shown: Performance = living if subject == "living" else turning
    return [_frame_set(shown, sensor, seed, number) for number in range(count)]


@lru_cache(maxsize=16)
def _actor(seed: int) -> Actor:
    return make_actor("makehuman", seed)


def _frame_set(shown: Performance, sensor: Preset, seed: int, number: int) -> FrameSet:
    cycle = take(shown, _BEGIN_S + number * _EVERY_NS / 1e9, sensor, np.random.default_rng([seed, number]))
    return FrameSet(
        sequence=number,
        timestamp_ns=10**12 + number * _EVERY_NS,
        ir=cycle.ir,
        depth_mm=cycle.depth_mm,
        intrinsics=sensor.intrinsics,
        emitter=Emitter(flood=1.0, dots=1.0),
        exposure_us=cycle.exposure_us,
        gain=cycle.gain,
        camera=CameraInfo(serial="SIMULATED-D4XX", firmware="simulated", calibration_digest="simulated", flood=True),
        ambient=cycle.ambient,
        dots=cycle.dots,
    )


def measure() -> dict[str, dict[str, float]]:
    """Shares of pairs told right, wrong and not at all, and the number of pairs, by condition, subject and distance."""
    table = {}
    for (name, sensor), subject, distance_mm in product(CONDITIONS.items(), SUBJECTS, DISTANCES_MM):
        told: Counter[str] = Counter()
        flood = []
        for seed in SEEDS:
            for frames in frame_sets(subject, sensor, seed, distance_mm, COUNT):
                dots, dark, lit = (np.asarray(one, np.uint8) for one in (frames.dots, frames.ambient, frames.ir))
                flood.append(is_flood_lit(lit, dark) and not is_flood_lit(dark, lit))
                for off in (dark, lit):
                    told[_judged(which_has_dots(dots, off), "first")] += 1
                    told[_judged(which_has_dots(off, dots), "second")] += 1
        pairs = told.total()
        shares = {what: round(told[what] / pairs, 4) for what in ("right", "wrong", "undecided")}
        table[f"{name}, {subject} at {distance_mm / 1000:g} m"] = {
            **shares,
            "pairs": pairs,
            "flood": round(sum(flood) / len(flood), 4),
        }
    return table


def _judged(verdict: str, truth: str) -> str:
    if verdict in ("both", "neither"):
        return "undecided"
    return "right" if verdict == truth else "wrong"


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))  # noqa: T201
