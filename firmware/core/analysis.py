"""One frame, looked at: is it fresh, is there one face, is it alive, who is it?

Rules kept here:
- The order is fixed and the first doubt ends it; identity is looked at last, so a frame that fails a gate is
  never matched against anybody.
- While only more frames are missing (`PENDING`), or the eyes look elsewhere, identity is gathered at the same time;
  nothing is decided on that.
- What is kept between frames is the look's (`liveness.look`).
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from drivers.camera import FrameSet
from firmware.liveness.evidence import PENDING, Cue, Gate
from firmware.liveness.look import Basis, Look
from firmware.liveness.policy import Policy
from firmware.liveness.verdict import PIN, holds, weigh
from firmware.payment.messages import Assurance
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedded, FaceEmbedder
from firmware.vision.face import Face, NoFace
from firmware.vision.fusion import MISSING, NOT_RECOGNISED, Judge, Match
from firmware.vision.templates import Templates

IDENTIFIED: Final = ("", PENDING, "not_attentive")
"""Reasons of frames that are asked who it is: nothing speaks against them but, at most, that the eyes are elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one frame showed. An empty `reason` means alive, and, where somebody was claimed, that it is them.

    Attributes:
        reason: a code of `reasons.SENTENCES`, or empty.
        gates: the gates that were computed, in order.
        cues: the soft cues that were weighed.
        llr: their sum, nats, larger is more alive; NaN where not all are there.
        dynamic: whether it has moved as nothing rigid can, and that was asked for.
        face: the face, where there is exactly one in the capture volume.
        embedded: the face's embeddings, only where no gate failed; a modality may be missing.
        match: how they compare with the claimed person's templates.
    """

    reason: str
    gates: tuple[Gate, ...] = ()
    cues: tuple[Cue, ...] = ()
    llr: float = math.nan
    dynamic: bool = False
    face: Face | None = None
    embedded: Embedded | None = None
    match: Match | None = None

    @property
    def assurance(self) -> Assurance:
        """The evidence of life it is, as an authorization states it."""
        if not self.dynamic:
            return "geometry"
        return "dynamic_pin" if any(gate.name == PIN and holds(gate) for gate in self.gates) else "dynamic"

    @property
    def values(self) -> dict[str, float]:
        """Gates, cues and match by name, for the rig; what is unknown is left out."""
        values = {gate.name: gate.value for gate in self.gates} | {cue.name: cue.value for cue in self.cues}
        values["alive_llr"] = self.llr
        if self.match is not None:
            values |= {f"match_{modality}": cosine for modality, cosine in self.match.cosines.items()}
            values["match_llr"] = self.match.llr
        return {name: value for name, value in values.items() if math.isfinite(value)}


def with_pin(finding: Finding, policy: Policy) -> Finding:
    """The same, once the PIN was typed too: everything that `policy` wants is weighed once more, and must be there.

    Only who was found alive and recognised is asked for a PIN: what fails here is a defect, and refuses all the same.
    """
    gates = (*finding.gates, Gate(PIN, 1.0, "typed, and theirs", passed=True, reason=""))
    verdict = weigh(gates, finding.cues, policy)
    return replace(finding, reason=finding.reason or verdict.reason, gates=gates)


class Analyst:
    """The networks and thresholds that a finding rests on; `basis` is what its evidence of life rests on."""

    def __init__(self, detector: Detector, embedder: FaceEmbedder, basis: Basis, judge: Judge) -> None:
        self._detector = detector
        self._embedder = embedder
        self.basis = basis
        self._judge = judge

    def look(self, frames: FrameSet, look: Look, now_ns: int) -> Finding:
        """Judge one frame of a look by everything but identity. `now_ns` is the monotonic clock."""
        fresh = look.fresh(frames, now_ns)
        if not fresh.passed:
            look.interrupted()
            return Finding(fresh.reason, (fresh,))
        face = self._detector.find(frames)
        if isinstance(face, NoFace):
            look.interrupted()
            return Finding(face.reason.value, (fresh,))
        verdict = look.weigh(frames, face, fresh)
        embedded = self._embedder.embed(frames, face) if verdict.reason in IDENTIFIED else None
        return Finding(verdict.reason, verdict.gates, verdict.cues, verdict.llr, verdict.dynamic, face, embedded)

    def recognise(self, finding: Finding, templates: Templates, stricter: float = 0.0) -> Finding:
        """Compare a finding that nothing speaks against with the claimed person's templates.

        `stricter`: nats by which a match must be better than the threshold.
        """
        if finding.reason not in IDENTIFIED:
            return finding
        if finding.embedded is None:
            return replace(finding, reason=MISSING)
        match = self._judge.compare(finding.embedded, templates)
        match = replace(match, threshold=match.threshold + stricter)
        if match.matched and match.llr < match.threshold:
            match = replace(match, reason=NOT_RECOGNISED)
        return replace(finding, reason=match.reason or finding.reason, match=match)
