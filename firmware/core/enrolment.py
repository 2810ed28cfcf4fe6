"""Five guided poses, as a frozen value: every finding gives the next value.

Rules kept here:
- Every pose passes the same gates as a payment; a pose counts after three good frames in a row.
- A pose counts with both modalities only: what `payment` demands of a probe, it demands of a template.
- All poses must be the same person: a face that does not match the poses so far ends the enrolment.
- Signs of an attack, one after the other, end it as they end a payment.
- Which poses make which template is `vision.templates`'.
"""

from dataclasses import dataclass, replace

from firmware.core.analysis import Finding
from firmware.core.reasons import ATTACKS, FINAL, sentence, told
from firmware.core.session import REFUSE_AFTER
from firmware.vision.embed import MODALITIES, Embedded
from firmware.vision.fusion import Judge
from firmware.vision.templates import Templates, make_templates

FRAMES_PER_POSE = 3
# A turned head shows some frames in which nose or mouth are not seen well, and each begins the emitter code anew: some
# 14 good frames in a row, of which a busy board judges five a second.
POSE_S = 40.0


class EnrolmentError(Exception):
    """The enrolment ended without a template; `code` is one of `reasons.SENTENCES`, as it is told."""

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(f"{sentence(code)} {why}".rstrip())
        self.code = told(code)


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
    """Where an enrolment stands. `reason` is set when it ended without all poses; `straight` is the first pose's.

    `good` and `against` count frames in a row.
    """

    judge: Judge
    deadline_ns: int
    seen: tuple[Embedded, ...] = ()
    good: int = 0
    against: int = 0
    reason: str = ""
    straight: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def begin(cls, judge: Judge, now_ns: int) -> "Enrolment":
        """Start with the first pose."""
        return cls(judge, now_ns + int(POSE_S * 1e9))

    @property
    def pose(self) -> Pose | None:
        """The pose asked for now; None when it is over."""
        return None if self.reason or self.complete else POSES[len(self.seen)]

    @property
    def complete(self) -> bool:
        """Whether every pose was seen."""
        return len(self.seen) == len(POSES)

    @property
    def templates(self) -> Templates:
        """Of the poses seen so far."""
        return make_templates({pose.name: embedded for pose, embedded in zip(POSES, self.seen, strict=False)})

    def looked(self, finding: Finding, now_ns: int) -> "Enrolment":
        """Take one frame's finding."""
        if self.pose is None:
            return self
        if now_ns >= self.deadline_ns:
            return replace(self, reason="pose_timeout")
        against = self.against + 1 if finding.reason in ATTACKS else 0
        if finding.reason in FINAL or against >= REFUSE_AFTER:
            return replace(self, reason=finding.reason)
        return replace(self, against=against)._posed(finding, now_ns)

    def _posed(self, finding: Finding, now_ns: int) -> "Enrolment":
        """Take a frame that does not end it by itself."""
        assert self.pose is not None
        if finding.reason or finding.face is None or finding.embedded is None:
            return replace(self, good=0)
        if finding.embedded.seen != MODALITIES:
            return replace(self, good=0)
        (yaw_low, yaw_high), (pitch_low, pitch_high) = self.pose.yaw_deg, self.pose.pitch_deg
        yaw, pitch = finding.face.yaw_deg - self.straight[0], finding.face.pitch_deg - self.straight[1]
        if not (yaw_low <= yaw <= yaw_high and pitch_low <= pitch <= pitch_high):
            return replace(self, good=0)
        if self.good + 1 < FRAMES_PER_POSE:
            return replace(self, good=self.good + 1)
        if self.seen and not self.judge.compare(finding.embedded, self.templates).matched:
            return replace(self, reason="person_changed")
        return replace(
            self,
            seen=(*self.seen, finding.embedded),
            straight=self.straight if self.seen else (finding.face.yaw_deg, finding.face.pitch_deg),
            good=0,
            deadline_ns=now_ns + int(POSE_S * 1e9),
        )
