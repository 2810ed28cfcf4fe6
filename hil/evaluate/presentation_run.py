"""Every recording of a list, judged once; a run that was cut short goes on.

Rules kept here:
- What decides is noted with the decision: the recording's own bytes, limits, policy, cues, detector. Another of any of
  these is another note.
- A recording that cannot be judged is a non-response with its reason, whatever its label: no session, no code or two,
  damaged, or cut before there was a decision.
- A copy of a recording under another name, and a row that says another thing than the recording's own ground truth,
  are doubts that stand at the head of the report: they may make any rate wrong.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from drivers.camera import FrameSet
from drivers.camera.recording import Code, RecordingFileError, RecordingReader, SessionEvent, TruncatedError, Truth
from drivers.camera.recording.reader import Item
from firmware.liveness.look import Basis
from firmware.liveness.verdict import UNKNOWN
from firmware.vision.detect import Detector
from hil import json_file
from hil.evaluate.errors import EvaluateError
from hil.evaluate.judge import Judged, judge
from hil.evaluate.presentation_manifest import BONA_FIDE, Presentation
from hil.evaluate.recorded_code import recorded_code

VERSION = 1  # raised whenever a recording would be judged otherwise
MAX_NOTE_BYTES = 64 * 1024
SIMULATED: Final = "simulated"

UNREADABLE, NO_FRAMES, NO_CODE, CUT_SHORT, DAMAGED = "unreadable", "no_frames", "no_code", "cut_short", "damaged"
LEAST_FOCAL: Final = 0.2
"""Focal length over the picture's side: a view of 136 degrees. No lens with more is a pinhole; memory is bounded so."""


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one recording gave.

    Attributes:
        sha256: of the file; empty where it cannot be read.
        judged: the decision.
        simulated: whether its camera or a ground truth says so.
        known: whether there is a ground truth.
        artefact: species by that ground truth; None is a bona fide presentation.
        camera: serial.
    """

    sha256: str
    judged: Judged
    simulated: bool = False
    known: bool = False
    artefact: str | None = None
    camera: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What recordings are judged by; `detector_sha256` is the digest of the detector's network."""

    basis: Basis
    detector: Detector
    detector_sha256: str

    @property
    def digest(self) -> str:
        """Of all of it."""
        named = f"{self.basis.name} {self.basis.digest.hex()} {self.detector_sha256}"
        return hashlib.sha256(named.encode()).hexdigest()


def told_of(
    presentations: Sequence[Presentation], terms: Terms, notes: Path, step: Callable[[int], None]
) -> list[Told]:
    """Judge every recording; `step(done)` is told of progress. Raises EvaluateError for a note, and NetworkError."""
    notes.mkdir(parents=True, exist_ok=True)
    told: list[Told] = []
    for number, one in enumerate(presentations, start=1):
        told.append(_noted(one.path, terms, notes))
        step(number)
    return told


def doubts(presentations: Sequence[Presentation], told: Sequence[Told]) -> list[str]:
    """What makes the list hard to believe, in sentences."""
    found: list[str] = []
    names: dict[str, str] = {}
    for one, its in zip(presentations, told, strict=True):
        if its.sha256 and its.sha256 in names:
            found.append(
                f"{one.name} is a copy of {names[its.sha256]}, byte for byte: there are fewer trials than rows."
            )
        names.setdefault(its.sha256, one.name)
        if its.known and (its.artefact is None) != (one.label == BONA_FIDE):
            shown = its.artefact or "a bona fide presentation"
            found.append(f"{one.name} is listed as {one.species or BONA_FIDE}; its own ground truth says {shown}.")
    refused = [its.judged for its in told if its.judged.decision == "refused"]
    unknown = sum(judged.reason == UNKNOWN for judged in refused)
    if unknown:
        found.append(
            f"{unknown} of {len(refused)} refusals are for a gate that could not be computed: not for what was shown, "
            "but for what these recordings or their camera do not tell."
        )
    simulated = sum(its.simulated for its in told)
    if 0 < simulated < len(told):
        found.append(f"{simulated} of {len(told)} recordings are simulated: rates over both kinds are of neither.")
    return found


def judge_recording(path: Path, sha256: str, basis: Basis, detector: Detector) -> Told:
    """What a recording of that digest gives."""
    try:
        reader = RecordingReader(path)
    except RecordingFileError:
        return Told(sha256, _none(DAMAGED))
    except OSError:
        return Told("", _none(UNREADABLE))
    seen = _Recording(reader)
    try:
        judged = seen.judged(basis, detector)
    except TruncatedError:
        judged = _none(CUT_SHORT)
    except RecordingFileError:
        judged = _none(DAMAGED)
    except _TwoCodesError:
        judged = _none(NO_CODE)
    except OSError:
        judged = _none(UNREADABLE)
    finally:
        reader.close()
    return Told(sha256, judged, seen.simulated, seen.known, seen.artefact, seen.camera)


class _TwoCodesError(Exception):
    """A second code in one recording."""


class _Recording:
    """A recording being read, and what it says of itself."""

    def __init__(self, reader: RecordingReader) -> None:
        self._reader = reader
        self.simulated = self.known = False
        self.artefact: str | None = None
        self.camera = ""

    def judged(self, basis: Basis, detector: Detector) -> Judged:
        """Raises RecordingFileError, _TwoCodesError."""
        before: list[SessionEvent] = []
        first = None
        while first is None:
            item = self._reader.next_item()
            if item is None:
                return _none(NO_FRAMES)
            if isinstance(item, FrameSet):
                first = item
            elif not isinstance(item, Truth):
                before.append(item)
        lens = first.intrinsics
        if lens.fx < LEAST_FOCAL * lens.width or lens.fy < LEAST_FOCAL * lens.height:
            return _none(DAMAGED)
        self.camera, self.simulated = first.camera.serial, first.camera.firmware == SIMULATED
        code = recorded_code(before)
        after = self._reader.next_item()  # ground truth follows its frame: known even if the first one decides
        if isinstance(after, Truth):
            self.known = self.simulated = True
            self.artefact = after.artefact
        return _none(NO_CODE) if code is None else judge(self._frames(first, after), code, basis, detector)

    def _frames(self, first: FrameSet, after: Item | None) -> Iterator[FrameSet]:
        yield first
        while after is not None:
            if isinstance(after, FrameSet):
                yield after
            elif isinstance(after, Code):
                raise _TwoCodesError
            after = self._reader.next_item()


def _none(reason: str) -> Judged:
    return Judged("non_response", reason)


def _noted(path: Path, terms: Terms, notes: Path) -> Told:
    sha256 = _digest(path)
    note = notes / f"{hashlib.sha256(f'{VERSION} {terms.digest} {sha256}'.encode()).hexdigest()}.json"
    if sha256 and note.exists():
        return json_file.read(note, Told, MAX_NOTE_BYTES, "note", EvaluateError)
    told = judge_recording(path, sha256, terms.basis, terms.detector)
    if sha256:
        json_file.write(note, told)
    return told


def _digest(path: Path) -> str:
    """SHA-256 of the file; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
