"""One frame, looked at: is it fresh, is there one face, do the gates hold, who is it?

Rules kept here:
- The order is fixed and the first doubt ends it; identity is looked at last, so a frame that fails a gate is
  never matched against anybody.
- Nothing is kept between frames but what `Freshness` needs.
"""

import math
from dataclasses import dataclass, replace

from drivers.camera import FrameSet
from firmware.core.reasons import SENTENCES
from firmware.liveness.evidence import Gate
from firmware.liveness.gates import Freshness, Limits, geometry_gates
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedded, FaceEmbedder
from firmware.vision.face import Face, NoFace
from firmware.vision.fusion import Judge, Match
from firmware.vision.templates import Templates


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one frame showed. An empty `reason` means nothing speaks against it.

    Attributes:
        reason: a code of `reasons.SENTENCES`, or empty.
        gates: the gates that were computed, in order.
        face: the face, where there is exactly one in the capture volume.
        embedded: the face's embeddings, only where every gate held; a modality may be missing.
        match: how they compare with the claimed person's templates.
    """

    reason: str
    gates: tuple[Gate, ...] = ()
    face: Face | None = None
    embedded: Embedded | None = None
    match: Match | None = None

    @property
    def sentence(self) -> str:
        """The plain sentence for `reason`; empty without one."""
        return SENTENCES[self.reason] if self.reason else ""

    @property
    def values(self) -> dict[str, float]:
        """Gate values and match by name, for the rig and the local audit record; what is unknown is left out."""
        values = {gate.name: gate.value for gate in self.gates if math.isfinite(gate.value)}
        if self.match is None:
            return values
        values |= {f"match_{modality}": cosine for modality, cosine in self.match.cosines.items()}
        return values | {"match_llr": self.match.llr} if math.isfinite(self.match.llr) else values


class Analyst:
    """The networks, limits and thresholds that a finding rests on."""

    def __init__(self, detector: Detector, embedder: FaceEmbedder, limits: Limits, judge: Judge) -> None:
        self._detector = detector
        self._embedder = embedder
        self._limits = limits
        self._judge = judge

    def look(self, frames: FrameSet, freshness: Freshness, now_ns: int) -> Finding:
        """Judge one frame by everything but identity. `now_ns` is the monotonic clock."""
        fresh = freshness.check(frames, now_ns)
        if not fresh.passed:
            return Finding(fresh.reason, (fresh,))
        face = self._detector.find(frames)
        if isinstance(face, NoFace):
            return Finding(face.reason.value, (fresh,))
        gates = (fresh, *geometry_gates(frames, face, self._limits))
        failed = next((gate for gate in gates if not gate.passed), None)
        if failed is not None:
            return Finding(failed.reason, gates, face)
        return Finding("", gates, face, self._embedder.embed(frames, face))

    def recognise(self, finding: Finding, templates: Templates) -> Finding:
        """Compare a finding without doubt with the claimed person's templates."""
        if finding.reason or finding.embedded is None:
            return finding
        match = self._judge.compare(finding.embedded, templates)
        return replace(finding, reason=match.reason, match=match)
