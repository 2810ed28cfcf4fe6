"""Evidence of motion that nothing rigid gives: the lower face deforms, by itself or because it was asked to.

Rules kept here:
- It is of one session, and outlives a capture that is begun anew: a prompt that was shown stays spent.
- It is of one face, followed without a gap from rest to movement: two heads of one person, one of them smiling, are
  exchanged while nobody looks. After a gap, or once frames do not fit the face at rest, that is gathered anew and what
  was shown is gone; after a longer gap the prompt is, too.
- Turning, nodding, blinking and looking elsewhere show nothing: a head on a stick turns, a worn mask has living eyes.
- Passive evidence asks for more than an answer: it was not asked for, and may come at any time.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from drivers.camera import FrameSet
from firmware.liveness.challenge import ANSWERS, LOWER_FACE, Challenge, PromptKind, draw
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.limits import Limits
from firmware.liveness.motion import Deformation, Motion
from firmware.liveness.policy import Policy
from firmware.vision.face import Face

NAME: Final = "dynamic"
NO_ANSWER: Final = "no_answer"
SETTLED: Final = 4
"""Good frames in a row before the wait for a prompt begins."""
CONTINUOUS_S: Final = 0.3
"""After a longer gap the face at rest is gathered anew. Shorter ones are a blurred frame or two."""
LOST_S: Final = 1.5
"""After a longer gap it may be another: a capture begun anew takes less."""
TURNED_DEG: Final = 8.0
"""Of yaw or pitch, that answer a turn: half of what people do when asked, and well within what is still measured."""
_LIMIT = ">= 1 of what rigid things reach"


class Dynamic:
    """What one session has shown of motion. Made when it begins, handed to every look of it."""

    def __init__(self, limits: Limits, policy: Policy, random: Callable[[int], bytes]) -> None:
        """`random(n)`: n unpredictable bytes, the secure element's."""
        self._motion = Motion(limits)
        self._passive_counts = policy.dynamic != "challenge"
        self._challenge = Challenge(draw(random, policy.turns))
        self._last_ns: int | None = None
        self.moved: Deformation | None = None  # what the newest frame showed
        self._begin()
        self._before: tuple[Challenge, bool, float, int | None] = (self._challenge, False, math.nan, None)

    def _begin(self) -> None:
        self._good = self._unasked = 0
        self._passed, self._best = False, math.nan
        self._straight: tuple[float, float] | None = None

    @property
    def prompt(self) -> PromptKind | None:
        """What stands on the screen; None while nothing does."""
        return None if self._passed else self._challenge.prompt

    @property
    def still(self) -> bool:
        """Whether the newest frame showed no more than rigid things do; what cannot be measured counts as still."""
        return self.moved is None or self.moved.excess < 1

    @property
    def passed(self) -> bool:
        """Whether it has moved, by itself or when asked."""
        return self._passed

    @property
    def tries(self) -> int:
        """How many tries were spent."""
        return self._challenge.at

    @property
    def asked(self) -> bool:
        """Whether anything has been asked."""
        return self._challenge.prompt is not None or self._challenge.at > 0 or self._challenge.passed

    def due(self, now_ns: int) -> PromptKind | None:
        """What is to be shown now; whoever shows it says so (`shown`)."""
        return None if self._passed or self._motion.doubtful else self._challenge.due(now_ns)

    def shown(self, now_ns: int) -> None:
        """The prompt that was due stands on the screen. Answers are held against the face as it was until now."""
        self._challenge = self._challenge.shown(now_ns)
        self._motion.settle()
        self._straight = None

    def another(self) -> None:
        """Begin anew: it is another face, or may be."""
        self._motion.reset()
        self._challenge = self._challenge.failed()
        self._last_ns = None
        self._begin()

    def discontinued(self) -> None:
        """Another shape may stand there than was followed until now: what it does is no motion of that one."""
        self._motion.reset()
        self._challenge = self._challenge.failed() if self._challenge.passed else replace(self._challenge, answered=0)
        self._unasked = 0
        self._passed, self._best = False, math.nan

    def unsee(self, timestamp_ns: int) -> None:
        """The frame of that time counts for nothing: what it gave is taken away, what it took is not given back."""
        self._unasked = 0
        self._motion.forget(timestamp_ns)
        before, passed, best, last_ns = self._before
        if self._last_ns == timestamp_ns:
            self._last_ns = last_ns
            if self._challenge.at == before.at:
                self._challenge, self._passed, self._best = before, self._passed and passed, best
        self._challenge = replace(self._challenge, answered=0)

    def see(self, frames: FrameSet, face: Face, *, ask: bool) -> Gate:
        """Take a frame of which every other gate holds. `ask`: whether prompts may be shown."""
        now_ns = frames.timestamp_ns
        gap_s = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / 1e9
        if gap_s > LOST_S:
            self.another()
        elif gap_s > CONTINUOUS_S:
            self.discontinued()
        self._before = (self._challenge, self._passed, self._best, self._last_ns)
        self._last_ns = now_ns
        moved = self.moved = self._motion.follow(frames, face)
        if self._motion.another:
            self.discontinued()
        self._good += 1
        if moved is None:
            self._unasked = 0
        else:
            self._take(moved, face)
        self._challenge = self._challenge.saw(now_ns, moved is not None and self._answers(moved, face))
        self._passed |= self._challenge.passed
        if ask and not self._passed and self._good >= SETTLED:
            self._challenge = self._challenge.settled(now_ns)
        return self._gate()

    def _take(self, moved: Deformation, face: Face) -> None:
        self._best = moved.excess if math.isnan(self._best) else max(self._best, moved.excess)
        self._straight = self._straight or (face.yaw_deg, face.pitch_deg)
        self._unasked = self._unasked + 1 if moved.passive_excess >= 1 else 0
        if self._passive_counts and self._unasked >= ANSWERS:
            self._passed = True

    def _answers(self, moved: Deformation, face: Face) -> bool:
        kind = self._challenge.prompt
        if kind is None:
            return False
        if kind in LOWER_FACE:
            return moved.excess >= 1
        straight = self._straight or (face.yaw_deg, face.pitch_deg)
        yaw, pitch = face.yaw_deg - straight[0], face.pitch_deg - straight[1]
        return {"turn_left": yaw, "turn_right": -yaw, "look_up": pitch}.get(kind, 0) >= TURNED_DEG

    def _gate(self) -> Gate:
        if self._passed and math.isfinite(self._best) and not self._motion.doubtful:
            return Gate(NAME, self._best, _LIMIT, True, "")
        return Gate(NAME, self._best, _LIMIT, False, NO_ANSWER if self._challenge.spent else PENDING)
