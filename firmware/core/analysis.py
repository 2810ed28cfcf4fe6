"""One frame, looked at: is it fresh, is there one face, do the gates hold, who is it?

Rules kept here:
- The order is fixed and the first doubt ends it; identity is looked at last, so a frame that fails a gate is
  never matched against anybody.
- Nothing is kept between frames but what `Freshness` needs.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.core.reasons import SENTENCES
from firmware.liveness.gates import Freshness, Gate, Limits, geometry_gates
from firmware.vision.align import align
from firmware.vision.calibration import Calibration
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face, NoFace
from firmware.vision.match import is_match, score


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one frame showed. An empty `reason` means nothing speaks against it.

    Attributes:
        reason: a code of `reasons.SENTENCES`, or empty.
        sentence: the plain sentence for it.
        values: gate values and the match score, for the rig; NaN values are left out.
        face: the face, where there is exactly one in the capture volume.
        embedding: (128,) float32, only where every gate held.
    """

    reason: str
    sentence: str
    values: dict[str, float] = field(default_factory=dict)
    face: Face | None = None
    embedding: NDArray[np.float32] | None = None


class Analyst:
    """The networks and limits that a finding rests on."""

    def __init__(self, detector: Detector, embedder: Embedder, limits: Limits, calibration: Calibration) -> None:
        self._detector = detector
        self._embedder = embedder
        self._limits = limits
        self._calibration = calibration

    def look(self, frames: FrameSet, freshness: Freshness, now_ns: int) -> Finding:
        """Judge one frame by everything but identity. `now_ns` is the monotonic clock."""
        fresh = freshness.check(frames, now_ns)
        if not fresh.passed:
            return Finding(fresh.reason, fresh.sentence)
        face = self._detector.find(frames)
        if isinstance(face, NoFace):
            return Finding(face.reason.value, face.text)
        gates = geometry_gates(frames, face, self._limits)
        values = {gate.name: gate.value for gate in gates if math.isfinite(gate.value)}
        failed = next((gate for gate in gates if not gate.passed), None)
        if failed is not None:
            return Finding(*_reason(failed), values, face)
        return Finding("", "", values, face, self._embedder.embed(align(frames.ir, face.points_px)))

    def recognise(self, finding: Finding, template: NDArray[np.float32]) -> Finding:
        """Compare a finding without doubt with the claimed person's template, (128,) float32."""
        if finding.embedding is None:
            return finding
        cosine = score(finding.embedding, template, self._calibration)
        values = finding.values | {"match": cosine, "match_limit": self._calibration.threshold}
        if not is_match(cosine, self._calibration):
            return Finding("not_recognised", SENTENCES["not_recognised"], values, finding.face, finding.embedding)
        return Finding("", "", values, finding.face, finding.embedding)


def _reason(gate: Gate) -> tuple[str, str]:
    return (gate.reason, gate.sentence) if gate.reason in SENTENCES else ("gate_unknown", gate.sentence)
