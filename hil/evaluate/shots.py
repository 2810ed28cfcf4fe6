"""Simulated presentations, filmed frame by frame as asked for, and kept on disk.

Rules kept here:
- Everything follows from the `Shot`: the same shot gives the same frames, kept or filmed anew, alone or in any order.
- A frame is filmed when it is asked for and not before; it is kept whole or not at all.
- The light follows a code drawn for the shot, as a terminal would draw it: `emitted`.
- Two shots of one person under one sensor are taken by the same module: what its maker calibrated is in its
  `CameraInfo`; what its light has lost and how far it was knocked since then is not.
- Whoever is asked something while being filmed (`Film.ask`) answers from then on; frames before are as they were.

Outside the box of what has depth, `ambient` and `dots` are blank: nothing looks at them there, and the disk is small.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from dataclasses import replace as changed
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import zstandard
from msgspec.structs import replace
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet
from firmware.liveness.code import LEVELS
from hil.artefacts.families import Family, exchanged, skin_of
from hil.artefacts.finish import skin_tone
from hil.artefacts.instrument import Attacker
from hil.artefacts.species import SPECIES
from hil.evaluate.recorded_code import RecordedCode
from hil.people.actor import NEUTRAL, Actor
from hil.people.generators import Generator, make_actor
from hil.people.ict import data_dir_of
from hil.people.living import Answer, Prompt, PromptKind, Timeline
from hil.people.sliders import Wearable
from hil.people.still import Still
from hil.people.transfer import moving_james
from hil.rig.render import living
from hil.rig.scenario import BONA_FIDE
from hil.sensor.cycle import Cycle, take
from hil.sensor.optics import CONE_SR, electrons_per_joule_m2
from hil.sensor.presets import Preset, preset
from hil.sensor.scene import Performance

SOURCES = ("hil/artefacts/*.py", "hil/evaluate/shots.py", "hil/people/*.py", "hil/sensor/*.py")
VERSION = 1  # raised whenever a frame would come out otherwise
START_NS = 1_000_000_000
MARGIN_PX = 32  # about what has depth
SUN_AT_M = 0.5  # sun level 1 is the flood's own light on a face this far away
TALKS_FROM_S = -1.0  # asked to speak this long before the first frame: they do by then
_CODE, _NOISE, _MODULE, _PLAY, _MATTER = 0xC0DE, 0x2015E, 0x30D, 0x91A1, 0x3A77
CHIN_MM = (15.0, 38.0)  # below the corners of the mouth
TURNS: tuple[PromptKind, ...] = ("turn_left", "turn_right", "look_up")
LATER = ("prompts", "still")  # attributes that came later: left out of the digest where nothing is said of them


@dataclass(frozen=True)
class Shot:
    """One presentation before one sensor.

    Attributes:
        person: seed of the person shown, or of the instrument's victim.
        seed: of motion, workmanship, noise and code.
        generator: of people; `james` is the one real scan, whoever `person` is.
        species: of `SPECIES`, or `BONA_FIDE`.
        parameters: of holding and of the species, (name, value); those not given are typical.
        wearer: seed of the living person behind a worn instrument.
        worn: by a bona fide person.
        talking: whether a bona fide person speaks.
        family: of materials.
        sensor: a preset, 640 pixels wide.
        varied: whether the sensor is one module of many (`module_of`), or just as its preset.
        sun: on the face, times what the flood alone gives half a metre away.
        frames: how many there are.
        fps: how many a second.
        prompts: what is asked, or what a presenter sets out to do; of a rigid thing only turns are kept.
        still: whether the face of a bona fide person never moves, as a scan's does not.
    """

    person: int
    seed: int
    generator: Generator | Literal["james"] = "makehuman"
    species: str = BONA_FIDE
    parameters: tuple[tuple[str, float], ...] = ()
    wearer: int | None = None
    worn: tuple[Wearable, ...] = ()
    talking: bool = False
    family: Family = "evaluation"
    sensor: str = "held-out"
    varied: bool = True
    sun: float = 0.0
    frames: int = 24
    fps: float = 15.0
    prompts: tuple[Prompt, ...] = ()
    still: bool = False

    @property
    def digest(self) -> str:
        """Names its frames on disk. How many there are changes none of them, so that is left out."""
        said = {name: value for name, value in asdict(self).items() if name not in LATER or value}
        return hashlib.sha256(msgspec.json.encode((VERSION, said | {"frames": 0}))).hexdigest()[:24]

    def asked(self, prompt: Prompt) -> "Shot":
        """The same, once `prompt` is shown. A thing that nobody's face moves does nothing about most of them."""
        if self.species != BONA_FIDE and SPECIES[self.species].rigid and prompt.kind not in TURNS:
            return self
        return changed(self, prompts=(*self.prompts, prompt))


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a person shown.

    Attributes:
        skin: reflectance of the cheeks.
        beard: how much darker the chin is than they are, as a share; a beard darkens it, and so does chance.
    """

    skin: float
    beard: float


def emitted(shot: Shot) -> RecordedCode:
    """The code that the frames of `shot` were lit by."""
    drawn = np.random.default_rng([shot.person, shot.seed, _CODE]).integers(0, len(LEVELS), shot.frames)
    return RecordedCode([LEVELS[symbol] for symbol in drawn])


def frames_of(shot: Shot, root: Path) -> Iterator[FrameSet]:
    """The frames of `shot`, filmed when the iterator comes to them, unless `root` has them already.

    Raises:
        PeopleError, ArtefactError: it cannot be made.
    """
    return iter(Film(shot, root))


class Film:
    """A shot being filmed, who can be asked something meanwhile. Iterate over it once."""

    def __init__(self, shot: Shot, root: Path) -> None:
        """Frames lie in `root`."""
        self.shot, self._root = shot, root

    def ask(self, kind: PromptKind, at_ns: int) -> None:
        """Show a prompt at `at_ns` of the frames' clock, not before the last frame that was taken."""
        self.shot = self.shot.asked(Prompt(kind, (at_ns - START_NS) / 1e9))

    def __iter__(self) -> Iterator[FrameSet]:
        """Film frame by frame; raises PeopleError or ArtefactError where it cannot be made."""
        show = _Show(self.shot)
        for sequence in range(self.shot.frames):
            if show.shot != self.shot:
                show = _Show(self.shot)
            path = folder(self.shot, self._root) / f"{sequence:02}.zst"
            try:
                packed = path.read_bytes()
            except FileNotFoundError:
                packed = _packed(show.take(sequence))
                _keep(path, packed)
            yield _unpacked(packed, self.shot, sequence, show.info)


