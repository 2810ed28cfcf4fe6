"""Nobody stands quite still: small sway and breath, and a turn of the head that takes its time."""

from dataclasses import fields

import numpy as np

from hil.sensor.scene import Pose

EASE_S = 0.4
# amplitude of quiet standing (a few mm at the head, under a degree), and the periods of its parts
_SWAY = Pose(x_mm=2.2, y_mm=1.4, z_mm=2.5, yaw_deg=0.8, pitch_deg=0.6, roll_deg=0.4)
_PERIODS_S = (7.3, 3.9, 1.7, 0.9)  # sway, breath, and faster corrections
_SHARE = (0.5, 0.3, 0.15, 0.05)


def sway(time_s: float, seed: int) -> Pose:
    """The involuntary part of a pose at `time_s`, smooth in time, different for every `seed`."""
    phases = np.random.default_rng([seed, 0x5A4]).uniform(0, 2 * np.pi, (len(fields(Pose)), len(_PERIODS_S)))
    waves = np.sin(2 * np.pi * time_s / np.array(_PERIODS_S) + phases) @ np.array(_SHARE)
    return Pose(
        **{field.name: getattr(_SWAY, field.name) * float(w) for field, w in zip(fields(Pose), waves, strict=True)}
    )


def eased(start: Pose, goal: Pose, elapsed_s: float) -> Pose:
    """Between `start` and `goal`, slow at both ends, arrived after `EASE_S`."""
    t = min(max(elapsed_s / EASE_S, 0.0), 1.0)
    share = t * t * (3 - 2 * t)
    between = {f.name: getattr(start, f.name) * (1 - share) + getattr(goal, f.name) * share for f in fields(Pose)}
    return Pose(**between)
