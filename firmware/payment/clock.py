"""The time a terminal may believe: the backend's word, and the seconds since.

Rules kept here:
- A beacon sets it (see `beacon`). From then on CLOCK_BOOTTIME counts, which nobody sets and which goes on while the
  board sleeps. The wall clock is not asked.
- It counts from the moment of asking, and the beacon's whole seconds are rounded up: it may be ahead by the seconds the
  answer took, and one, and is never behind by them. Time held back would stretch an intent's life.
- Before the first beacon since the start, and a day after the last one, there is no time.
- Never below a floor that survives power loss; what the backend signs raises it.
- What is returned never decreases.
"""

import time
from collections.abc import Callable
from typing import Protocol

from firmware.payment.errors import PaymentError

MAX_SKEW_S = 30  # between the backend's clock and ours: 6 s of an answer's way and 17 s of drift, and room
MAX_AGE_S = 24 * 3600  # at 200 ppm, a poor crystal's worst, a day drifts by 17 s
EARLIEST = 1_577_836_800  # 2020, where `messages.Seconds` begins


def boottime() -> float:
    """Seconds since the board was started, those it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class FloorStore(Protocol):
    """Where the floor survives; `Outbox` is one."""

    @property
    def time_floor(self) -> int:
        """Latest time the backend has signed, whole seconds since 1970."""


class TrustedClock:
    """The backend's time, carried on by a clock that nobody sets.

    Args:
        store: holds the floor.
        elapsed: seconds of that clock.
    """

    def __init__(self, store: FloorStore, elapsed: Callable[[], float] = boottime) -> None:
        self._store, self._elapsed = store, elapsed
        self._beacon: tuple[int, float] | None = None
        self._latest = 0

    @property
    def known(self) -> bool:
        """Whether there is a time now."""
        try:
            self.now()
        except PaymentError:
            return False
        return True

    def set(self, time_s: int, asked_at: float) -> None:
        """Take the time of a beacon that was accepted.

        Args:
            time_s: what it says, whole seconds since 1970.
            asked_at: when it was asked for, seconds of `elapsed`.
        """
        self._beacon = time_s + 1, asked_at

    def now(self) -> int:
        """Return whole seconds since 1970.

        Raises:
            PaymentError: `clock`, no beacon has come since the start, or none for a day.
        """
        if self._beacon is None:
            raise PaymentError("clock", "the backend has not said what time it is since the start; see to the link")
        time_s, asked_at = self._beacon
        age = self._elapsed() - asked_at
        if age > MAX_AGE_S:
            raise PaymentError(
                "clock", f"the backend last said what time it is {age / 3600:.0f} h ago; see to the link"
            )
        self._latest = max(self._latest, int(time_s + age), self._store.time_floor)
        return self._latest

    def at_least(self) -> int:
        """The time, or where there is none, one that has surely passed."""
        try:
            return self.now()
        except PaymentError:
            return max(self._latest, self._store.time_floor, EARLIEST)
