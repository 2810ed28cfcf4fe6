"""Simulated presentations that the limits of motion were chosen on: people who are asked something, and rigid things.

Rules kept here:
- ICT people and training materials before the sensor `structured-light`, seeds that nothing is evaluated on.
- People obey prompts or not as `hil.people.living` draws it. Rigid things are held still, turned and nodded when asked,
  carried to and fro, and touched by fingers; whoever wears a mask smiles, opens the mouth and speaks behind it.
- What was filmed is kept (depth and where the face was found), so that a limit can be chosen again without filming.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet
from firmware.liveness.code import LEVELS
from firmware.liveness.limits import Limits
from firmware.liveness.motion import Deformation, Motion
from firmware.vision.detect import Detector
from firmware.vision.face import Face, NoFace
from hil.artefacts.families import exchanged
from hil.artefacts.instrument import Attacker
from hil.artefacts.species import SPECIES
from hil.artefacts.touched_print import finger
from hil.artefacts.worn import SIZE_MM, relief
from hil.evaluate.protocol import drawn
from hil.evaluate.shots import Shot, actor, sensor_of
from hil.people.living import Answer, Prompt, PromptKind, Timeline
from hil.rig.render import living
from hil.rig.scenario import BONA_FIDE
from hil.sensor.cycle import take
from hil.sensor.presets import Preset, preset
from hil.sensor.scene import Performance, Placed, Pose

FIRST_SEED = 2_700_000
WEARER = 50_000  # seeds further on
RIGID = ("printed_head_painted", "printed_head_bare", "printed_head_translucent", "mannequin", "rigid_mask")
SILICONE = "silicone_mask"
ASKED: tuple[PromptKind, ...] = ("smile", "mouth_open", "speak")
TURNS: tuple[PromptKind, ...] = ("turn_left", "turn_right", "look_up")
FPS, FRAMES = 8.0, 28
ASKED_AT_S = 0.8
TURNED_AT_S = 1.2
DISTANCE_MM, YAW_DEG, PITCH_DEG, UNSTEADY = (320.0, 800.0), (-10.0, 10.0), (-8.0, 8.0), (0.0, 3.0)
NARROWED = {"scale": (0.9, 1.1)}
CARRIED_MM, CARRIED_EVERY_S = (40.0, 100.0), (1.6, 4.0)  # to and fro: 0.4 m/s at most
TOUCHED_MM, TOUCHED_S = (-30.0, 30.0), (0.9, 2.0)  # off the middle; when fingers come or go
FINGER_MM, LONG_MM, SLIDES_S = (12.0, 20.0), 80.0, 0.4
MARGIN_MM = 180.0  # of depth kept about a face
_NOISE, _MATTER, _DRAWN = 0x2015E, 0x3A77, 0x307107


@dataclass(frozen=True)
class Trial:
    """One presentation.

    Attributes:
        name: `BONA_FIDE` or a species.
        number: which of its kind; person, materials, motion and noise follow from it.
        asked: of a person, or of whoever wears a mask.
        turned: what somebody who holds a rigid thing does with it besides; None holds it still.
        carried: whether it is carried to and fro.
        touched: whether one or two fingers are laid on its lower face, or taken off it.
        sensor: a preset.
        distance_mm: where it is held; None draws that.
        frames: how many.
    """

    name: str
    number: int
    asked: PromptKind | None
    turned: PromptKind | None = None
    carried: bool = False
    touched: bool = False
    sensor: str = "structured-light"
    distance_mm: float | None = None
    frames: int = FRAMES


@dataclass(frozen=True, slots=True)
class Moved:
    """What motion said of one frame, `time_s` after the first."""

    time_s: float
    deformation: Deformation


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame of a trial: depth alone, and the face found in it, if any."""

    frames: FrameSet
    face: Face | None


def trials(people: int, instruments: int) -> Iterator[Trial]:
    """`people` who live, and `instruments` of each species; those that follow each other differ."""
    for number in range(max(people, instruments)):
        if number < people:
            yield Trial(BONA_FIDE, number, ASKED[number % 3])
        if number < instruments:
            for place, name in enumerate(RIGID):
                turned = TURNS[(number + place) % 3] if (number + place) % 4 else None
                yield Trial(name, number, ASKED[(number + place) % 3], turned, number % 3 == 2, number % 5 == 3)
            yield Trial(SILICONE, number, ASKED[(number + len(RIGID)) % 3])


def filmed(trial: Trial, detector: Detector, root: Path) -> Iterator[Seen]:
    """The frames of `trial`, from `root` where they are kept.

    Raises:
        PeopleError, ArtefactError: it cannot be made.
    """
    sensor = preset(trial.sensor, 640)
    path = kept_at(trial, root)
    if not path.exists():
        _keep(path, [_packed(seen) for seen in _film(trial, detector)])
    for number, kept in enumerate(msgspec.msgpack.decode(zstandard.decompress(path.read_bytes()), type=list[_Kept])):
        yield _unpacked(kept, sensor, number)