def frames_kept(shot: Shot, root: Path) -> int:
    """How many of the first frames of `shot` lie on disk without a gap."""
    where = folder(shot, root)
    return next(n for n in count() if not (where / f"{n:02}.zst").exists())


def about(shot: Shot, root: Path) -> About:
    """What is known of the living person of a bona fide `shot`."""
    path = folder(shot, root) / "about.json"
    if not path.exists():
        person = actor(shot.generator, shot.person, shot.worn)
        skin = skin_of(shot.family, shot.person)[1]
        _keep(path, json.dumps({"skin": skin, "beard": _beard(person)}).encode())
    return About(**json.loads(path.read_text()))


def answers(shot: Shot) -> tuple[Answer, ...]:
    """What the living person of a bona fide `shot` does about each of its prompts."""
    return Timeline(_mixed(shot.person, shot.seed, _PLAY), _heard(shot)).answers[1 if shot.talking else 0 :]


def folder(shot: Shot, root: Path) -> Path:
    """Where the frames of `shot` lie."""
    return shelf(root) / shot.digest[:2] / shot.digest


def shelf(root: Path) -> Path:
    """Where everything filmed by this version lies."""
    return root / f"shots-{VERSION}"


def sensor_of(shot: Shot) -> Preset:
    """The sensor that takes `shot`, sun and all."""
    made = preset(shot.sensor, 640)
    if shot.varied:
        made = _aged(module_of(made, shot.person), shot.person)
    if not shot.sun:
        return made
    flood_w_m2 = preset(shot.sensor, 640).flood_w / CONE_SR / SUN_AT_M**2
    return replace(made, ambient=replace(made.ambient, sun=shot.sun * flood_w_m2 / made.ambient.sun_w_m2))


