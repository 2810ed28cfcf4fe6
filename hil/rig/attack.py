"""A search for what of one species comes nearest to being accepted; it may be cut short and taken up again.

Rules kept here:
- Whatever was judged stands in the folder before the next is proposed: nothing is lost but the presentation in hand.
- A folder is of one search against one system. Where limits, policy, cues or the code that films and judges have
  changed since, it is not taken up.
- What was accepted ends the search: there is nothing nearer.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from firmware.liveness.look import load_basis
from firmware.liveness.policy import POLICIES, PolicyName
from firmware.vision.detect import Detector
from firmware.vision.networks import DETECTOR, load_network
from hil import json_file
from hil.artefacts.species import SPECIES
from hil.rig.attack_search import proposals
from hil.rig.attack_space import Space
from hil.rig.attack_trial import System, Tried, present
from hil.rig.attack_worst import ABOUT, MAX_BYTES, AttackError, WorstCase

SEARCH, TRIED, WORST = "search.json", "tried.jsonl", "worst.json"
_ROOT = Path(__file__).parents[2]
_MADE_BY = (
    "drivers/camera/structured_light/*.py", "firmware/core/session.py", "firmware/liveness/**/*.py",
    "firmware/vision/*.py", "hil/artefacts/*.py", "hil/evaluate/*judge.py", "hil/evaluate/shots.py", "hil/people/*.py",
    "hil/rig/attack*.py", "hil/sensor/*.py", "models/manifest.toml",
)  # fmt: skip


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a search is of: `made_by` is the digest of the code that proposes, films and judges."""

    species: str
    policy: PolicyName
    digest: str
    seed: int
    made_by: str


class Search:
    """One search, kept in a folder."""

    def __init__(self, species: str, policy: str, seed: int, folder: Path, system: System | None = None) -> None:
        """Take it up where it was left, or begin it; `system` is the shipped one where none is given.

        Raises:
            AttackError: there is no such species or policy, or the folder is of something else.
            NetworkError: the detector cannot be loaded.
        """
        if species not in SPECIES:
            raise AttackError(f"no species {species!r}: there are {', '.join(SPECIES)}")
        if policy not in POLICIES:
            raise AttackError(f"no policy {policy!r}: there are {', '.join(POLICIES)}")
        self.system = system or shipped(policy)
        basis = self.system.basis
        self._terms = Terms(species, basis.name, basis.digest.hex(), seed, _made_by())
        self.species, self._folder = species, folder
        self._proposals = proposals(Space(SPECIES[species]), seed)
        self._next = next(self._proposals)
        self.tried: list[Tried] = []
        self._take_up()

    @property
    def worst(self) -> Tried | None:
        """The one that came nearest so far, the first of those that came equally near."""
        return max(self.tried, key=lambda one: one.score, default=None)

    @property
    def case(self) -> WorstCase | None:
        """The same, to be kept."""
        if self.worst is None:
            return None
        terms = self._terms
        return WorstCase(ABOUT, terms.policy, terms.digest, terms.seed, len(self.tried), self.worst)

    def run(self, budget: int) -> Iterator[Tried]:
        """Go on until `budget` presentations were judged, or one was accepted; yields each that is judged now.

        Raises:
            PeopleError, NetworkError: they cannot be made or judged.
            OSError: the folder cannot be written.
        """
        with (self._folder / TRIED).open("ab") as file:
            while len(self.tried) < budget and not (self.tried and self.tried[-1].accepted):
                one = present(self._next, self.system)
                file.write(msgspec.json.encode(one) + b"\n")
                file.flush()
                self._told(one)
                if self.case is not None:
                    json_file.write(self._folder / WORST, self.case)
                yield one

    def _told(self, one: Tried) -> None:
        self.tried.append(one)
        self._next = self._proposals.send(one.score)

    def _take_up(self) -> None:
        terms, log = self._folder / SEARCH, self._folder / TRIED
        if not terms.exists():
            if self._folder.exists() and any(self._folder.iterdir()):
                raise AttackError(f"{self._folder}: is not empty, and holds no search; choose another --out")
            self._folder.mkdir(parents=True, exist_ok=True)
            json_file.write(terms, self._terms)
            return
        kept = json_file.read(terms, Terms, MAX_BYTES, "search", AttackError)
        if changed := [name for name in Terms.__struct_fields__ if getattr(kept, name) != getattr(self._terms, name)]:
            raise AttackError(f"{self._folder}: holds another search ({', '.join(changed)}); choose another --out")
        for one in _lines(log):
            if one.shot != self._next:
                raise AttackError(f"{log}: number {len(self.tried) + 1} is not what comes next; choose another --out")
            self._told(one)


def shipped(policy: PolicyName) -> System:
    """What is attacked unless somebody hands in something else; the attacker knows the secret, if one is asked for.

    Raises:
        NetworkError: the detector cannot be loaded.
    """
    basis = load_basis(policy)
    basis = replace(basis, policy=msgspec.structs.replace(basis.policy, pin=False))
    return System(basis, Detector(load_network(DETECTOR)))


def _lines(log: Path) -> list[Tried]:
    """What the log holds; a last line that was cut short is dropped. Raises AttackError."""
    raw = log.read_bytes() if log.exists() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        log.write_bytes(whole)
    try:
        return [msgspec.json.decode(line, type=Tried, strict=True) for line in whole.splitlines()]
    except msgspec.DecodeError as error:
        raise AttackError(f"{log}: damaged: {error}; choose another --out") from error


def _made_by() -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _MADE_BY for path in _ROOT.glob(pattern)}):
        digest.update(f"{path.relative_to(_ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
