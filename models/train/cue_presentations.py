"""Presentations that soft cues are calibrated on: rendered, found by the firmware's own detector, kept on disk.

Rules kept here:
- Everything follows from species and number. People are ICT's, of seeds 2,000,000 to 2,999,999; the sensor is a unit of
  preset `structured-light`, each presentation's own. Other generators and other makers' sensors are evaluation's.
- Materials are those of `hil.sensor.material` within a seventh, evaluation's are a sixth and more away. Skins vary
  more.
- What was rendered is kept: a run that was cut short goes on where it stopped.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from drivers.camera import CameraInfo, Emitter, FrameSet
from firmware.liveness.code import LEVELS
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.instrument import Attacker, Limit
from hil.artefacts.species import SPECIES
from hil.evaluate.cue_fit import LIVING
from hil.people.generators import make_actor
from hil.people.living import Prompt
from hil.people.sliders import Wearable
from hil.rig.render import living
from hil.sensor.cycle import take
from hil.sensor.material import GLASS, SKIN, Material
from hil.sensor.optics import CONE_SR
from hil.sensor.presets import Ambient, Preset, preset
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import Surface
from models.train.cue_frames import Seen, cut, keep, kept

VERSION = 2  # raised whenever a frame would come out otherwise
FRAMES, FPS = 5, 15.0
PEOPLE, VICTIMS, WEARERS = 2_000_000, 2_300_000, 2_600_000  # first seeds
DISTANCE_MM, YAW_DEG, PITCH_DEG = (310.0, 900.0), (-18.0, 18.0), (-12.0, 12.0)
WORN: tuple[tuple[Wearable, float], ...] = (("glasses", 0.25), ("cap", 0.06), ("beanie", 0.04))
SUNNY, SUN = 0.3, (0.1, 5.0)  # share of all presentations; times what the flood gives half a metre away
TALKING = 0.3  # of the bona fide
SKIN_SPREAD, SHARP, OTHER_SPREAD = (0.7, 1.45), (0.0, 0.35), (0.87, 1.14)  # factors of the radii; surface share
SUN_AT_M = 0.5
RECTIFIED_PX2 = 0.25
"""What rectification adds to the variance of a dot here, measured on the reference pattern. Whether a module's own
`dot_sigma_px` holds that depends on how its maker measured: it is drawn, so that the cue does not depend on it."""


def presentation(species: str, number: int, folder: Path) -> list[Seen]:
    """Presentation `number` of a species or of bona fide people; frames without a face are left out."""
    path = folder / f"v{VERSION}" / f"{species.replace(' ', '_')}-{number}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        keep(path, _look(species, number))
    return kept(path)


def _look(species: str, number: int) -> Iterator[Seen]:
    rng = np.random.default_rng([VERSION, number, *species.encode()])
    sensor = unit(rng)
    own = sensor.projector.sigma_px**2 + sensor.lens.psf_px**2 + RECTIFIED_PX2 * rng.uniform()
    info = CameraInfo("SIMULATED", "simulated", "-", True, dot_sigma_px=float(np.sqrt(own)))
    shown = _shown(species, number, rng)
    for sequence in range(FRAMES):
        level = float(rng.choice(LEVELS))
        cycle = take(shown, sequence / FPS, sensor, rng, flood_level=level)
        frames = FrameSet(
            sequence=sequence,
            timestamp_ns=round(sequence / FPS * 1e9),
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
        face = detector().find(frames)
        if isinstance(face, Face):
            yield cut(frames, face)


@lru_cache(maxsize=1)
def detector() -> Detector:
    """The firmware's own, made once."""
    return Detector(load_network(DETECTOR))


