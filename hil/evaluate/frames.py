"""From a person before a sensor to what the two networks are fed: slow, done once, kept on disk.

Rules kept here:
- Everything between the picture and the network is the firmware's own: detector, landmarks, canonical face, crop.
  Nothing is handed over from the renderer.
- One file a person, written whole or not at all: a run that was cut short goes on where it stopped.
- What failed stays in the file, with the firmware's reason.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.gates import geometry_gates, load_limits
from firmware.vision.align import CROP_PX, align
from firmware.vision.canonical import COLUMNS, MM_PER_CELL, ROWS, Canonical, canonical, template
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, load_network
from hil.evaluate import sources
from hil.evaluate.presentations import TRIES, Look, PeopleSet, looks, who
from hil.people.actor import NEUTRAL, Actor
from hil.people.generators import make_actor
from hil.rig.render import film
from hil.sensor.presets import preset
from hil.sensor.scene import Placed

VERSION = 1  # raised whenever a frame would come out otherwise: frames of two versions never mix
UNIT_MM, HOLE = 0.002, np.iinfo(np.int16).min  # of the stored relief
LEVELS = 1.0, 0.6  # of the flood, whatever a terminal draws today: frames of this version were lit so
SOURCES = (
    "drivers/camera/structured_light/*.py",
    "firmware/vision/align.py",
    "firmware/vision/canonical.py",
    "firmware/vision/template.npz",
    "firmware/vision/detect.py",
    "firmware/vision/pose.py",
    "firmware/vision/yunet.py",
    "hil/evaluate/frames.py",
    "hil/evaluate/presentations.py",
    "hil/people/*.py",
    "hil/sensor/*.py",
)
NO_CANONICAL = "no_canonical_face"


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """What one person's frames gave; n frames.

    Attributes:
        relief: (n, ROWS, COLUMNS) int16 in `UNIT_MM`, `HOLE` where unknown.
        crop: (n, 112, 112) uint8, SFace's input, rounded.
        reason: (n,) text, empty where both are there, else why not.
        gate: (n,) text, the first geometry gate that did not hold; such probes are not left out.
        kind: (n,) text, as `Look.kind`.
        turn: (n,) int64, as `Look.turn`.
        pose: (n, 6) float64: x, y, z mm, yaw, pitch, roll degrees, as the renderer placed the head.
        moved_mm: (n,) float64, how far the expression moves the face, mean over it.
    """

    relief: NDArray[np.int16]
    crop: NDArray[np.uint8]
    reason: NDArray[np.str_]
    gate: NDArray[np.str_]
    kind: NDArray[np.str_]
    turn: NDArray[np.int64]
    pose: NDArray[np.float64]
    moved_mm: NDArray[np.float64]

    def channels(self, index: int) -> NDArray[np.float32]:
        """(1, 4, ROWS, COLUMNS) float32, what the depth network is fed of frame `index`."""
        return restored(self.relief[index]).channels()


def folder(root: Path, people: PeopleSet) -> Path:
    """Where the frames of this version lie."""
    return root / f"frames-{VERSION}" / people.name


def frames_of(people: PeopleSet, seed: int, root: Path) -> Frames:
    """The frames of person `seed`; made if not there yet."""
    path = folder(root, people) / f"{seed}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        sources.note(path.parent, SOURCES)
        made = _take(people, seed)
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **{name: getattr(made, name) for name in Frames.__dataclass_fields__})
        partial.replace(path)
    with np.load(path, allow_pickle=False) as kept:
        return Frames(**{name: kept[name] for name in Frames.__dataclass_fields__})


def stored(face: Canonical) -> NDArray[np.int16]:
    """(ROWS, COLUMNS) int16, as it is kept."""
    return np.where(face.known, np.rint(face.relief_mm / UNIT_MM), HOLE).astype(np.int16)


def restored(relief: NDArray[np.int16]) -> Canonical:
    """The canonical face that was kept as `relief`; its slopes follow from it."""
    known = relief != HOLE
    height = np.where(known, template().height_mm - relief * np.float32(UNIT_MM), np.float32(np.nan))
    slope = np.zeros((ROWS, COLUMNS, 2), np.float32)
    across = (height[1:-1, 2:] - height[1:-1, :-2]) / np.float32(2 * MM_PER_CELL)
    down = (height[2:, 1:-1] - height[:-2, 1:-1]) / np.float32(2 * MM_PER_CELL)
    inner = np.stack([across, down], -1) / np.sqrt(across**2 + down**2 + 1)[..., None]
    slope[1:-1, 1:-1] = np.where(np.isfinite(inner), inner, 0)
    return Canonical(np.where(known, relief * np.float32(UNIT_MM), 0).astype(np.float32), slope, known, np.nan)


def changed_sources(people: PeopleSet, root: Path) -> list[str]:
    """Files that are not as they were when the set's first frame was taken."""
    return sources.changed(folder(root, people), SOURCES)


