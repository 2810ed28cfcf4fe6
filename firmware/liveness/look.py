"""One look at a presentation: the only state liveness keeps, from the start of a capture to its end.

Rules kept here:
- A new capture is a new look, with a new draw of the emitter code.
- Good frames must follow each other: a frame without a face, or with a failed gate, begins the evidence anew.
- A cue is judged by its median over those frames: they are of one presentation, not so many independent trials.
"""

import hashlib
from dataclasses import dataclass

from drivers.camera import FrameSet
from firmware.liveness.code import Emitted
from firmware.liveness.evidence import Gate
from firmware.liveness.gates import Freshness, Limits, geometry_gates, load_limits
from firmware.liveness.policy import Policy, PolicyName, load_policy
from firmware.liveness.verdict import Verdict, weigh
from firmware.vision.face import Face


@dataclass(frozen=True, slots=True)
class Basis:
    """What a verdict rests on; `digest` is the SHA-256 over all of it."""

    limits: Limits
    policy: Policy
    digest: bytes


def load_basis(policy: PolicyName) -> Basis:
    """The shipped limits and one policy."""
    limits, of_limits = load_limits()
    terms, of_policy = load_policy(policy)
    return Basis(limits, terms, hashlib.sha256(of_limits + of_policy).digest())


class Look:
    """Evidence of one capture, frame by frame."""

    def __init__(self, basis: Basis, emitted: Emitted, stale_s: float) -> None:
        self._basis, self._emitted = basis, emitted
        self._freshness = Freshness(stale_s)

    def fresh(self, frames: FrameSet, now_ns: int) -> Gate:
        """Whether a frame may take part at all; asked first. `now_ns` is the monotonic clock."""
        return self._freshness.check(frames, now_ns)

    def weigh(self, frames: FrameSet, face: Face, fresh: Gate) -> Verdict:
        """What is known after this frame of `face`."""
        gates = (fresh, *geometry_gates(frames, face, self._basis.limits))
        return weigh(gates, (), self._basis.policy)

    def interrupted(self) -> None:
        """Begin anew: a frame did not show the face."""
