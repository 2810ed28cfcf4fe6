"""Canonical depth faces of ICT people, as the firmware makes them of what a virtual sensor measured.

Rules kept here:
- ICT people only, from seeds of their own; MakeHuman people and the scan are never seen here.
- One file a person, written whole or not at all: a run that was cut short goes on where it stopped.
- The firmware's own `canonical` makes every map; landmarks are the true ones with the detector's scatter.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from firmware.vision.canonical import Canonical, canonical
from hil.people.actor import MOVEMENTS, Actor, Expression
from hil.people.generators import make_actor
from hil.people.sliders import Wearable
from hil.sensor import depth, stereo
from hil.sensor.presets import preset
from hil.sensor.rasteriser import view
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene

TRAIN_PEOPLE = range(2_000_000, 2_100_000)
TUNE_PEOPLE = range(2_900_000, 2_900_400)
FRAMES = 24  # a person
HOLE = np.iinfo(np.int16).min
UNIT_MM = 0.002  # of the stored relief
LANDMARK_MM = 2.5  # how far a detected point lies from the true one, each axis (rendered faces: 2-3 mm)
STRONG = 0.5  # share of frames with a strong expression
VERSION = 1  # raised whenever a face would come out otherwise: faces of two versions never mix


def folder(root: Path) -> Path:
    """Where the faces of this version lie."""
    return root / f"faces-{VERSION}"


def faces_of(seed: int, root: Path) -> NDArray[np.int16]:
    """(N, ROWS, COLUMNS) int16 relief of person `seed` in `UNIT_MM`, `HOLE` where unknown; made if not there yet."""
    path = folder(root) / f"{seed}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.stack([stored(face) for face in _faces(seed)]))
        partial.replace(path)
    made: NDArray[np.int16] = np.load(path, allow_pickle=False)
    return made


def stored(face: Canonical) -> NDArray[np.int16]:
    """(ROWS, COLUMNS) int16, as it is kept."""
    return np.where(face.known, np.rint(face.relief_mm / UNIT_MM), HOLE).astype(np.int16)


def _faces(seed: int) -> Iterator[Canonical]:
    rng = np.random.default_rng([seed, 77])
    actor = make_actor("ict", seed, worn=_worn(rng))
    count = 0
    while count < FRAMES:
        face = look(actor, pose(rng), expression(rng), rng)
        if face is not None:
            count += 1
            yield face


def look(actor: Actor, where: Pose, how: Expression, rng: np.random.Generator) -> Canonical | None:
    """One canonical face of `actor`, through a lens and a depth noise drawn from `rng`."""
    lens = _LENSES[int(rng.integers(len(_LENSES)))]
    scene = Scene(tuple(Placed(surface, where) for surface in actor.surfaces(how)))
    seen = view(scene, lens)
    if rng.random() < 0.35:
        sensor = preset("d4xx", 640)
        seen = view(scene, sensor.intrinsics)
        lens = sensor.intrinsics
        dim = np.full((lens.height, lens.width), float(rng.uniform(5, 400)), np.float32)
        depth_mm = stereo.measure(seen, dim, float(rng.uniform(0.5, 2.0)), sensor, rng)
    else:
        depth_mm = depth.sense(seen, lens, rng)
    head = actor.head(how)
    turned = (head.landmarks - head.pivot_mm) @ where.rotation().T + head.pivot_mm
    points = turned + np.array([where.x_mm, where.y_mm, where.z_mm]) + rng.normal(0, LANDMARK_MM, (5, 3))
    return canonical(depth_mm, lens, points.astype(np.float32))


_SMALL = preset("structured-light", 640).intrinsics
_LENSES: tuple[Intrinsics, ...] = (INTRINSICS, _SMALL)


def pose(rng: np.random.Generator) -> Pose:
    """Draw where a customer stands and looks, a little beyond what the detector lets through."""
    return Pose(
        x_mm=float(rng.uniform(-40, 40)),
        y_mm=float(rng.uniform(-35, 35)),
        z_mm=float(rng.uniform(300, 800)),
        yaw_deg=float(np.clip(rng.normal(0, 12), -27, 27)),
        pitch_deg=float(np.clip(rng.normal(0, 9), -22, 22)),
        roll_deg=float(np.clip(rng.normal(0, 7), -20, 20)),
    )


def expression(rng: np.random.Generator) -> Expression:
    """Draw what a face does: one to four movements, strong ones in half of the draws."""
    strongest = 1.0 if rng.random() < STRONG else 0.35
    chosen = rng.choice(len(MOVEMENTS), int(rng.integers(1, 5)), replace=False)
    amounts = {MOVEMENTS[int(index)]: float(rng.uniform(0.1, 1.0)) * strongest for index in chosen}
    if "jaw_side" in amounts:
        amounts["jaw_side"] *= float(rng.choice([-1, 1]))
    return Expression(**amounts)


def _worn(rng: np.random.Generator) -> tuple[Wearable, ...]:
    glasses: tuple[Wearable, ...] = ("glasses",) if rng.random() < 0.25 else ()
    hat: tuple[Wearable, ...] = (("cap", "beanie")[int(rng.integers(2))],) if rng.random() < 0.06 else ()
    return (*glasses, *hat)
