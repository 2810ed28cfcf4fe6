"""One look at a presentation: what liveness keeps from the start of a capture to its end.

Rules kept here:
- A new capture is a new look, with a new draw of the emitter code. Evidence of motion is the session's (`dynamic`).
- Good frames must follow each other: a frame without a face, or with a failed gate, begins the evidence anew.
- What one frame can say comes first. Only where all of that holds is the frame held against those before it
  (`coherent`), and its light against the draw (`code`); one that does not follow begins both anew. Motion and the eyes
  come last.
- What covers a face is named before what else speaks against it; naming lets nobody in.
- A cue is judged by its median over the good frames: they are of one presentation, not so many independent trials.
"""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from drivers.camera import FrameSet
from drivers.npu.interface import Network
from firmware.liveness.albedo import albedo_gate, exposure_gate
from firmware.liveness.attention import Attention
from firmware.liveness.code import CodeReader, Emitted
from firmware.liveness.coherence import Coherence
from firmware.liveness.coverings import covering
from firmware.liveness.cues import CueCalibration, load_cues, measure
from firmware.liveness.cues.network import NETWORK
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.gates import Freshness, geometry_gates
from firmware.liveness.limits import Limits, load_limits
from firmware.liveness.patch import patch
from firmware.liveness.policy import CueName, Policy, PolicyName, load_policy
from firmware.liveness.verdict import DYNAMIC, NOT_ALIVE, UNKNOWN, Verdict, holds, wanted, weigh
from firmware.vision.eyes import EyeReader
from firmware.vision.face import Face
from firmware.vision.networks import IRIS, MESH
from models.load import load_network

REMEMBERED: Final = 32
"""Good frames that a median is taken over, at most: the newest."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a verdict rests on; `digest` is the SHA-256 over all of it.

    `network` is that of cue `network`, where the policy weighs it, `eyes` reads eyes, where it wants attention. Which
    networks these are stands in the manifest, bound elsewhere.
    """

    name: PolicyName
    limits: Limits
    policy: Policy
    cues: CueCalibration
    digest: bytes
    network: Network | None = field(default=None, compare=False, repr=False)
    eyes: EyeReader | None = field(default=None, compare=False, repr=False)

    @property
    def told(self) -> str:
        """Which it is, in one line: for reports and the command line."""
        return f"liveness policy {self.name}, digest {self.digest.hex()[:16]}"


def load_basis(name: PolicyName, load: Callable[[str], Network] = load_network) -> Basis:
    """The shipped limits and cue calibration, one policy, and by `load` the networks it wants.

    Raises:
        CueError, NetworkError: what is shipped cannot be used.
    """
    limits, of_limits = load_limits()
    policy, of_policies = load_policy(name)
    cues, of_cues = load_cues()
    digest = hashlib.sha256(name.encode() + of_limits + of_policies + of_cues).digest()
    network = load(NETWORK) if "network" in policy.cues else None
    eyes = EyeReader(load(MESH), load(IRIS)) if policy.attention else None
    return Basis(name, limits, policy, cues, digest, network, eyes)


class Look:
    """Evidence of one capture, frame by frame."""

    def __init__(self, basis: Basis, emitted: Emitted, stale_s: float, dynamic: Dynamic | None = None) -> None:
        """Begin.

        Args:
            basis: what the verdict rests on.
            emitted: what the flood was told to do in this capture.
            stale_s: oldest frame that counts, seconds.
            dynamic: the session's evidence of motion; None where no policy of it asks for any.
        """
        self._basis, self._emitted, self._dynamic = basis, emitted, dynamic
        self._freshness = Freshness(stale_s)
        self._coherence = Coherence(basis.limits)
        self._attention = Attention(basis.limits)
        self._code = CodeReader(emitted, basis.policy.code_bits)
        self._values: deque[Mapping[CueName, float]] = deque(maxlen=REMEMBERED)

    def fresh(self, frames: FrameSet, now_ns: int) -> Gate:
        """Whether a frame may take part at all; asked first. `now_ns` is the monotonic clock."""
        return self._freshness.check(frames, now_ns)

    def weigh(self, frames: FrameSet, face: Face, fresh: Gate) -> Verdict:
        """What is known after this frame of `face`."""
        limits, level = self._basis.limits, self._emitted.level(frames.sequence)
        region = patch(frames, face)
        covered = covering(frames, face, region, limits)
        gates = [
            fresh,
            *geometry_gates(frames, face, limits),
            exposure_gate(region, limits),
            albedo_gate(region, frames, level, limits),
        ]
        if not all(map(holds, gates)) or region is None:
            self.interrupted()
            return self._named(covered, weigh(gates, (), self._basis.policy))
        coherent = self._coherence.check(frames, face, region)
        if coherent.reason not in ("", PENDING):
            self._values.clear()
            self._code.reset()
            if self._dynamic is not None:
                self._dynamic.discontinued()
        code = self._code.read(frames, region)
        if code.reason not in ("", PENDING):
            self._values.clear()
        gates = [*gates, coherent, code]
        unopposed = all(gate.reason in ("", PENDING) for gate in gates)
        if unopposed:
            self._values.append(measure(frames, face, region, level, self._basis.network))
        cues = self._basis.cues.weigh(self._medians(), self._basis.policy.cues)
        so_far = weigh(gates, cues, self._basis.policy)
        # what speaks against a frame leaves it unrecognised: nobody knows whose motion it would be
        if self._dynamic is not None and unopposed and not covered and so_far.reason != NOT_ALIVE:
            moved = self._dynamic.see(frames, face, ask=self._asks(so_far))
            gates += [moved] if DYNAMIC in wanted(self._basis.policy, so_far.llr) else []
        if self._basis.eyes is not None:
            gates.append(self._attention.check(frames, self._basis.eyes.read(frames, face)))
        return self._named(covered, weigh(gates, cues, self._basis.policy))

    def _named(self, covered: str, found: Verdict) -> Verdict:
        """The same verdict, or where the face is covered, what covers it: the gates of shape hold under cloth."""
        if not covered:
            return found
        uncovered = Gate("uncovered", math.nan, "nothing", False, covered)
        return weigh([uncovered, *found.gates], found.cues, self._basis.policy)

    def _asks(self, so_far: Verdict) -> bool:
        """Whether the policy wants motion to be asked for: from the start, or once all else has left it in doubt."""
        policy = self._basis.policy
        if policy.dynamic != "doubt":
            return policy.dynamic != "asked"
        return so_far.reason == UNKNOWN and DYNAMIC in wanted(policy, so_far.llr)

    def another(self) -> None:
        """Begin anew, motion too: a frame showed somebody else."""
        self.interrupted()
        self._attention.reset()
        if self._dynamic is not None:
            self._dynamic.another()

    def interrupted(self) -> None:
        """Begin anew: a frame did not show the face, or not well. Motion knows by itself whether the next fits."""
        self._coherence.reset()
        self._code.reset()
        self._values.clear()

    def _medians(self) -> dict[CueName, float]:
        """Of each cue over the good frames in a row that could measure it; NaN where none could."""
        medians: dict[CueName, float] = {}
        for name in self._basis.policy.cues:
            known = [value for values in self._values if math.isfinite(value := values.get(name, math.nan))]
            medians[name] = float(np.median(known)) if known else math.nan
        return medians
