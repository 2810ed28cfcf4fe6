"""How alike virtual people look to SFace: `python -m hil.people.likeness --generator ict --people 200`.

Every person is rendered, bare-headed, frontal at rest and twice more as a customer would stand, living (blinking,
glancing, perhaps talking); the terminal's own detector, aligner and int8 network do the rest. Cosines are raw: no mean
of other people is subtracted, which is what the calibration of the virtual population does next. The target, an
impostor mean of at most 0.5, is for these raw cosines. Simulated: it says nothing of real people.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import CameraInfo, Emitter, FrameSet
from firmware.vision.align import align
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face
from firmware.vision.networks import load_network
from hil.people.actor import NEUTRAL, Actor, Expression
from hil.people.generators import GENERATORS, Generator, make_actor
from hil.people.living import Timeline
from hil.sensor.capture import render
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene

FIRST_SEED = 2_000_000
PICTURES = 3
TARGET = 0.5
_CAMERA = CameraInfo(serial="likeness", firmware="", calibration_digest="reference lens", flood=True)


@dataclass(frozen=True, eq=False)
class Likeness:
    """Raw cosines: `genuine` (G,) within and `impostor` (I,) between people; `found` of `asked` pictures had a face."""

    genuine: NDArray[np.float32]
    impostor: NDArray[np.float32]
    found: int
    asked: int


def measure(generator: Generator, people: int, first_seed: int = FIRST_SEED) -> Likeness:
    """Render `people` of `generator` and compare every picture with every other."""
    detector, embedder = Detector(load_network("yunet")), Embedder(load_network("sface"))
    whose, embedded = [], []
    for seed in range(first_seed, first_seed + people):
        for frames in _pictures(make_actor(generator, seed), seed):
            face = detector.find(frames)
            if isinstance(face, Face):
                vector = embedder.embed(align(frames.ir, face.points_px))
                whose.append(seed)
                embedded.append(vector / np.linalg.norm(vector))
    vectors, owner = np.array(embedded, np.float32), np.array(whose)
    cosines = vectors @ vectors.T
    first, second = np.triu_indices(len(vectors), 1)
    same = owner[first] == owner[second]
    values = cosines[first, second]
    return Likeness(values[same], values[~same], len(vectors), people * PICTURES)


def _pictures(actor: Actor, seed: int) -> Iterator[FrameSet]:
    rng = np.random.default_rng([seed, 0x11CE])
    timeline = Timeline(seed)
    yield _picture(actor, NEUTRAL, Pose(z_mm=450), rng)
    for _ in range(PICTURES - 1):
        expression, off = timeline.at(float(rng.uniform(0, 30)))
        stands = Pose(
            x_mm=float(rng.uniform(-30, 30)), y_mm=float(rng.uniform(-20, 20)), z_mm=float(rng.uniform(380, 650)),
            yaw_deg=float(rng.normal(0, 7)), pitch_deg=float(rng.normal(0, 5)), roll_deg=float(rng.normal(0, 4)),
        )  # fmt: skip
        yield _picture(actor, expression, stands.moved(off), rng)


def _picture(actor: Actor, expression: Expression, pose: Pose, rng: np.random.Generator) -> FrameSet:
    ir, depth_mm = render(Scene(tuple(Placed(surface, pose) for surface in actor.surfaces(expression))), rng)
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


def report(generator: Generator, people: int, measured: Likeness) -> str:
    """Both distributions in text, and whether the target is met."""
    lines = [
        f"simulated: {people} people of {generator}, {PICTURES} pictures each, a face in {measured.found} of "
        f"{measured.asked}; raw SFace cosine"
    ]
    for name, values in (("genuine", measured.genuine), ("impostor", measured.impostor)):
        low, middle, high = np.percentile(values, (1, 50, 99))
        lines.append(
            f"{name:9} n {len(values):7}  mean {values.mean():.3f}  sd {values.std():.3f}  min {values.min():.3f}  "
            f"1% {low:.3f}  50% {middle:.3f}  99% {high:.3f}  max {values.max():.3f}"
        )
    edges = np.linspace(-0.2, 1.0, 25)
    lines.append("cosine from  genuine  impostor (share of each, per mille)")
    for edge, genuine, impostor in zip(edges, _shares(measured.genuine, edges), _shares(measured.impostor, edges),
                                       strict=False):  # fmt: skip
        lines.append(f"{edge:11.2f} {genuine:8.1f} {impostor:9.1f}")
    met = measured.impostor.mean() <= TARGET
    lines.append(f"impostor mean at most {TARGET}: {'met' if met else 'NOT met'}")
    return "\n".join(lines)


def _shares(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.histogram(values, edges)[0] * (1000 / len(values)), np.float64)


def main() -> int:
    """Measure and print. Exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", choices=GENERATORS, required=True)
    parser.add_argument("--people", type=int, default=200)
    asked = parser.parse_args()
    measured = measure(asked.generator, asked.people)
    sys.stdout.write(report(asked.generator, asked.people, measured) + "\n")
    return 0 if measured.impostor.mean() <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