def kept_at(trial: Trial, root: Path) -> Path:
    """The file that holds `trial`."""
    ways = f"{trial.turned}-{trial.carried:d}{trial.touched:d}"
    ways += "" if trial.distance_mm is None else f"-{trial.distance_mm:.0f}"
    return root / f"{trial.sensor}-{trial.name}-{trial.number}-{trial.asked}-{ways}.zst"


class _Kept(msgspec.Struct, frozen=True):
    """A `Seen` on disk: depth of a box in 1/50 mm, 0 where unknown."""

    top: int
    left: int
    shape: tuple[int, int]
    depth: bytes
    box: tuple[float, float, float, float] | None
    points_px: bytes
    score: float
    distance_mm: float
    points_mm: bytes
    turned_deg: tuple[float, float, float]
    ipd_mm: float


def measured(trial: Trial, detector: Detector, limits: Limits, root: Path) -> list[Moved]:
    """What motion says of each frame of `trial` that it can measure; its prompt is shown at `ASKED_AT_S`.

    Raises:
        PeopleError, ArtefactError: it cannot be made.
    """
    motion, asked, found = Motion(limits), False, []
    for seen in filmed(trial, detector, root):
        time_s = seen.frames.timestamp_ns / 1e9
        if seen.face is None:
            continue
        if not asked and time_s >= ASKED_AT_S:
            motion.settle()
            asked = True
        moved = motion.follow(seen.frames, seen.face)
        if motion.another:
            motion.reset()
        if moved is not None:
            found.append(Moved(time_s, moved))
    return found


def answer(trial: Trial) -> Answer:
    """What the person of a bona fide `trial`, who is asked something, does about it."""
    asked = () if trial.asked is None else (Prompt(trial.asked, ASKED_AT_S),)
    return Timeline(int(_drawn(trial).integers(2**31)), asked).answers[0]


def _drawn(trial: Trial) -> np.random.Generator:
    return np.random.default_rng([FIRST_SEED, trial.number, _DRAWN, *trial.name.encode()])


def performance(trial: Trial) -> Performance:
    """What is filmed. Raises PeopleError, ArtefactError."""
    rng = _drawn(trial)
    person = FIRST_SEED + trial.number
    seed = int(rng.integers(2**31))
    held = {
        "distance_mm": float(rng.uniform(*DISTANCE_MM)),
        "yaw_deg": float(rng.uniform(*YAW_DEG)),
        "pitch_deg": float(rng.uniform(*PITCH_DEG)),
        "unsteady": float(rng.uniform(*UNSTEADY)),
    }
    if trial.distance_mm is not None:
        held["distance_mm"] = trial.distance_mm
    asked = () if trial.asked is None else (Prompt(trial.asked, ASKED_AT_S),)
    turned = () if trial.turned is None else (Prompt(trial.turned, TURNED_AT_S),)
    shown = actor("ict", person)
    if trial.name == BONA_FIDE:
        held["unsteady"] = min(held["unsteady"], 1.5)
        made = living(shown, Attacker(seed, None, (*asked, *turned)), **held).performance
        return exchanged(made, "training", person, person, shown)
    species = SPECIES[trial.name]
    held |= {key: drawn(limit, rng, NARROWED.get(key)) for key, limit in species.shape.items()}
    wearer = actor("ict", person + WEARER) if species.worn else None
    made = species.perform(shown, Attacker(seed, wearer, (*asked, *turned)), **held)
    skin = person + WEARER if species.worn else person
    made = exchanged(made, "training", skin, int(np.random.default_rng([seed, _MATTER]).integers(2**31)), wearer)
    if trial.touched:
        made = _touched(made, rng)
    return _carried(made, rng) if trial.carried else made


def _carried(made: Performance, rng: np.random.Generator) -> Performance:
    far_mm, every_s = float(rng.uniform(*CARRIED_MM)), float(rng.uniform(*CARRIED_EVERY_S))

    def at(time_s: float) -> tuple[Placed, ...]:
        by = Pose(z_mm=far_mm * float(np.sin(2 * np.pi * time_s / every_s)))
        return tuple(replace(placed, pose=placed.pose.moved(by)) for placed in made(time_s))

    return at


