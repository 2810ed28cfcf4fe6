"""Embeddings and scores of rendered people, through the very detector, aligner and network of the firmware.

One small file a person is kept under `build/`, in a folder named by everything that decides its content, so that a
run that was cut short goes on where it stopped and a changed pipeline begins anew.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from drivers.camera.interface import FrameSet
from firmware.vision.align import align
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face
from firmware.vision.match import make_template
from firmware.vision.networks import load_network
from hil.people import virtual_person
from models.train.rendered import ENROLMENT, MEAN_PEOPLE, SCORED_PEOPLE, look, probes
from models.train.statistics import Scores

PROBES = 3
SOURCES = ("firmware/vision/*.py", "hil/people/*.py", "hil/sensor/*.py", "models/train/rendered.py", "models/*.toml")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Cosines of templates with probes of other people (`first`, `second`: who) and of the same.

    `mean` (128,) was subtracted from both sides; `asked` frames were rendered, in `found` of them a face was usable.
    """

    mean: NDArray[np.float32]
    genuine: Scores
    impostor: Scores
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    asked: int
    found: int


def measure() -> Measured:
    """Render everybody that is not there yet and score each template against each probe."""
    detector, embedder = Detector(load_network("yunet")), Embedder(load_network("sface"))
    cache = Path("build") / "calibrate" / _digest()
    cache.mkdir(parents=True, exist_ok=True)

    def embeddings(seed: int) -> NDArray[np.float32]:
        path = cache / f"{seed}.npy"
        if not path.exists():
            partial = path.with_suffix(".partial.npy")
            np.save(partial, np.stack([_embed(detector, embedder, frames) for frames in _frames(seed)]))
            partial.replace(path)
        stored: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return stored

    others = np.concatenate([embeddings(seed) for seed in track(MEAN_PEOPLE, description="mean of other people")])
    mean = others[np.isfinite(others[:, 0])].mean(0)
    scored = np.stack([embeddings(seed) for seed in track(SCORED_PEOPLE, description="scored people")])
    return _score(mean, scored)


def _digest() -> str:
    """Name of everything that decides an embedding."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in Path().glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _frames(seed: int) -> Iterator[FrameSet]:
    head, rng = virtual_person(seed), np.random.default_rng([seed, 1])
    for pose in ENROLMENT:
        yield look(head, pose, rng)
    yield from probes(seed, PROBES)


def _embed(detector: Detector, embedder: Embedder, frames: FrameSet) -> NDArray[np.float32]:
    """(128,) float32, NaN where no usable face was found."""
    face = detector.find(frames)
    if not isinstance(face, Face):
        return np.full(128, np.nan, np.float32)
    return embedder.embed(align(frames.ir, face.points_px))


def _score(mean: NDArray[np.float32], scored: NDArray[np.float32]) -> Measured:
    """`scored` is (people, enrolment + probes, 128); those whose enrolment failed take no part."""
    usable = np.isfinite(scored[:, :, 0])
    enrolled = np.flatnonzero(usable[:, : len(ENROLMENT)].all(1))
    templates = _centre(np.stack([make_template(list(scored[who, : len(ENROLMENT)])) for who in enrolled]), mean)
    who, which = np.nonzero(usable[:, len(ENROLMENT) :])
    cosines = templates @ _centre(scored[who, len(ENROLMENT) + which], mean).T
    first, second = (np.broadcast_to(side, cosines.shape) for side in (enrolled[:, None], who[None, :]))
    same = first == second
    return Measured(
        mean,
        cosines[same].astype(np.float64),
        cosines[~same].astype(np.float64),
        first[~same].astype(np.int64),
        second[~same].astype(np.int64),
        usable.size,
        int(usable.sum()),
    )


def _centre(embeddings: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    moved = embeddings - mean
    unit: NDArray[np.float32] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    return unit
