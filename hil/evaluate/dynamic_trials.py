"""From presentations that can be asked something to decisions: each judged once; a run that was cut short goes on.

Rules kept here:
- Decisions are kept one a line, each with the presentation's own digest, in a folder named after what made them:
  limits, policy, cues, the code that judges and the frames' version. Another of any of these begins anew.
- Frames are kept by what was asked until then: judging again films only what is asked otherwise.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import msgspec

from drivers.npu.interface import Network
from firmware.liveness.look import Basis, load_basis
from firmware.liveness.policy import PolicyName
from firmware.runtime.config import load_profile
from firmware.vision.detect import Detector
from firmware.vision.networks import DETECTOR, load_network
from hil.evaluate import sources
from hil.evaluate.dynamic_judge import Seen, judge_asked, motion_alone
from hil.evaluate.dynamic_protocol import FPS, Presented
from hil.evaluate.shots import VERSION, Film, answers
from hil.rig.scenario import BONA_FIDE

JUDGING = (
    "drivers/camera/structured_light/*.py",
    "firmware/liveness/**/*.py",
    "firmware/liveness/**/*.toml",
    "firmware/runtime/profiles/*.toml",
    "firmware/vision/*.py",
    "hil/evaluate/dynamic_judge.py",
    "hil/evaluate/judge.py",
    "models/manifest.toml",
)


class Tried(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one presentation, and what is known of it otherwise.

    Attributes:
        seen: by the terminal.
        complied: of a person, by prompt shown: whether they did anything about it; the simulation's own truth.
        alone: where that was asked for, what became of it where motion alone decided.
    """

    seen: Seen
    complied: tuple[bool, ...] = ()
    alone: Seen | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    digest: str
    tried: Tried


Result = tuple[Presented, Tried]


class Ledger:
    """What was decided by what stands now, kept in `root`."""

    def __init__(self, root: Path) -> None:
        """Read what is kept; a line that was cut short is dropped."""
        self._root, self._path = root, root / f"tried-{terms()[:16]}.jsonl"
        root.mkdir(parents=True, exist_ok=True)
        raw = self._path.read_bytes() if self._path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            self._path.write_bytes(whole)
        lines = (msgspec.json.decode(line, type=_Line) for line in whole.splitlines())
        self._kept = {line.digest: line.tried for line in lines}

    def known(self, presented: Sequence[Presented]) -> list[Result]:
        """What is decided of these already."""
        kept = ((one, self._kept.get(digest(one))) for one in presented)
        return [(one, tried) for one, tried in kept if tried is not None]

    def decide(self, presented: Sequence[Presented], pool: Executor) -> None:
        """Judge what is not decided yet, in order, each noted at once.

        Raises:
            PeopleError, ArtefactError, NetworkError: one cannot be made or judged.
        """
        left = [one for one in presented if digest(one) not in self._kept]
        with self._path.open("ab") as file:
            for one, tried in zip(left, pool.map(partial(_tried, self._root), left), strict=True):
                self._kept[digest(one)] = tried
                file.write(msgspec.json.encode(_Line(digest(one), tried)) + b"\n")
                file.flush()


def digest(one: Presented) -> str:
    """Of everything about a presentation but the row that it belongs to."""
    return hashlib.sha256(msgspec.json.encode((one.shot, one.policy, one.motion_alone))).hexdigest()[:24]


def instrument(one: Presented) -> str:
    """Of an attack: which instrument, however it was held."""
    return hashlib.sha256(msgspec.json.encode(replace(one.shot, prompts=(), fps=FPS))).hexdigest()[:12]


@cache
def terms() -> str:
    """Of what judges."""
    bases = "".join(basis_of(name).digest.hex() for name in ("payment", "door"))
    return hashlib.sha256(f"{VERSION} {bases} {sources.digest(JUDGING)}".encode()).hexdigest()


@cache
def basis_of(policy: PolicyName) -> Basis:
    """The shipped basis."""
    return load_basis(policy)


def _tried(root: Path, one: Presented) -> Tried:
    detector, profile, film = Detector(_network()), load_profile("payment"), Film(one.shot, root)
    seen = judge_asked(film, basis_of(one.policy), detector, profile)
    alone = None
    if one.motion_alone:
        alone = judge_asked(Film(one.shot, root), motion_alone(basis_of(one.policy)), detector, profile)
    complied = tuple(not answer.refused for answer in answers(film.shot)) if one.shot.species == BONA_FIDE else ()
    return Tried(seen, complied, alone)


@cache
def _network() -> Network:
    return load_network(DETECTOR)
