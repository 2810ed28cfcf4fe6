"""The emitter's owner: `core` where the board has its own line, the camera process where it is one with the sensor.

Rules kept here:
- Light only between `on` and `off`, and only as long as the owner's main loop goes round and beats. No thread beats: it
  would go on while the loop hangs.
- Between two beats the loop may take about 150 ms: a heartbeat time-out of 180 ms, less the age of the newest stamp (at
  most 20 ms) and its way over the line. So frames are judged beside the loop, not in it (`core.watch`).
- A board that fails is closed, which leaves it dark, and opened again at the next `on`: what is mended works again.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from drivers.camera import Emitter
from drivers.emitter import EmitterError, limits
from drivers.emitter.patterns import by_exposure
from firmware.runtime.config import EmitterConfig

if TYPE_CHECKING:
    from drivers.emitter.board import EmitterBoard

# beats closer than this are not worth the line's time
BEAT_S = 0.02

_log = logging.getLogger("tessera.emitter")


def owned_lights(settings: EmitterConfig | None, owner: Literal["core", "camera"]) -> "Lights | None":
    """The lights, where there are any and `owner` owns them."""
    return Lights(settings) if settings is not None and settings.owner == owner else None


class Lights:
    """The board of `settings`, opened when it is first needed and kept open, dark, between sessions."""

    def __init__(self, settings: EmitterConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._board: EmitterBoard | None = None
        self._lit = False
        self._beaten = 0.0

    def on(self, levels: Sequence[Emitter]) -> None:
        """Let the sensor's strobe light `levels`, one entry per cycle of the pattern, over and over. Beat from now on.

        Takes milliseconds; a board that does not answer takes `TRIES * REPLY_S` (0.6 s), twice if it was open.

        Raises:
            EmitterError: dark, for the cause named.
        """
        kept = self._board is not None
        try:
            self._begin(levels)
        except EmitterError:
            if not kept:
                raise
            # it may have been unplugged and plugged in again since it was opened
            self._begin(levels)

    def beat(self) -> None:
        """Hold the light. Never waits, cheap; nothing while dark. Raises EmitterError: dark, for the cause named."""
        now = self._clock()
        if self._board is None or not self._lit or now < self._beaten + BEAT_S:
            return
        held_s, self._beaten = now - self._beaten, now
        try:
            self._board.beat()
        except EmitterError as error:
            self._abandon()
            raise EmitterError(f"{error}; {held_s * 1000:.0f} ms after the heartbeat before", error.cause) from error

    def off(self) -> None:
        """Go dark. Idempotent. A board that does not obey is closed: without a heartbeat it goes dark by itself."""
        if self._board is None or not self._lit:
            return
        self._lit = False
        try:
            self._board.disarm()
        except EmitterError as error:
            _log.error("%s: %s", error.cause, error)
            self._abandon()

    def close(self) -> None:
        """Go dark and give the port back. Idempotent."""
        self._lit = False
        if self._board is not None:
            self._board.close()
            self._board = None

    def _begin(self, levels: Sequence[Emitter]) -> None:
        try:
            if self._board is None:
                self._board = open_board(self._settings)
            self._board.load(by_exposure(levels, self._settings.pattern))
            self._board.arm()
        except EmitterError:
            self._abandon()
            raise
        self._lit, self._beaten = True, self._clock()

    def _abandon(self) -> None:
        """Wait for no answer: it goes dark by itself, if it has not yet."""
        self._lit = False
        if self._board is not None:
            self._board.abandon()
            self._board = None


def open_board(settings: EmitterConfig) -> "EmitterBoard":
    """Open the board with its limit table, dark. Raises EmitterError, LimitsError."""
    try:
        # only a terminal with an emitter needs the extra
        from drivers.emitter.board import EmitterBoard
    except ImportError as error:
        raise EmitterError(f"{error}: install the extra `emitter`") from error
    table = limits.read_file(Path(settings.limits))
    board = EmitterBoard(settings.port, table, limits.read_key(Path(settings.key)))
    _log.info("emitter %s, firmware %s", board.serial, board.firmware)
    return board