@cache
def _detector() -> Detector:
    return Detector(load_network(DETECTOR))


def _take(people: PeopleSet, seed: int) -> Frames:
    bare = make_actor(people.generator, seed, sliders=who(seed))
    worn = make_actor(people.generator, seed, sliders=who(seed), worn=("glasses",)) if people.glasses else bare
    rows: list[tuple[object, ...]] = []
    enrolled: set[int] = set()
    for number, look in enumerate(looks(people, seed)):
        if look.kind == "enrol" and look.turn in enrolled:
            continue
        actor = bare if look.kind == "enrol" else worn
        relief, crop, reason, gate = _seen(_shoot(actor, look, people.sensor, seed * 100 + number))
        if look.kind == "enrol":
            reason = reason or gate  # no guided pose counts that would not hold in a payment
            if reason and (number + 1) % len(TRIES):
                continue  # the terminal looks again
            enrolled.add(look.turn)
        at = look.pose
        pose = (at.x_mm, at.y_mm, at.z_mm, at.yaw_deg, at.pitch_deg, at.roll_deg)
        rows.append((relief, crop, reason, gate, look.kind, look.turn, pose, _moved_mm(bare, look)))
    return Frames(*(np.array(column) for column in zip(*rows, strict=True)))


def _shoot(actor: Actor, look: Look, sensor: str, seed: int) -> FrameSet:
    placed = tuple(Placed(surface, look.pose) for surface in actor.surfaces(look.expression))
    level = float(np.random.default_rng([seed, 0xC0DE]).choice(LEVELS, 1)[0])
    return next(film(lambda _: placed, preset(sensor, 640), seed, [level], 15.0))


def _seen(frames: FrameSet) -> tuple[NDArray[np.int16], NDArray[np.uint8], str, str]:
    """Relief, crop, why there is none, and the first gate that did not hold."""
    nothing = np.full((ROWS, COLUMNS), HOLE, np.int16), np.zeros((CROP_PX, CROP_PX), np.uint8)
    face = _detector().find(frames)
    if not isinstance(face, Face):
        return (*nothing, face.reason.value, "")
    found = canonical(frames.depth_mm, frames.intrinsics, face.points_mm)
    if found is None:
        return (*nothing, NO_CANONICAL, "")
    gate = next((gate.reason for gate in geometry_gates(frames, face, load_limits()[0]) if not gate.passed), "")
    return stored(found), np.rint(align(frames.ir, face.points_px)).astype(np.uint8), "", gate


def _moved_mm(actor: Actor, look: Look) -> float:
    if look.expression == NEUTRAL:
        return 0.0
    rest, now = actor.head(NEUTRAL), actor.head(look.expression)
    x, y, z = rest.vertices_mm.T
    face = (np.abs(x) < 60) & (y > -40) & (y < 100) & (z < 50)
    return float(np.linalg.norm((now.vertices_mm - rest.vertices_mm)[face], axis=1).mean())
