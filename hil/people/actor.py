"""Somebody who can move: one interface over every generator of people, and one set of names for expressions.

The names are this file's own; each generator maps them to what its mesh offers (`units`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace

from hil.people.head import Head
from hil.sensor.surface import Surface


@dataclass(frozen=True)
class Expression:
    """How far each movement goes: 0 at rest, 1 as strong as the generator's data has it; and where the eyes look.

    Left and right are the person's own. A word said is `mouth_open`, the lips and `jaw_side` moving together.

    Attributes:
        smile: lip corners up and back, on both sides.
        mouth_open: the jaw down.
        blink_left: the left lid closed at 1.
        blink_right: the right lid closed at 1.
        brow_raise: both brows up.
        brow_lower: both brows down and together.
        squint: lids narrowed, cheeks up.
        lips_round: lips pushed forward and narrow, as in "oo".
        lips_wide: lips stretched, as in "ee".
        lips_press: lips pressed together, as in "m".
        frown: lip corners down.
        nose_wrinkle: the nose's sides up.
        cheek_puff: cheeks blown out.
        jaw_side: the jaw to the person's left, to the right if negative.
        gaze_yaw_deg: eyes turned towards the right of the image, as `Pose.yaw_deg` turns a head.
        gaze_pitch_deg: eyes turned upwards.
    """

    smile: float = 0.0
    mouth_open: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0
    brow_raise: float = 0.0
    brow_lower: float = 0.0
    squint: float = 0.0
    lips_round: float = 0.0
    lips_wide: float = 0.0
    lips_press: float = 0.0
    frown: float = 0.0
    nose_wrinkle: float = 0.0
    cheek_puff: float = 0.0
    jaw_side: float = 0.0
    gaze_yaw_deg: float = 0.0
    gaze_pitch_deg: float = 0.0

    def weights(self) -> dict[str, float]:
        """The movements that are not at rest, without the gaze."""
        return {name: value for name in MOVEMENTS if (value := getattr(self, name)) != 0.0}

    def with_most(self, other: "Expression") -> "Expression":
        """Both at once: of each movement the stronger, and the sum of both gazes."""
        most = {name: max(getattr(self, name), getattr(other, name), key=abs) for name in MOVEMENTS}
        yaw, pitch = self.gaze_yaw_deg + other.gaze_yaw_deg, self.gaze_pitch_deg + other.gaze_pitch_deg
        return replace(self, **most, gaze_yaw_deg=yaw, gaze_pitch_deg=pitch)


MOVEMENTS = tuple(field.name for field in fields(Expression) if not field.name.startswith("gaze"))
NEUTRAL = Expression()


class Actor(ABC):
    """One person. The same expression always gives the same surfaces.

    Attributes:
        name: generator and number, `ict-3`, or the name of a scan.
    """

    name: str

    @abstractmethod
    def head(self, expression: Expression) -> Head:
        """The bare head with its landmarks, origin between the eyes of the face at rest."""

    @abstractmethod
    def surfaces(self, expression: Expression) -> tuple[Surface, ...]:
        """Head first, then hair and whatever is worn; all share one origin and pivot, so one `Pose` places them."""
