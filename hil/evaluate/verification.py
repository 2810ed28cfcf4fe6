"""Scores of a list of pairs, by the networks of the terminal.

Rules kept here:
- Every file is looked at once, in whichever pairs it stands; what it gave is kept until the report is written, so that
  a run that was cut short goes on. These notes are biometric data; they go when the report is there.
- A file without a usable face is a failure to enrol: its pairs have no score and are counted, never guessed.
- A score is a cosine, larger is more alike: of two pictures, or of a scan's templates and another's probes.
"""

import hashlib
import shutil
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet, Intrinsics
from drivers.npu.interface import Network
from firmware.vision.canonical import Canonical, canonical
from firmware.vision.detect import Detector
from firmware.vision.embed import Modality
from firmware.vision.face import Face
from hil.evaluate import meshes
from hil.evaluate.errors import EvaluateError
from hil.evaluate.faces import NO_CANONICAL, Missed, crop_of, shape_of
from hil.evaluate.networks import Reader, template_of
from hil.evaluate.pairs import MESHES, Pair, inside
from hil.evaluate.pictures import read_depth, read_grey
from hil.evaluate.rates import Trials

VERSION = 1  # raised whenever a file would be read otherwise
MAX_FILES = 200_000
F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What a file gave: (n, 128) unit vectors of its probes, (m, 128) of its templates; or why nothing.

    A picture is its own template.
    """

    probes: F32
    templates: F32
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Every score of every pair.

    Attributes:
        pair: (n,) int64, index of the pair, rising.
        probe: (n,) int64, which probe of `b`.
        score: (n,) float64.
        failed: reason by file.
        files: that were looked at.
    """

    pair: NDArray[np.int64]
    probe: NDArray[np.int64]
    score: NDArray[np.float64]
    failed: dict[str, str]
    files: int


class Looker:
    """Reads files of one kind and embeds them."""

    def __init__(self, folder: Path, modality: Modality, reader: Reader, detector: Network, lens: Intrinsics | None):
        self._folder, self._modality, self._reader = folder, modality, reader
        self._network, self._detector, self._lens = detector, Detector(detector), lens

    def key(self, path: Path) -> str:
        """Names everything that decides what `path` tells."""
        digest = hashlib.sha256(f"{VERSION} {self._modality} {self._reader.digest} {self._lens}".encode())
        try:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            raise EvaluateError(f"{path}: cannot be read: {error.strerror}") from error
        return digest.hexdigest()

    def look(self, path: Path) -> Told:
        """Look at one file. Raises EvaluateError where it is not what it should be, NetworkError."""
        if self._modality == "ir":
            found = crop_of(self._network, read_grey(path))
            return _missed(found.reason) if isinstance(found, Missed) else _one(self._reader.embed_crop(found))
        if path.suffix in MESHES:
            return self._mesh(path)
        if self._lens is None:
            raise EvaluateError(f"{path}: a depth image needs the camera's intrinsics: --intrinsics FILE.toml")
        shape = shape_of(self._network, read_depth(path, self._lens), self._lens)
        return _missed(shape.reason) if isinstance(shape, Missed) else _one(self._reader.embed_shape(shape))

    def _mesh(self, path: Path) -> Told:
        actor = meshes.load(path)
        seed = int(self.key(path)[:8], 16)  # noise of its own, the same every time
        poses = [self._seen(frames) for frames in meshes.enrolment(actor, seed)]
        probes = [self._seen(frames) for frames in meshes.probes(actor, seed)]
        if any(isinstance(pose, Missed) for pose in poses):
            return _missed(next(pose.reason for pose in poses if isinstance(pose, Missed)))
        seen = [self._reader.embed_shape(probe) for probe in probes if isinstance(probe, Canonical)]
        if not seen:
            return _missed(NO_CANONICAL)
        enrolled = [self._reader.embed_shape(pose) for pose in poses if isinstance(pose, Canonical)]
        return Told(np.stack(seen), template_of("depth", enrolled))

    def _seen(self, frames: FrameSet) -> Canonical | Missed:
        face = self._detector.find(frames)
        if not isinstance(face, Face):
            return Missed(face.reason.value)
        return canonical(frames.depth_mm, frames.intrinsics, face.points_mm) or Missed(NO_CANONICAL)


def score(pairs: list[Pair], folder: Path, looker: Looker, notes: Path, step: Callable[[int, int], None]) -> Scored:
    """Look at every file, then compare. `step(done, of)` is told of progress.

    Raises:
        EvaluateError, NetworkError: a file is not there or not what it should be; nothing is scored then.
    """
    names = sorted({name for pair in pairs for name in (pair.a, pair.b)})
    if len(names) > MAX_FILES:
        raise EvaluateError(f"{len(names)} files; at most {MAX_FILES}")
    paths = {name: inside(folder, name) for name in names}
    notes.mkdir(parents=True, exist_ok=True)
    told: dict[str, Told] = {}
    for number, (name, path) in enumerate(paths.items(), start=1):
        told[name] = _noted(looker, path, notes)
        step(number, len(names))
    return _compared(pairs, told)


def forget(notes: Path) -> None:
    """Remove what was noted of faces."""
    shutil.rmtree(notes)


def trials(pairs: list[Pair], scored: Scored) -> Trials:
    """The scored pairs as trials, people numbered."""
    number = {
        name: k for k, name in enumerate(sorted({who for pair in pairs for who in (pair.person_a, pair.person_b)}))
    }
    first = np.array([number[pair.person_a] for pair in pairs], np.int64)[scored.pair]
    second = np.array([number[pair.person_b] for pair in pairs], np.int64)[scored.pair]
    return Trials(scored.score, first == second, first, second)


def _compared(pairs: list[Pair], told: dict[str, Told]) -> Scored:
    numbers, probes, scores = array("q"), array("q"), array("d")  # millions of pairs are no list of tuples
    for number, pair in enumerate(pairs):
        one, other = told[pair.a], told[pair.b]
        if one.reason or other.reason:
            continue
        best = (other.probes @ one.templates.T).max(axis=1)
        numbers.extend([number] * len(best))
        probes.extend(range(len(best)))
        scores.extend(best.tolist())
    return Scored(
        np.array(numbers, np.int64),
        np.array(probes, np.int64),
        np.array(scores, np.float64),
        {name: one.reason for name, one in told.items() if one.reason},
        len(told),
    )


def _noted(looker: Looker, path: Path, notes: Path) -> Told:
    note = notes / f"{looker.key(path)}.npz"
    if not note.exists():
        told = looker.look(path)
        partial = note.with_suffix(".partial.npz")
        np.savez(partial, probes=told.probes, templates=told.templates, reason=np.array(told.reason))
        partial.replace(note)
    with np.load(note, allow_pickle=False) as kept:
        return Told(kept["probes"], kept["templates"], str(kept["reason"]))


def _one(vector: F32) -> Told:
    return Told(vector[None], vector[None])


def _missed(reason: str) -> Told:
    nothing = np.zeros((0, 128), np.float32)
    return Told(nothing, nothing, reason)
