"""The worst case that a search found, as a small file, and the recording that is made from it whenever it is wanted.

Rules kept here:
- The file is enough: the same recording comes out of it again, bit for bit, prompts and all.
- It says what the frozen system made of it, which system that was, and how hard was looked for it. One that was
  accepted is kept like any other, and says so.
"""

from pathlib import Path
from typing import Final

import msgspec

from drivers.camera.recording import RecordingWriter
from firmware.liveness.policy import PolicyName
from hil import json_file
from hil.rig.attack_trial import System, Tried, present

KEPT: Final = Path(__file__).parent / "regressions"
"""Worst cases that are presented anew by the tests."""
MAX_BYTES = 64 * 1024
ABOUT: Final = "SIMULATED: the worst case that a search found; no rate follows from it, and nothing was tuned on it."


class AttackError(ValueError):
    """A search that cannot be made or taken up, or a file that is no worst case; the message says what to do."""


class WorstCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The presentation of one species that came nearest to being accepted.

    Attributes:
        about: what kind of thing this is, for whoever opens the file.
        policy: that judged.
        digest: of limits, policy and cues, as an authorization is bound to it, in hex.
        seed: of the search.
        tried: presentations that the search had judged by then.
        worst: this one.
    """

    about: str
    policy: PolicyName
    digest: str
    seed: int
    tried: int
    worst: Tried


def read(path: Path) -> WorstCase:
    """Read one. Raises AttackError."""
    return json_file.read(path, WorstCase, MAX_BYTES, "worst case", AttackError)


def record(case: WorstCase, system: System, path: Path) -> Tried:
    """Present it anew and write the recording into the new file `path`.

    Raises:
        AttackError: it cannot be made any more.
        PeopleError, NetworkError, RecordingWriteError: it cannot be filmed, judged or written.
    """
    shot = case.worst.shot
    consent = f"simulated person {shot.generator}-{shot.person}; nobody real is in it"
    with RecordingWriter(path, consent) as writer:
        tried = present(shot, system, writer)
    if not tried.frames:
        path.unlink()
        raise AttackError(f"{shot.species}: cannot be made: {tried.stopped_by}")
    return tried
