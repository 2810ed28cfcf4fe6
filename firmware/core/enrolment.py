"""Five guided poses, as a frozen value: every finding gives the next value.

Rules kept here:
- Every pose passes the same gates as a payment; a pose counts after three good frames in a row.
- A pose counts with both modalities only: what `payment` demands of a probe, it demands of a template.
- All of it is one person, who does not leave: the first face seen is who is being enrolled (`claimed`), every good
  frame is compared with it, or with the poses so far, and three in a row of another end it. So does a second without
  any face, or with two: whoever stands there then may have been exchanged. Single frames do not: detectors miss some.
- Signs of an attack, one after the other, end it as they end a payment.
- Which poses make which template is `vision.templates`'.
"""

from dataclasses import dataclass, replace

from firmware.core.analysis import Finding
from firmware.core.reasons import ANOTHER, ATTACKS, FINAL, sentence, told
from firmware.core.session import REFUSE_AFTER
from firmware.core.watch import shows_who
from firmware.vision.embed import Embedded
from firmware.vision.templates import Templates, make_templates

FRAMES_PER_POSE = 3
# A turned head shows some frames in which nose or mouth are not seen well, and each begins the emitter code anew: some
# 14 good frames in a row, of which a busy board judges five a second.
POSE_S = 40.0
GONE_S = 1.0
GONE_FRAMES = 3
"""Frames in a row without a face; with `GONE_S`, for a board that sees a few frames a second."""
_UNSEEN = frozenset({"no_face", "two_faces"})


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

    `good`, `against`, `other` and `gone` count frames in a row. `first` is of the first frame that showed who it is;
    `face_ns` is when a face was last seen.
    """

    deadline_ns: int
    seen: tuple[Embedded, ...] = ()
    good: int = 0
    against: int = 0
    other: int = 0
    gone: int = 0
    face_ns: int = 0
    first: Embedded | None = None
    reason: str = ""
    straight: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def begin(cls, now_ns: int) -> "Enrolment":
        """Start with the first pose."""
        return cls(now_ns + int(POSE_S * 1e9))

    @property
    def pose(self) -> Pose | None:
        """The pose asked for now; None when it is over."""
        return None if self.reason or self.complete else POSES[len(self.seen)]

    @property
    def complete(self) -> bool:
        """Whether every pose was seen."""
        return len(self.seen) == len(POSES)

    @property
    def claimed(self) -> Templates | None:
        """Whom every further frame must show; None until somebody was seen."""
        if self.seen:
            return self.templates
        return None if self.first is None else make_templates({POSES[0].name: self.first})

    @property
    def templates(self) -> Templates:
        """Of the poses seen so far."""
        return make_templates({pose.name: embedded for pose, embedded in zip(POSES, self.seen, strict=False)})

    def forget(self) -> None:
        """Zero what was kept of the face: it lies in ordinary memory, unlike what the gallery holds."""
        for embedded in (self.first, *self.seen):
            for vector in () if embedded is None else (embedded.ir, embedded.depth):
                if vector is not None and vector.flags.writeable:
                    vector[:] = 0

    def looked(self, finding: Finding, now_ns: int) -> "Enrolment":
        """Take one frame's finding."""
        if self.pose is None:
            return self
        if now_ns >= self.deadline_ns:
            return replace(self, reason="pose_timeout")
        against = self.against + 1 if finding.reason in ATTACKS else 0
        if finding.reason in FINAL or against >= REFUSE_AFTER:
            return replace(self, reason=finding.reason)
        tracked = replace(self, against=against)._tracked(finding, now_ns)
        return tracked if tracked.reason else tracked._posed(finding, now_ns)

    def _tracked(self, finding: Finding, now_ns: int) -> "Enrolment":
        """Whether the one who was seen first is still there."""
        other = self.other
        if finding.reason in ANOTHER:
            other += 1
        elif finding.match is not None and finding.match.matched:
            other = 0
        if other >= REFUSE_AFTER:
            return replace(self, reason="person_changed")
        if finding.reason in _UNSEEN:
            gone = self.gone + 1
            left = self.first is not None and gone >= GONE_FRAMES and now_ns - self.face_ns > GONE_S * 1e9
            return replace(self, gone=gone, reason="person_left" if left else "")
        first = finding.embedded if self.first is None and shows_who(finding) else self.first
        seen = finding.face is not None
        return replace(
            self, other=other, first=first, gone=0 if seen else self.gone, face_ns=now_ns if seen else self.face_ns
        )

    def _posed(self, finding: Finding, now_ns: int) -> "Enrolment":
        """Take a frame that does not end it by itself."""
        assert self.pose is not None
        if finding.reason or finding.face is None or finding.embedded is None or not shows_who(finding):
            return replace(self, good=0)
        if finding.match is None or not finding.match.matched:
            return replace(self, good=0)  # nobody was claimed yet
        (yaw_low, yaw_high), (pitch_low, pitch_high) = self.pose.yaw_deg, self.pose.pitch_deg
        yaw, pitch = finding.face.yaw_deg - self.straight[0], finding.face.pitch_deg - self.straight[1]
        if not (yaw_low <= yaw <= yaw_high and pitch_low <= pitch <= pitch_high):
            return replace(self, good=0)
        if self.good + 1 < FRAMES_PER_POSE:
            return replace(self, good=self.good + 1)
        return replace(
            self,
            seen=(*self.seen, finding.embedded),
            straight=self.straight if self.seen else (finding.face.yaw_deg, finding.face.pitch_deg),
            good=0,
            deadline_ns=now_ns + int(POSE_S * 1e9),
        )
