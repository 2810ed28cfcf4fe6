"""What can be broken about the simulated board and its line."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Rate = Annotated[float, Meta(ge=0, le=1)]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults, none by default.

    Attributes:
        noise: of the bytes that get a flipped bit, each way.
        drop: of the bytes that get lost, each way.
        cut: nothing passes either way.
        duty: the sensor strobes without a pause.
        over_current: the source that is lit draws too much.
        stuck: a driver transistor that shorted (`on`) or opened (`off`).
        blind: the board does not measure whether it is stuck; the camera has to see it.
        dots_scale: of the dots' power that is left.
        deaf: `Disarm` is answered and not obeyed.
    """

    noise: Rate = 0.0
    drop: Rate = 0.0
    cut: bool = False
    duty: bool = False
    over_current: bool = False
    stuck: Literal["on", "off"] | None = None
    blind: bool = False
    dots_scale: Rate = 1.0
    deaf: bool = False