def module_of(model: Preset, seed: int) -> Preset:
    """Module number `seed` of a model as it left the maker: each has its own sensor, lens and projector."""
    rng = np.random.default_rng([seed, _MODULE, 0])
    pixel, lens, dots = model.pixel, model.lens, model.projector
    return replace(
        model,
        pixel=replace(
            pixel,
            quantum_efficiency=pixel.quantum_efficiency * float(rng.uniform(0.7, 1.3)),
            read_noise_e=float(rng.uniform(2, 8)),
        ),
        lens=replace(lens, psf_px=lens.psf_px * float(rng.uniform(0.75, 1.25))),
        projector=replace(
            dots,
            count=round(dots.count * rng.uniform(0.85, 1.15)),
            speckle=float(rng.uniform(0, 0.3)),
            missing=float(rng.uniform(0, 0.04)),
        ),
    )


def info_of(sensor: Preset) -> CameraInfo:
    """What a module knows of itself: `sensor` as its maker calibrated it."""
    digest = hashlib.sha256(msgspec.json.encode(sensor)).hexdigest()
    white = sensor.flood_w / CONE_SR * electrons_per_joule_m2(sensor) * 1e-3 / sensor.pixel.full_well_e
    return CameraInfo(
        f"SIMULATED-{sensor.name}",
        "simulated",
        digest,
        sensor.flood_w > 0,
        flood_response=white if sensor.flood_w > 0 else None,
        dot_sigma_px=math.hypot(sensor.projector.sigma_px, sensor.lens.psf_px),
    )


@lru_cache(maxsize=6)
def actor(generator: Generator | Literal["james"], seed: int, worn: tuple[Wearable, ...] = ()) -> Actor:
    """Person `seed`, made once for the shots that follow each other."""
    if generator == "james":
        return moving_james(data_dir_of(), worn, seed)
    return make_actor(generator, seed, worn=worn)


class _Show:
    """What a shot films; made when the first frame is."""

    def __init__(self, shot: Shot) -> None:
        self.shot, self._sensor = shot, sensor_of(shot)
        model = preset(shot.sensor, 640)
        self.info = info_of(module_of(model, shot.person) if shot.varied else model)
        self._performance: Performance | None = None

    def take(self, sequence: int) -> Cycle:
        shot = self.shot
        if self._performance is None:
            self._performance = _performance(shot)
        rng = np.random.default_rng([shot.person, shot.seed, _NOISE, sequence])
        level = emitted(shot).levels[sequence]
        return take(self._performance, sequence / shot.fps, self._sensor, rng, flood_level=level)


def _performance(shot: Shot) -> Performance:
    shown = actor(shot.generator, shot.person, shot.worn)
    seed = _mixed(shot.person, shot.seed, _PLAY)
    parameters = dict(shot.parameters)
    if shot.species == BONA_FIDE:
        shown = Still(shown) if shot.still else shown
        made = living(shown, Attacker(seed, None, _heard(shot)), **parameters).performance
        return exchanged(made, shot.family, shot.person, shot.person, shown)
    wearer = None if shot.wearer is None else actor(shot.generator, shot.wearer)
    species = SPECIES[shot.species]
    made = species.perform(shown, Attacker(seed, wearer, shot.prompts), **parameters)
    skin, matter = shot.person if shot.wearer is None else shot.wearer, _mixed(shot.person, shot.seed, _MATTER)
    return exchanged(made, shot.family, skin, matter, wearer)


