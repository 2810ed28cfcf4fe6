"""The emitter code: flood levels drawn anew for every capture, and whether the frames answer them.

Whoever feeds in an earlier recording shows the light of an earlier draw. It stops recorded streams. It does not stop an
injector who sees the light and relights recorded frames at once.

Rules kept here:
- The terminal compares with what it drew itself, never with what the camera says was commanded.
- A draw is used for one capture, once through: past its end nothing is answered.
- Only the flood is coded. The dots stay at full level: less would cost depth.
"""

from collections.abc import Callable
from typing import Final, Protocol

LEVELS: Final = (0.512, 0.64, 0.8, 1.0)
"""What one symbol can be: two bits, each level a quarter brighter than the one before."""
BITS_PER_SYMBOL: Final = 2
SYMBOLS: Final = 64
"""In one draw: what the emitter board holds at four exposures a cycle."""


class Emitted(Protocol):
    """What was commanded of the flood, cycle by cycle."""

    def level(self, sequence: int) -> float | None:
        """The flood level of cycle `sequence`, counted from the start of capture; None outside the draw."""
        ...


class Drawn:
    """The terminal's own draw. It cannot be told what to draw: whatever else verifies, verifies elsewhere."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """`random(n)`: n unpredictable bytes, the secure element's."""
        per_byte = 8 // BITS_PER_SYMBOL
        raw = int.from_bytes(random(SYMBOLS // per_byte), "big")
        self.levels: Final = tuple(LEVELS[(raw >> (BITS_PER_SYMBOL * place)) % len(LEVELS)] for place in range(SYMBOLS))

    def level(self, sequence: int) -> float | None:
        """As `Emitted.level`."""
        return self.levels[sequence] if 0 <= sequence < len(self.levels) else None
