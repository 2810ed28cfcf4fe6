"""Rendered people for the workshop: who they are, how they stand, what the virtual sensor sees of them.

Seeds start at a million: the demo and the tests use people below 100,000, so nothing is measured on whom it is shown.
"""

from collections.abc import Iterator

import numpy as np

from drivers.camera.interface import CameraInfo, Emitter, FrameSet
from hil.people import Head, virtual_person
from hil.sensor.capture import render
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene

MEAN_PEOPLE = range(1_000_000, 1_000_060)
SCORED_PEOPLE = range(1_010_000, 1_010_340)
RANGE_PEOPLE = range(1_020_000, 1_020_060)
AGREEMENT_PEOPLE = range(1_030_000, 1_030_050)

_CAMERA = CameraInfo(serial="workshop", firmware="", calibration_digest="reference lens", flood=True)

ENROLMENT = (
    Pose(z_mm=450),
    Pose(z_mm=470, yaw_deg=-15),
    Pose(z_mm=470, yaw_deg=15),
    Pose(z_mm=450, pitch_deg=-10),
    Pose(z_mm=450, pitch_deg=10),
)
"""The five guided poses."""


def probe_pose(rng: np.random.Generator) -> Pose:
    """Draw how a customer stands: anywhere in most of the capture volume, roughly frontal."""
    return Pose(
        x_mm=float(rng.uniform(-40, 40)),
        y_mm=float(rng.uniform(-30, 30)),
        z_mm=float(rng.uniform(380, 850)),
        yaw_deg=float(rng.normal(0, 7)),
        pitch_deg=float(rng.normal(0, 5)),
        roll_deg=float(rng.normal(0, 4)),
    )


def look(head: Head, pose: Pose, rng: np.random.Generator) -> FrameSet:
    """Return one frame of a head at a pose."""
    ir, depth_mm = render(Scene((Placed(head, pose),)), rng)
    return FrameSet(
        sequence=0,
        timestamp_ns=0,
        ir=ir,
        depth_mm=depth_mm,
        intrinsics=INTRINSICS,
        emitter=Emitter(flood=1.0, dots=1.0),
        exposure_us=1000,
        gain=1.0,
        camera=_CAMERA,
    )


def probes(seed: int, count: int) -> Iterator[FrameSet]:
    """Yield `count` frames of person `seed`, the same ones every time."""
    rng = np.random.default_rng([seed, 99])
    head = virtual_person(seed)
    for _ in range(count):
        yield look(head, probe_pose(rng), rng)
