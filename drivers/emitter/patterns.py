"""What the board's sources do in successive exposures, and the programme that makes of a session's levels.

Rules kept here:
- The board counts exposures and knows nothing else; a camera's way of taking its frames stands here, as data.
- `dark-flood-dots`: a module whose dots are our board's too (the structured-light driver).
- `every-third-flood`: a camera that throws its own dots in every second exposure (RealSense). The board cannot know in
  which. Three and two have no common factor, so every second flood falls between the dots whichever those are; with
  every fourth exposure it would be all of them or, as often, none.
- No exposure is lit by both sources.
"""

from collections.abc import Sequence
from typing import Literal

from drivers.camera import Emitter

MAX_LEVELS = 256  # entries of a programme: 64 cycles of up to four exposures

Pattern = Literal["dark-flood-dots", "every-third-flood"]

_DARK, _FLOOD, _DOTS = (0, 0), (1, 0), (0, 1)
_PATTERNS: dict[Pattern, tuple[tuple[int, int], ...]] = {
    "dark-flood-dots": (_DARK, _FLOOD, _DOTS),
    "every-third-flood": (_DARK, _FLOOD, _DARK),
}


def by_exposure(levels: Sequence[Emitter], pattern: Pattern) -> tuple[Emitter, ...]:
    """One entry per exposure, from `levels` of one entry per cycle."""
    return tuple(Emitter(one.flood * flood, one.dots * dots) for one in levels for flood, dots in _PATTERNS[pattern])
