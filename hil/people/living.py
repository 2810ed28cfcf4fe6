"""A living person's motion on a seeded timeline: blinks, gaze, sway, breath, speech, and answers to prompts."""

from dataclasses import dataclass
from typing import Literal

from hil.people.actor import NEUTRAL, Expression
from hil.sensor.motion import sway
from hil.sensor.scene import Pose

PromptKind = Literal["smile", "mouth_open", "blink", "turn_left", "turn_right", "look_up", "speak"]


@dataclass(frozen=True)
class Prompt:
    """What the terminal asks, and when it is shown (seconds)."""

    kind: PromptKind
    at_s: float


@dataclass(frozen=True)
class Timeline:
    """One person's motion over one session: the same seed and prompts give the same motion."""

    seed: int
    prompts: tuple[Prompt, ...] = ()

    def at(self, time_s: float) -> tuple[Expression, Pose]:
        """Expression, and how far the pose is off where the person meant to stand (add with `Pose.moved`)."""
        moved = sway(time_s, self.seed)
        return NEUTRAL, moved
