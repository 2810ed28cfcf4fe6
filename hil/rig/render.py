"""Films what stands before a simulated sensor and writes it as a recording, with session events and ground truth.

Rules kept here:
- Everything follows from the take: the same take gives the same frames.
- Every recording says that it is simulated: in its camera's firmware, its consent and a note; the note also says what
  the rendering of the artefact leaves out.
- The emitter code is drawn as a terminal would: each frame's flood level, unknown to whoever is filmed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from drivers.camera import CameraInfo, Emitter, FrameSet
from drivers.camera.recording import RecordingWriter
from firmware.liveness.code import Drawn
from hil.artefacts.instrument import HOLD, Attacker, Hold, settle
from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.people.actor import Actor
from hil.people.living import Prompt
from hil.people.names import find
from hil.rig.mesh import load_scan
from hil.rig.scenario import BONA_FIDE, Take
from hil.sensor.cycle import take as take_cycle
from hil.sensor.dots import dot_sigma_px
from hil.sensor.optics import flood_response
from hil.sensor.presets import Preset, preset
from hil.sensor.scene import Performance, Placed

START_NS = 1_000_000_000  # of the simulated capture clock
LANDMARKS = ("right_eye", "left_eye", "nose_tip", "right_mouth", "left_mouth")
_CODE, _NOISE, _PAST = 0xC0DE, 0x2015E, 0x9A57


@dataclass(frozen=True)
class Shown:
    """What a take films: the performance, and what is known of it at any time."""

    performance: Performance
    truth: Callable[[float], dict[str, object]]


def living(actor: Actor, by: Attacker, /, **parameters: float) -> Shown:
    """A bona fide presentation: `actor` moves as people do and answers prompts.

    Raises:
        ArtefactError: a parameter is unknown or impossible.
    """
    hold = Hold(**settle(BONA_FIDE, HOLD, parameters))

    def at(time_s: float) -> tuple[Placed, ...]:
        expression, pose = by.act(hold, time_s)
        return tuple(Placed(part, pose) for part in actor.surfaces(expression))

    def truth(time_s: float) -> dict[str, object]:
        expression, pose = by.act(hold, time_s)
        head = actor.head(expression)
        moved = Placed(head, pose)
        points = (head.landmarks - head.pivot_mm) @ pose.rotation().T + head.pivot_mm + _origin(moved)
        return {
            "expression": expression.weights(),
            "gaze_deg": (expression.gaze_yaw_deg, expression.gaze_pitch_deg),
            "landmarks_mm": {name: tuple(map(float, point)) for name, point in zip(LANDMARKS, points, strict=True)},
        }

    return Shown(at, truth)


def film(
    shown: Performance, sensor: Preset, seed: int, levels: Sequence[float], fps: float, start_ns: int = START_NS
) -> Iterator[FrameSet]:
    """FrameSets of `shown` as `sensor` takes them, one for each of the flood's `levels`; noise follows from `seed`."""
    info = camera_of(sensor)
    for sequence, level in enumerate(levels):
        time_s = sequence / fps
        cycle = take_cycle(shown, time_s, sensor, np.random.default_rng([seed, _NOISE, sequence]), flood_level=level)
        yield FrameSet(
            sequence=sequence,
            timestamp_ns=start_ns + round(time_s * 1e9),
            ir=cycle.ir,
            depth_mm=cycle.depth_mm,
            intrinsics=sensor.intrinsics,
            emitter=Emitter(flood=level, dots=1.0, code_index=sequence),
            exposure_us=cycle.exposure_us,
            gain=cycle.gain,
            camera=info,
            ambient=cycle.ambient,
            dots=cycle.dots,
        )


def code_of(seed: int, count: int) -> tuple[float, ...]:
    """The flood level of each frame: draws as a terminal makes them, one after the other where one is too short."""
    random = np.random.default_rng([seed, _CODE]).bytes
    levels: tuple[float, ...] = ()
    while len(levels) < count:
        levels += Drawn(random).levels
    return levels[:count]


def camera_of(sensor: Preset) -> CameraInfo:
    """The simulated camera; its calibration digest is that of every constant of its preset."""
    digest = hashlib.sha256(msgspec.json.encode(sensor)).hexdigest()
    return CameraInfo(
        f"SIMULATED-{sensor.name}",
        "simulated",
        digest,
        flood=sensor.flood_w > 0,
        flood_response=flood_response(sensor),
        dot_sigma_px=dot_sigma_px(sensor),
    )


