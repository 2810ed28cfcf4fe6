"""What the firmware makes of rendered people: an infrared embedding and a canonical depth face of every frame.

Rules kept here:
- The terminal's own detector, aligner, int8 network and `canonical` make everything.
- Depth is kept as a map, not as an embedding: another depth network needs no rendering.
- One small file a person, written whole or not at all: a run that was cut short goes on where it stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import FrameSet
from firmware.vision.align import align
from firmware.vision.canonical import COLUMNS, ROWS, canonical
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, EMBEDDER
from hil.people import virtual_person
from models.manifest import CPU, find
from models.train.depth_faces import HOLE, stored
from models.train.rendered import ENROLMENT, look, probes

PROBES = 3
VERSION = 2  # raised whenever a frame would come out otherwise: faces of two versions never mix
ROOT = Path("build") / "calibrate"


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """One person: the five guided poses, then the probes.

    Attributes:
        ir: (N, 128) float32 unit embeddings, NaN where no usable face was found.
        depth: (N, ROWS, COLUMNS) int16 as `depth_faces.stored` has it, all `HOLE` where there is none.
    """

    ir: NDArray[np.float32]
    depth: NDArray[np.int16]


def folder(root: Path = ROOT) -> Path:
    """Where the frames of this version and these networks lie."""
    networks = [find(name).files[CPU].sha256[:8] for name in (DETECTOR, EMBEDDER)]
    return root / "-".join(["virtual", str(VERSION), *networks])


def frames_of(seed: int, detector: Detector, embedder: Embedder, root: Path = ROOT) -> Frames:
    """Frames of virtual person `seed`, made if not there yet."""
    path = folder(root) / f"{seed}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        seen = [_seen(frames, detector, embedder) for frames in _frames(seed)]
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, ir=np.stack([one[0] for one in seen]), depth=np.stack([one[1] for one in seen]))
        partial.replace(path)
    with np.load(path, allow_pickle=False) as kept:
        return Frames(kept["ir"], kept["depth"])


def _frames(seed: int) -> Iterator[FrameSet]:
    head, rng = virtual_person(seed), np.random.default_rng([seed, 1])
    for pose in ENROLMENT:
        yield look(head, pose, rng)
    yield from probes(seed, PROBES)


def _seen(frames: FrameSet, detector: Detector, embedder: Embedder) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    nobody = np.full(128, np.nan, np.float32), np.full((ROWS, COLUMNS), HOLE, np.int16)
    face = detector.find(frames)
    if not isinstance(face, Face):
        return nobody
    shape = canonical(frames.depth_mm, frames.intrinsics, face.points_mm)
    return embedder.embed(align(frames.ir, face.points_px)), nobody[1] if shape is None else stored(shape)
