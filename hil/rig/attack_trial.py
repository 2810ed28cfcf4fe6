"""One presentation of a search: filmed, judged by the frozen system, and measured by how near it came to a yes.

Rules kept here:
- Everything follows from the shot and the policy: the same shot gives the same frames, prompts, decision and score.
- It is judged by what judges the evidence, and stops where a terminal would.
- What cannot be made is as far away as can be, and says why.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from drivers.camera import FrameSet
from drivers.camera.recording import RecordingWriter
from firmware.liveness.look import Basis
from firmware.liveness.verdict import NOT_ALIVE
from firmware.runtime.config import load_profile
from firmware.vision.detect import Detector
from hil.artefacts.instrument import ArtefactError
from hil.artefacts.species import SPECIES
from hil.evaluate.dynamic_judge import Asked, judge_asked
from hil.evaluate.judge import Decision
from hil.evaluate.shots import START_NS, Film, Shot, emitted
from hil.people.living import PromptKind
from hil.rig.attack_score import ACCEPTED, Nearness

PROFILE: Final = "payment"
"""How long a terminal looks."""
GIVEN_UP_AFTER: Final = 12
"""Frames in none of which there was a face to judge: what nobody sees is put away."""
IMPOSSIBLE: Final = "impossible"
"""Reason of what cannot be made."""


class Tried(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one presentation.

    Attributes:
        shot: what was presented.
        score: how near it came (`attack_score`); larger is nearer.
        decision: of the frozen system.
        reason: why not; empty where accepted.
        stopped_by: the gate or cue that spoke against it, where one did.
        llr: sum of the cues in the best frame, nats; None where some gate failed in every frame.
        prompts: that were shown.
        excess: most motion held for as long as an answer takes, in units of what rigid things reach; None where none
            was measured.
        frames: that were filmed.
    """

    shot: Shot
    score: float
    decision: Decision
    reason: str
    stopped_by: str = ""
    llr: float | None = None
    prompts: tuple[Asked, ...] = ()
    excess: float | None = None
    frames: int = 0

    @property
    def accepted(self) -> bool:
        """Whether it got in."""
        return self.decision == "accepted"


@dataclass(frozen=True)
class System:
    """What is attacked: limits, policy, cues, and the detector of faces."""

    basis: Basis
    detector: Detector


def present(shot: Shot, system: System, writer: RecordingWriter | None = None) -> Tried:
    """Present `shot` and judge it; frames and prompts go to `writer` as well, if there is one.

    Raises:
        PeopleError, NetworkError, RecordingWriteError: it cannot be filmed, judged or written.
    """
    near = Nearness(system.basis.policy)
    with tempfile.TemporaryDirectory() as folder:
        film = _Taped(shot, Path(folder), near, writer)
        try:
            seen = judge_asked(film, system.basis, system.detector, load_profile(PROFILE), watch=near.watch)
        except ArtefactError as error:
            return Tried(shot, 0.0, "non_response", IMPOSSIBLE, str(error))
    moved = [part.held for part in (seen.unasked, seen.answering) if part.held is not None]
    return Tried(
        shot=shot,
        score=ACCEPTED if seen.decision == "accepted" else near.score,
        decision=seen.decision,
        reason=seen.reason,
        stopped_by=near.least if seen.reason == NOT_ALIVE else seen.gate,
        llr=near.llr,
        prompts=seen.asked,
        excess=max(moved, default=None),
        frames=seen.frames,
    )


class _Taped(Film):
    """A film that is written down while it is watched, where there is somewhere to write to."""

    def __init__(self, shot: Shot, root: Path, near: Nearness, writer: RecordingWriter | None) -> None:
        super().__init__(shot, root)
        self._near, self._writer = near, writer

    def ask(self, kind: PromptKind, at_ns: int) -> None:
        """Show a prompt, and note it."""
        super().ask(kind, at_ns)
        if self._writer is not None:
            self._writer.event("prompt", at_ns, prompt=kind)

    def __iter__(self) -> Iterator[FrameSet]:
        """Film and note frame by frame; raises PeopleError, ArtefactError, RecordingWriteError."""
        if self._writer is not None:
            self._writer.event("note", START_NS, text=_note(self.shot))
            self._writer.event("clock", START_NS, unix_ns=0)
            self._writer.event("code", START_NS, levels=emitted(self.shot).levels)
        for frame in super().__iter__():
            if self._writer is not None:
                self._writer.write(frame)
                self._writer.truth(frame.sequence, _truth(self.shot))
            yield frame
            if frame.sequence + 1 == GIVEN_UP_AFTER and not self._near.faced:
                return


def _note(shot: Shot) -> str:
    return f"SIMULATED. {shot.species}, worst case of a search; not modelled: {SPECIES[shot.species].not_modelled}"


def _truth(shot: Shot) -> dict[str, object]:
    worn = {} if shot.wearer is None else {"wearer": f"{shot.generator}-{shot.wearer}"}
    return {
        "person": f"{shot.generator}-{shot.person}",
        "artefact": shot.species,
        "sensor": shot.sensor,
        "seed": shot.seed,
        "parameters": {**dict(shot.parameters), **worn},
    }
