"""One frame, looked at: is it fresh, is there one face, do the gates hold, who is it?

Rules kept here:
- The order is fixed and the first doubt ends it; identity is looked at last, so a frame that fails a gate is
  never matched against anybody.
- Nothing is kept between frames but what `Freshness` needs.
"""

import math
from dataclasses import dataclass, replace

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
from firmware.vision.match import is_match, llr, score


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one frame showed. An empty `reason` means nothing speaks against it.

    Attributes:
        reason: a code of `reasons.SENTENCES`, or empty.
        gates: the gates that were computed, in order.
        face: the face, where there is exactly one in the capture volume.
        embedding: (128,) float32, only where every gate held.
        match: the cosine against the claimed person's template, and the log-likelihood ratio it is worth.
    """

    reason: str
    gates: tuple[Gate, ...] = ()
    face: Face | None = None
    embedding: NDArray[np.float32] | None = None
    match: tuple[float, float] | None = None

    @property
    def sentence(self) -> str:
        """The plain sentence for `reason`; empty without one."""
        return SENTENCES[self.reason] if self.reason else ""

    @property
    def values(self) -> dict[str, float]:
        """Gate values and match by name, for the rig and the local audit record; what is unknown is left out."""
        values = {gate.name: gate.value for gate in self.gates if math.isfinite(gate.value)}
        return values if self.match is None else values | {"match": self.match[0], "match_llr": self.match[1]}


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
            return Finding(fresh.reason, (fresh,))
        face = self._detector.find(frames)
        if isinstance(face, NoFace):
            return Finding(face.reason.value, (fresh,))
        gates = (fresh, *geometry_gates(frames, face, self._limits))
        failed = next((gate for gate in gates if not gate.passed), None)
        if failed is not None:
            return Finding(failed.reason, gates, face)
        return Finding("", gates, face, self._embedder.embed(align(frames.ir, face.points_px)))

    def recognise(self, finding: Finding, template: NDArray[np.float32]) -> Finding:
        """Compare a finding without doubt with the claimed person's template, (128,) float32."""
        if finding.reason or finding.embedding is None:
            return finding
        cosine = score(finding.embedding, template, self._calibration)
        reason = "" if is_match(cosine, self._calibration) else "not_recognised"
        return replace(finding, reason=reason, match=(cosine, llr(cosine, self._calibration)))