def unit(rng: np.random.Generator) -> Preset:
    """One module of the training preset, as modules of one make differ; and the light it stands in."""
    base = preset("structured-light")
    sun = float(np.exp(rng.uniform(*np.log(SUN)))) if rng.random() < SUNNY else 0.0
    flood_w_m2 = base.flood_w / CONE_SR / SUN_AT_M**2
    return msgspec.structs.replace(
        base,
        flood_w=base.flood_w * float(rng.uniform(0.8, 1.2)),
        projector=msgspec.structs.replace(
            base.projector,
            power_uw=base.projector.power_uw * float(rng.uniform(0.8, 1.2)),
            count=round(base.projector.count * rng.uniform(0.85, 1.15)),
            sigma_px=float(rng.uniform(0.5, 0.8)),
            speckle=float(rng.uniform(0, 0.3)),
            missing=float(rng.uniform(0, 0.04)),
        ),
        lens=msgspec.structs.replace(
            base.lens,
            psf_px=float(rng.uniform(0.55, 1.1)),
            misaligned_px=(float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-0.2, 0.2))),
        ),
        pixel=msgspec.structs.replace(
            base.pixel, quantum_efficiency=float(rng.uniform(0.2, 0.4)), read_noise_e=float(rng.uniform(2, 8))
        ),
        ambient=Ambient(
            sun=sun * flood_w_m2 / base.ambient.sun_w_m2,
            towards_sun=(float(rng.uniform(-1, 1)), -0.7, float(rng.uniform(-1, 0.2))),
            indoor_w_m2=float(rng.uniform(0, 0.4)),
        ),
    )


def _shown(species: str, number: int, rng: np.random.Generator) -> Performance:
    """The presentation, of materials of its own."""
    held = {
        "distance_mm": float(rng.uniform(*DISTANCE_MM)),
        "yaw_deg": float(rng.uniform(*YAW_DEG)),
        "pitch_deg": float(rng.uniform(*PITCH_DEG)),
    }
    coated = Materials(rng)
    if species == LIVING:
        worn = tuple(thing for thing, share in WORN if rng.random() < share)
        speaks = (Prompt("speak", -1.0),) if rng.random() < TALKING else ()
        person = make_actor("ict", PEOPLE + number, worn=worn)
        shown = living(person, Attacker(number, None, speaks), **held).performance
    else:
        kind = SPECIES[species]
        victim = make_actor("ict", VICTIMS + number)
        wearer = make_actor("ict", WEARERS + number) if kind.worn else None
        parameters = {name: drawn(limit, rng) for name, limit in kind.shape.items()}
        shown = kind.perform(victim, Attacker(number, wearer), **parameters, **held)
    return lambda time_s: tuple(Placed(coated(one.surface), one.pose) for one in shown(time_s))


def drawn(limit: Limit, rng: np.random.Generator) -> float:
    """Evenly within a parameter's limits."""
    whole = rng.integers(int(limit.low), int(limit.high) + 1)
    return float(whole if limit.whole else rng.uniform(limit.low, limit.high))


class Materials:
    """Skin, paint, plastic, paper of this presentation: reflectance, sheen, spread and surface share drawn once."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._tone, self._sheen = np.float32(rng.uniform(0.85, 1.1)), np.float32(rng.uniform(0.6, 1.5))
        self._skin_spread, self._skin_sharp = (
            float(np.exp(rng.uniform(*np.log(SKIN_SPREAD)))),
            float(rng.uniform(*SHARP)),
        )
        self._spread = float(rng.uniform(*OTHER_SPREAD))
        self._toned: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, surface: Surface) -> Surface:
        """`surface` as this presentation's own matter makes it."""
        if surface.material == GLASS:
            return surface
        if surface.material != SKIN:
            return replace(surface, material=self._of(surface.material, self._spread, surface.material.sharp))
        if id(surface.albedo) not in self._toned:
            self._toned[id(surface.albedo)] = (surface.albedo, np.clip(surface.albedo * self._tone, 0, 0.9))
        albedo = self._toned[id(surface.albedo)][1]
        gloss = np.where(surface.gloss < 0.6, np.minimum(surface.gloss * self._sheen, 0.6), surface.gloss)
        made = self._of(SKIN, self._skin_spread, self._skin_sharp)
        return replace(surface, albedo=albedo, gloss=gloss.astype(np.float32), material=made)

    @staticmethod
    def _of(material: Material, spread: float, sharp: float) -> Material:
        near, half, far = (spread * radius for radius in material.spread_mm)
        return Material(material.name, (near, half, far), sharp)
