"""What the liveness network is trained on: people and instruments made of them, as the firmware shows them to it.

Rules kept here:
- ICT people only, of seeds of their own: disjoint from those the cues are calibrated on, and from evaluation's.
  Instruments are made of the same people, so that nobody's shape tells what is alive; what a person wears (glasses,
  hats, clothes) their head of plaster wears too, so that glasses do not either.
- Materials and modules are those of `cue_presentations`, a third of the modules poorer.
- One file a person, written whole or not at all: a run that was cut short goes on where it stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet
from firmware.liveness.code import LEVELS
from firmware.liveness.cues.network import View, view
from firmware.liveness.patch import patch
from firmware.vision.face import Face
from hil.artefacts.finish import scaled
from hil.artefacts.instrument import Attacker
from hil.artefacts.species import SPECIES
from hil.evaluate.cue_fit import LIVING
from hil.people.actor import NEUTRAL, Actor
from hil.people.generators import make_actor
from hil.people.living import Prompt, PromptKind
from hil.people.sliders import Wearable
from hil.rig.render import living
from hil.sensor.cycle import take
from hil.sensor.material import CLOTH, GLASS
from hil.sensor.presets import Preset
from hil.sensor.scene import Performance, Placed
from models.train.cue_presentations import DISTANCE_MM, Materials, detector, drawn, unit

TRAIN_PEOPLE = range(2_010_000, 2_020_000)
TUNE_PEOPLE = range(2_910_000, 2_911_000)
VERSION = 1  # raised whenever a face would come out otherwise
GROUPS: Final = {
    LIVING: (LIVING,),
    "sheets": (
        "flat_print_toner", "bent_print", "folded_print", "touched_print", "glossy_print", "animated_photo",
        "cutout_print",
    ),
    "mannequin": ("mannequin",),
    "printed_head_bare": ("printed_head_bare",),
    "printed_head_painted": ("printed_head_painted",),
    "printed_head_translucent": ("printed_head_translucent",),
    "rigid_mask": ("rigid_mask",),
    "silicone_mask": ("silicone_mask",),
}  # fmt: skip
"""What the network's scores are of, in their order. Dye prints and screens show the detector no face."""
KINDS: Final = tuple(name for species in GROUPS.values() for name in species)
TAKES, FRAMES, SOLIDS, SHEETS = 2, 2, 3, 2  # of a person: takes alive and frames of each; instruments, a frame each
YAW_DEG, PITCH_DEG = (-22.0, 22.0), (-15.0, 15.0)
WORN: tuple[tuple[Wearable, float], ...] = (("glasses", 0.3), ("cap", 0.06), ("beanie", 0.05))
ASKED: tuple[PromptKind, ...] = ("speak", "smile", "mouth_open")
POOR = 0.35
UNTIL_S = 6.0
_ONE = 8192  # what 1.0 of light and shape is stored as
_MM = 200  # steps a millimetre


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Faces of one person in whole numbers, steps of `scales`.

    Attributes:
        kind: (N,) places in `KINDS`.
        light, shape, relief: (N, ROWS, COLUMNS) int16.
        known: (N, ROWS, COLUMNS) uint8.
    """

    kind: NDArray[np.int64]
    light: NDArray[np.int16]
    shape: NDArray[np.int16]
    relief: NDArray[np.int16]
    known: NDArray[np.uint8]


def group_of(kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in `GROUPS` of places in `KINDS`."""
    places = [place for place, species in enumerate(GROUPS.values()) for _ in species]
    return np.array(places)[kind]


def path_of(seed: int, root: Path) -> Path:
    """Where the faces of person `seed` lie."""
    return root / f"liveness-{VERSION}" / f"{seed}.npz"


def faces_of(seed: int, root: Path) -> Stored:
    """The faces of person `seed`, made if they are not there yet."""
    path = path_of(seed, root)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds, views = [], []
        for species, seen in _views(seed):
            kinds.append(KINDS.index(species))
            views.append(packed(seen))
        whole = path.with_suffix(".part.npz")
        np.savez_compressed(
            whole, allow_pickle=False, kind=np.array(kinds, np.int64),
            **{name: np.stack([one[name] for one in views]) for name in ("light", "shape", "relief", "known")},
        )  # fmt: skip
        whole.replace(path)
    with np.load(path, allow_pickle=False) as kept:
        return Stored(*(kept[name] for name in ("kind", "light", "shape", "relief", "known")))


def packed(seen: View) -> dict[str, NDArray[np.generic]]:
    """A view in whole numbers."""
    light, shape = (np.clip(np.rint(one * _ONE), -_ONE, 32767).astype(np.int16) for one in (seen.light, seen.shape))
    relief = np.clip(np.rint(seen.relief_mm * _MM), -32767, 32767).astype(np.int16)
    return {"light": light, "shape": shape, "relief": relief, "known": np.rint(seen.known * 255).astype(np.uint8)}