def _touched(made: Performance, rng: np.random.Generator) -> Performance:
    """With one finger, or two as each other's mirror image, that lie on the lower face from some time on, or until."""
    when_s, comes, pair = float(rng.uniform(*TOUCHED_S)), bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    x_mm, thick_mm = float(rng.uniform(*TOUCHED_MM)), float(rng.uniform(*FINGER_MM))
    tip_mm, slides_mm = float(rng.uniform(55, 95)), float(rng.choice([0.0, 60.0]))
    shape = relief(tuple(placed.surface for placed in made(0.0)))
    fingers = []
    for x in (x_mm, -x_mm)[: 1 + pair]:
        along = shape[round(tip_mm) + SIZE_MM // 2 : round(tip_mm) + SIZE_MM // 2 + 30, round(x) + SIZE_MM // 2]
        fingers.append(finger(x, tip_mm + LONG_MM / 2, thick_mm, LONG_MM, 1.0 + thick_mm / 2 - float(np.nanmin(along))))

    def at(time_s: float) -> tuple[Placed, ...]:
        head = made(time_s)
        gone = float(np.clip((time_s - when_s) / SLIDES_S, 0, 1))
        gone = 1 - gone if comes else gone
        if gone == 1:
            return head
        off = np.array([slides_mm * gone, 0, -(0.0 if slides_mm else 40.0) * gone], np.float32)
        pivot = head[0].surface.pivot_mm
        laid = (replace(one, vertices_mm=one.vertices_mm + off, pivot_mm=pivot) for one in fingers)
        return (*head, *(Placed(one, head[0].pose) for one in laid))

    return at


def _film(trial: Trial, detector: Detector) -> Iterator[Seen]:
    shown = performance(trial)
    sensor = sensor_of(Shot(person=FIRST_SEED + trial.number, seed=0, generator="ict", sensor=trial.sensor))
    for number in range(trial.frames):
        rng = np.random.default_rng([FIRST_SEED, trial.number, _NOISE, number, *trial.name.encode()])
        level = LEVELS[int(rng.integers(len(LEVELS)))]
        cycle = take(shown, number / FPS, sensor, rng, flood_level=level)
        frames = _frames(cycle.ir, cycle.depth_mm, sensor, number)
        face = detector.find(frames)
        yield Seen(frames, None if isinstance(face, NoFace) else face)


def _frames(ir: NDArray[np.uint8], depth_mm: NDArray[np.float32], sensor: Preset, number: int) -> FrameSet:
    camera = CameraInfo(f"SIMULATED-{sensor.name}", "simulated", "0" * 64, flood=True)
    time_ns = round(number / FPS * 1e9)
    return FrameSet(number, time_ns, ir, depth_mm, sensor.intrinsics, Emitter(1.0, 1.0), 1000, 1.0, camera)


def _packed(seen: Seen) -> _Kept:
    face, depth, k = seen.face, seen.frames.depth_mm, seen.frames.intrinsics
    if face is None:
        return _Kept(0, 0, (0, 0), b"", None, b"", 0, 0, b"", (0, 0, 0), 0)
    reach = MARGIN_MM / face.distance_mm * k.fx
    u, v = face.points_px.mean(axis=0)
    top, left = max(0, int(v - reach)), max(0, int(u - reach))
    cut = depth[top : int(v + reach), left : int(u + reach)]
    whole = np.where(np.isfinite(cut) & (cut < 1300), np.rint(cut * 50), 0).astype(np.uint16)
    return _Kept(
        top,
        left,
        (whole.shape[0], whole.shape[1]),
        whole.tobytes(),
        face.box,
        face.points_px.tobytes(),
        face.score,
        face.distance_mm,
        face.points_mm.tobytes(),
        (face.yaw_deg, face.pitch_deg, face.roll_deg),
        face.ipd_mm,
    )


def _unpacked(kept: _Kept, sensor: Preset, number: int) -> Seen:
    k = sensor.intrinsics
    depth = np.full((k.height, k.width), np.nan, np.float32)
    blank = np.zeros((k.height, k.width), np.uint8)
    if kept.box is None:
        return Seen(_frames(blank, depth, sensor, number), None)
    whole = np.frombuffer(kept.depth, np.uint16).reshape(kept.shape)
    box = depth[kept.top : kept.top + kept.shape[0], kept.left : kept.left + kept.shape[1]]
    box[:] = np.where(whole > 0, whole / np.float32(50), np.float32(np.nan))
    points_px = np.frombuffer(kept.points_px, np.float32).reshape(5, 2).copy()
    points_mm = np.frombuffer(kept.points_mm, np.float32).reshape(5, 3).copy()
    face = Face(kept.box, points_px, kept.score, kept.distance_mm, points_mm, *kept.turned_deg, kept.ipd_mm)
    return Seen(_frames(blank, depth, sensor, number), face)


def _keep(path: Path, kept: list[_Kept]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as aside:
        aside.write(zstandard.compress(msgspec.msgpack.encode(kept), 3))
    os.replace(aside.name, path)