def render(take: Take, path: Path) -> Iterator[int]:
    """Render `take` into the new file `path`; yields the number of frames written after each.

    Raises:
        PeopleError, ArtefactError, RecordingWriteError: it cannot be made or written.
    """
    victim = _victim(take)
    sensor = preset(take.sensor, take.width)
    shown, frames, note = _frames(take, victim, sensor)
    known = {
        "person": victim.name,
        "artefact": None if take.artefact == BONA_FIDE else take.artefact,
        "sensor": take.sensor,
        "seed": take.seed,
        "parameters": _parameters(take),
    }
    with RecordingWriter(path, take.consent.strip() or _consent(take)) as writer:
        writer.event("note", START_NS, text=f"SIMULATED. {note}")
        writer.event("clock", START_NS, unix_ns=0)
        writer.event("code", START_NS, levels=code_of(take.seed, take.frames))
        asked = sorted(take.prompts, key=lambda ask: ask.at_s)
        for written, frame in enumerate(frames, start=1):
            while asked and frame.timestamp_ns >= START_NS + round(asked[0].at_s * 1e9):
                ask = asked.pop(0)
                writer.event("prompt", START_NS + round(ask.at_s * 1e9), prompt=ask.kind)
            writer.write(frame)
            time_s = (frame.timestamp_ns - START_NS) / 1e9
            writer.truth(frame.sequence, {**known, **_posed(shown.performance(time_s)), **shown.truth(time_s)})
            yield written


def _parameters(take: Take) -> dict[str, float | str]:
    """Every parameter, typical ones too, and who else is in it."""
    made = SPECIES.get(take.artefact) or STREAMS.get(take.artefact)
    values: dict[str, float | str] = dict(settle(take.artefact, made.parameters if made else HOLD, take.parameters))
    if take.artefact in STREAMS or (take.artefact in SPECIES and SPECIES[take.artefact].worn):
        values["wearer"] = take.wearer
    return values


def _consent(take: Take) -> str:
    """Whose consent covers people nobody asked."""
    if "james" in (take.person, take.wearer):
        return "simulated; the real scan james of menpo3d, published under BSD-3-Clause, moved by landmark transfer"
    return f"simulated person {take.person}; nobody real is in it"


def _victim(take: Take) -> Actor:
    if take.person is not None:
        return find(take.person)
    return load_scan(Path(take.scan or ""), None if take.texture is None else Path(take.texture))


def _frames(take: Take, victim: Actor, sensor: Preset) -> tuple[Shown, Iterator[FrameSet], str]:
    """What is before the camera, the frames that core receives, and what the recording says of it."""
    prompts = tuple(Prompt(ask.kind, ask.at_s) for ask in take.prompts)
    if take.artefact in SPECIES:
        species = SPECIES[take.artefact]
        by = Attacker(take.seed, find(take.wearer) if species.worn else None, prompts)
        show = Shown(species.perform(victim, by, **take.parameters), _nothing)
        return show, _filmed(show, sensor, take), f"{species.name}, not modelled: {species.not_modelled}"
    if take.artefact in STREAMS:
        stream = STREAMS[take.artefact]
        show = living(find(take.wearer), Attacker(take.seed, None, prompts))
        past = living(victim, Attacker(take.seed + 1, None, prompts))
        theirs = take.seed + 1
        recorded = list(film(past.performance, sensor, theirs, code_of(theirs, take.frames), take.fps))
        live = list(_filmed(show, sensor, take))
        injected = stream.inject(recorded, live, **take.parameters)
        return Shown(show.performance, _nothing), injected, f"{stream.name}, not modelled: {stream.not_modelled}"
    show = living(victim, Attacker(take.seed, None, prompts), **take.parameters)
    return show, _filmed(show, sensor, take), f"bona fide presentation of {victim.name}"


def _filmed(shown: Shown, sensor: Preset, take: Take) -> Iterator[FrameSet]:
    return film(shown.performance, sensor, take.seed, code_of(take.seed, take.frames), take.fps)


def _nothing(time_s: float) -> dict[str, object]:
    """Of an instrument nothing more is known than where it is."""
    del time_s
    return {}


def _posed(placed: tuple[Placed, ...]) -> dict[str, object]:
    pose = placed[0].pose
    return {
        "position_mm": (pose.x_mm, pose.y_mm, pose.z_mm),
        "rotation_deg": (pose.yaw_deg, pose.pitch_deg, pose.roll_deg),
    }


def _origin(placed: Placed) -> np.ndarray:
    return np.array([placed.pose.x_mm, placed.pose.y_mm, placed.pose.z_mm], np.float32)
