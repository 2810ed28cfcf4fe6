"""From a protocol to decisions: every presentation judged once; a run that was cut short goes on.

Rules kept here:
- A presentation is judged by the firmware's own gates, cues and policy, over frames as a terminal gets them, against
  the code that the terminal drew: for an injected stream that of the session it is fed into.
- Decisions are kept by what made them: limits, policy, cues, the code that judges and the frames' version. Another of
  any of these begins anew.
- A file of decisions holds whole lines in the order of its set.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path

import msgspec

from drivers.camera import FrameSet
from drivers.npu.interface import Network
from firmware.liveness.code import Emitted
from firmware.liveness.look import Basis, load_basis
from firmware.liveness.policy import PolicyName
from firmware.vision.detect import Detector
from firmware.vision.face import Face, NoFace
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.evaluate import sources
from hil.evaluate.judge import Judged, frames_wanted, judge
from hil.evaluate.presentation_manifest import Presentation
from hil.evaluate.protocol import FLAT, STREAMED, Attack, Fed, People
from hil.evaluate.shots import VERSION, Shot, emitted, frames_of

JUDGING = (
    "drivers/camera/structured_light/*.py",
    "firmware/liveness/**/*.py",
    "firmware/vision/*.py",
    "hil/artefacts/streams.py",
    "hil/evaluate/judge.py",
    "hil/evaluate/liveness_trials.py",
)

GIVEN_UP_AFTER = 3
"""Frames without a face after which a print or screen is put away: nobody would have looked longer."""


@dataclass(frozen=True)
class Trial:
    """One presentation: what a report says of it, and what is shown."""

    row: Presentation
    presented: Shot | Fed


def bona_fide(people: People, groups: Callable[[Shot], Mapping[str, str]] = lambda _: {}) -> list[Trial]:
    """The trials of a set of people, in the groups that `groups` finds."""
    return [Trial(_row(people.name, shot, "", groups(shot)), shot) for shot in people.shots]


def attacks(attack: Attack) -> list[Trial]:
    """The trials of a species: a pair each."""
    return [Trial(_row(attack.name, one, attack.species, {}), one) for one in attack.presented]


def decided(trials: Sequence[Trial], policy: PolicyName, root: Path, pool: Executor) -> Iterator[Judged]:
    """The decision on each trial, in order; judged if it is not kept in `root`.

    Raises:
        PeopleError, ArtefactError, NetworkError: one cannot be made or judged.
    """
    if not trials:
        return
    path = root / f"decided-{_terms(policy)[:16]}" / policy / f"{_name(trials)}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = _kept(path)
    yield from kept
    left = [trial.presented for trial in trials[len(kept) :]]
    with path.open("ab") as file:
        for judged in pool.map(partial(_judged, policy, root), left):
            file.write(msgspec.json.encode(judged) + b"\n")
            file.flush()
            yield judged


def by_shorter_code(longer: Judged, policy: PolicyName) -> Judged | None:
    """What a policy with a shorter code decides, where that follows from `longer`; None where it does not.

    Before its code can be answered nothing is accepted, and until then both see the same.
    """
    if longer.faced and not (longer.decision == "refused" and longer.frames < frames_wanted(basis_of(policy).policy)):
        return None
    return longer


@cache
def basis_of(policy: PolicyName) -> Basis:
    """The shipped basis."""
    return load_basis(policy)


def _judged(policy: PolicyName, root: Path, presented: Shot | Fed) -> Judged:
    frames, code = _shown(presented, root)
    detector = _Watched(_network())
    if isinstance(presented, Shot) and presented.species in FLAT:
        frames = _until_given_up(frames, detector)
    return judge(frames, code, basis_of(policy), detector)


@cache
def _network() -> Network:
    return load_network(DETECTOR)


class _Watched(Detector):
    """A detector that knows whether it has ever found a face."""

    found = False

    def find(self, frames: FrameSet) -> Face | NoFace:
        face = super().find(frames)
        self.found |= isinstance(face, Face)
        return face


def _until_given_up(frames: Iterable[FrameSet], detector: _Watched) -> Iterator[FrameSet]:
    """An instrument that nobody takes for a face is put away."""
    for number, frame in enumerate(frames, start=1):
        yield frame
        if number == GIVEN_UP_AFTER and not detector.found:
            return


def _shown(presented: Shot | Fed, root: Path) -> tuple[Iterable[FrameSet], Emitted]:
    if isinstance(presented, Shot):
        return frames_of(presented, root), emitted(presented)
    past, live = (list(islice(frames_of(one, root), STREAMED)) for one in (presented.past, presented.live))
    return STREAMS[presented.stream].inject(past, live, **dict(presented.parameters)), emitted(presented.live)


@cache
def _terms(policy: PolicyName) -> str:
    return hashlib.sha256(f"{VERSION} {basis_of(policy).digest.hex()} {sources.digest(JUDGING)}".encode()).hexdigest()


def _name(trials: Sequence[Trial]) -> str:
    """Of a set: another set, or the same in another order, has another."""
    digest = hashlib.sha256(msgspec.json.encode([trial.presented for trial in trials])).hexdigest()
    return f"{trials[0].row.path.name}-{digest[:12]}".replace(" ", "-").replace(",", "")


def _kept(path: Path) -> list[Judged]:
    raw = path.read_bytes() if path.exists() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        path.write_bytes(whole)  # the last line was cut short
    return [msgspec.json.decode(line, type=Judged) for line in whole.splitlines()]


def _row(name: str, presented: Shot | Fed, species: str, groups: Mapping[str, str]) -> Presentation:
    subject = str((presented.past if isinstance(presented, Fed) else presented).person)
    if not species:
        return Presentation(name, Path(name), "bona_fide", "", subject, "", "", groups)
    instrument = hashlib.sha256(msgspec.json.encode(presented)).hexdigest()[:12]
    level = (SPECIES.get(species) or STREAMS[species]).level
    return Presentation(name, Path(name), "attack", name, subject, instrument, level)