def _heard(shot: Shot) -> tuple[Prompt, ...]:
    """By a living person: who talks was told to, before anything else."""
    return ((Prompt("speak", TALKS_FROM_S),) if shot.talking else ()) + shot.prompts


def _aged(module: Preset, seed: int) -> Preset:
    """What became of a module since: its lights are stronger or weaker, and it was knocked."""
    rng = np.random.default_rng([seed, _MODULE, 1])
    light, column, row = float(rng.uniform(0.8, 1.2)), float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.3, 0.3))
    return replace(
        module,
        flood_w=module.flood_w * light,
        projector=replace(module.projector, power_uw=module.projector.power_uw * light),
        lens=replace(module.lens, misaligned_px=(column, row)),
    )


def _mixed(*numbers: int) -> int:
    return int(np.random.default_rng(numbers).integers(2**31))


def _beard(person: Actor) -> float:
    head = person.head(NEUTRAL)
    x, y, z = (head.vertices_mm - [0, head.landmarks[3:, 1].mean(), 0]).T
    chin = (np.abs(x) < 12) & (y > CHIN_MM[0]) & (y < CHIN_MM[1]) & (z < 50)
    rows, columns = head.albedo.shape
    v = np.clip((head.uv[chin, 1] % 1 * rows).astype(int), 0, rows - 1)
    u = np.clip((head.uv[chin, 0] % 1 * columns).astype(int), 0, columns - 1)
    return float(1 - np.median(head.albedo[v, u]) / skin_tone(head))


def _box(depth_mm: NDArray[np.float32]) -> tuple[slice, slice]:
    known = np.isfinite(depth_mm)
    if not known.any():
        return slice(0, 0), slice(0, 0)
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - MARGIN_PX), int(rows[-1]) + MARGIN_PX + 1),
        slice(max(0, int(columns[0]) - MARGIN_PX), int(columns[-1]) + MARGIN_PX + 1),
    )


def _within(image: NDArray[np.uint8], box: tuple[slice, slice]) -> NDArray[np.uint8]:
    blank = np.zeros_like(image)
    blank[box] = image[box]
    return blank


def _keep(path: Path, raw: bytes) -> None:
    """Whole or not at all, also where two processes film the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as aside:
        aside.write(raw)
    os.replace(aside.name, path)


def _packed(taken: Cycle) -> bytes:
    """Exposure and gain, the three images, depth; losslessly."""
    box = _box(taken.depth_mm)
    head = np.array([taken.exposure_us, taken.gain], np.float64)
    arrays = (head, taken.ir, _within(taken.ambient, box), _within(taken.dots, box), taken.depth_mm)
    return zstandard.compress(b"".join(np.ascontiguousarray(one).tobytes() for one in arrays), 1)


def _unpacked(packed: bytes, shot: Shot, sequence: int, info: CameraInfo) -> FrameSet:
    camera = preset(shot.sensor, 640).intrinsics
    shape, raw = (camera.height, camera.width), zstandard.decompress(packed)
    size, start = camera.height * camera.width, 2 * np.dtype(np.float64).itemsize
    exposure_us, gain = np.frombuffer(raw, np.float64, 2)
    ir, ambient, dots = (np.frombuffer(raw, np.uint8, size, start + n * size).reshape(shape) for n in range(3))
    return FrameSet(
        sequence=sequence,
        timestamp_ns=START_NS + round(sequence / shot.fps * 1e9),
        ir=ir,
        depth_mm=np.frombuffer(raw, np.float32, size, start + 3 * size).reshape(shape),
        intrinsics=camera,
        emitter=Emitter(flood=emitted(shot).levels[sequence], dots=1.0, code_index=sequence),
        exposure_us=int(exposure_us),
        gain=float(gain),
        camera=info,
        ambient=ambient,
        dots=dots,
    )
