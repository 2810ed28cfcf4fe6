"""Five guided poses, as a frozen value: every finding gives the next value.

Rules kept here:
- Every pose passes the same gates as a payment; a pose counts after three good frames in a row.
- All poses must be the same person: a face that does not match the poses so far ends the enrolment.
- The template is the mean of one unit embedding per pose.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firmware.core.analysis import Finding
from firmware.core.reasons import SENTENCES
from firmware.vision.calibration import Calibration
from firmware.vision.match import is_match, make_template, score

FRAMES_PER_POSE = 3
POSE_S = 10.0


class EnrolmentError(Exception):
    """The enrolment ended without a template; `code` is one of `reasons.SENTENCES`."""

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(f"{SENTENCES[code]} {why}".rstrip())
        self.code = code


@dataclass(frozen=True, slots=True)
class Pose:
    """What to ask for, and the yaw and pitch (degrees, inclusive) that answer it, counted from the first pose."""

    name: str
    prompt: str
    yaw_deg: tuple[float, float]
    pitch_deg: tuple[float, float]


# Faces differ in where "straight" is, by several degrees of pitch: only the first pose is measured against zero.
# Yaw is positive towards the person's own left, pitch upwards (see `vision.face`).
POSES = (
    Pose("front", "Please look straight at the terminal.", (-8, 8), (-14, 14)),
    Pose("left", "Please turn your head a little to the left.", (8, 24), (-12, 12)),
    Pose("right", "Please turn your head a little to the right.", (-24, -8), (-12, 12)),
    Pose("up", "Please look up a little.", (-9, 9), (4, 16)),
    Pose("down", "Please look down a little.", (-9, 9), (-16, -4)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """Where an enrolment stands. `reason` is set when it ended without all poses; `straight` is the first pose's."""

    calibration: Calibration
    deadline_ns: int
    embeddings: tuple[NDArray[np.float32], ...] = ()
    good: int = 0
    reason: str = ""
    straight: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def begin(cls, calibration: Calibration, now_ns: int) -> "Enrolment":
        """Start with the first pose."""
        return cls(calibration, now_ns + int(POSE_S * 1e9))

    @property
    def pose(self) -> Pose | None:
        """The pose asked for now; None when it is over."""
        return None if self.reason or self.complete else POSES[len(self.embeddings)]

    @property
    def complete(self) -> bool:
        """Whether every pose was seen."""
        return len(self.embeddings) == len(POSES)

    @property
    def template(self) -> NDArray[np.float32]:
        """(128,) float32, from one embedding per pose."""
        return make_template(self.embeddings)

    def looked(self, finding: Finding, now_ns: int) -> "Enrolment":
        """Take one frame's finding."""
        if self.pose is None:
            return self
        if now_ns >= self.deadline_ns:
            return replace(self, reason="pose_timeout")
        if finding.reason or finding.face is None or finding.embedding is None:
            return replace(self, good=0)
        (yaw_low, yaw_high), (pitch_low, pitch_high) = self.pose.yaw_deg, self.pose.pitch_deg
        yaw, pitch = finding.face.yaw_deg - self.straight[0], finding.face.pitch_deg - self.straight[1]
        if not (yaw_low <= yaw <= yaw_high and pitch_low <= pitch <= pitch_high):
            return replace(self, good=0)
        if self.good + 1 < FRAMES_PER_POSE:
            return replace(self, good=self.good + 1)
        if self.embeddings:
            cosine = score(finding.embedding, make_template(self.embeddings), self.calibration)
            if not is_match(cosine, self.calibration):
                return replace(self, reason="person_changed")
        return replace(
            self,
            embeddings=(*self.embeddings, finding.embedding),
            straight=self.straight if self.embeddings else (finding.face.yaw_deg, finding.face.pitch_deg),
            good=0,
            deadline_ns=now_ns + int(POSE_S * 1e9),
        )