def scales() -> tuple[float, float, float]:
    """What one step of light or shape, of relief in mm, of known is worth."""
    return 1 / _ONE, 1 / _MM, 1 / 255


def _views(seed: int) -> Iterator[tuple[str, View]]:
    rng = np.random.default_rng([VERSION, seed, 0x11FE])
    worn = tuple(thing for thing, share in WORN if rng.random() < share)
    person, wearer = _person(seed, worn), _person(seed - 1, ())
    solids = [kind for group, kinds in GROUPS.items() if group not in (LIVING, "sheets") for kind in kinds]
    shown = [LIVING] * TAKES
    shown += [str(kind) for kind in rng.choice(solids, SOLIDS, replace=False)]
    shown += [str(kind) for kind in rng.choice(GROUPS["sheets"], SHEETS, replace=False)]
    for number, species in enumerate(shown):
        performance = _performed(species, person, wearer, int(rng.integers(2**31)) + number, rng)
        sensor = _module(rng)
        for _ in range(FRAMES if species == LIVING else 1):
            seen = _filmed(performance, float(rng.uniform(0, UNTIL_S)), sensor, rng)
            if seen is not None:
                yield species, seen


@lru_cache(maxsize=4)
def _person(seed: int, worn: tuple[Wearable, ...]) -> Actor:
    return make_actor("ict", seed, worn=worn)


def _performed(species: str, person: Actor, wearer: Actor, seed: int, rng: np.random.Generator) -> Performance:
    held = {
        "distance_mm": float(rng.uniform(*DISTANCE_MM)),
        "yaw_deg": float(rng.uniform(*YAW_DEG)),
        "pitch_deg": float(rng.uniform(*PITCH_DEG)),
    }
    coated = Materials(rng)
    if species == LIVING:
        asked = tuple(Prompt(kind, float(rng.uniform(-2, UNTIL_S))) for kind in ASKED if rng.random() < 0.35)
        shown = living(person, Attacker(seed, None, asked), **held).performance
        clothes: tuple[Placed, ...] = ()
    else:
        kind = SPECIES[species]
        parameters = {name: drawn(limit, rng) for name, limit in kind.shape.items()}
        shown = kind.perform(person, Attacker(seed, wearer if kind.worn else None), **parameters, **held)
        scale = parameters.get("scale", 1.0)
        dressed = species in GROUPS["mannequin"] or species.startswith("printed_head")
        worn = [part for part in person.surfaces(NEUTRAL) if dressed and part.material in (GLASS, CLOTH)]
        clothes = tuple(Placed(scaled(part, scale), shown(0.0)[0].pose) for part in worn)

    def at(time_s: float) -> tuple[Placed, ...]:
        placed = shown(time_s)
        dress = tuple(Placed(one.surface, placed[0].pose) for one in clothes)
        return tuple(Placed(coated(one.surface), one.pose) for one in (*placed, *dress))

    return at


def _module(rng: np.random.Generator) -> Preset:
    """As `cue_presentations` draws them; some with fewer and weaker dots, a softer lens, a noisier sensor."""
    made = unit(rng)
    if rng.random() >= POOR:
        return made
    dots, lens = made.projector, made.lens
    return msgspec.structs.replace(
        made,
        projector=msgspec.structs.replace(
            dots, count=round(dots.count * rng.uniform(0.35, 0.9)), power_uw=dots.power_uw * float(rng.uniform(0.5, 1))
        ),
        lens=msgspec.structs.replace(lens, psf_px=lens.psf_px * float(rng.uniform(1, 1.5))),
        pixel=msgspec.structs.replace(made.pixel, read_noise_e=float(rng.uniform(6, 14))),
    )


def _filmed(performance: Performance, time_s: float, sensor: Preset, rng: np.random.Generator) -> View | None:
    level = float(rng.choice(LEVELS))
    cycle = take(performance, time_s, sensor, rng, flood_level=level)
    frames = FrameSet(
        sequence=0,
        timestamp_ns=0,
        ir=cycle.ir,
        depth_mm=cycle.depth_mm,
        intrinsics=sensor.intrinsics,
        emitter=Emitter(flood=level, dots=1.0),
        exposure_us=cycle.exposure_us,
        gain=cycle.gain,
        camera=CameraInfo("SIMULATED", "simulated", "-", True),
        ambient=cycle.ambient,
        dots=cycle.dots,
    )
    face = detector().find(frames)
    region = patch(frames, face) if isinstance(face, Face) else None
    return view(frames, face, region) if isinstance(face, Face) and region is not None else None
