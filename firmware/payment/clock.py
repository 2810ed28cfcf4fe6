"""The time a terminal may believe.

Rules kept here:
- Never below a floor that survives power loss; every intent the backend signed raises it.
- The wall clock may jump forward: intents expire and nobody is matched, but nothing is lost (see `core.terminal`). If
  it falls behind what the monotonic clock says has passed, that is a refusal, until it has caught up again: time held
  back would stretch an intent's life.
- What is returned never decreases.
"""

import time
from collections.abc import Callable
from typing import Protocol

from firmware.payment.errors import PaymentError

MAX_SKEW_S = 30  # between the backend's clock and ours, both on NTP
STEP_S = 2.0  # the monotonic clock is slewed with the wall clock, so only a step can separate them by more


class FloorStore(Protocol):
    """Where the floor survives; `Outbox` is one."""

    @property
    def time_floor(self) -> int:
        """Latest time the backend has signed, whole seconds since 1970."""


class TrustedClock:
    """Wall clock, checked against the monotonic clock and the persisted floor.

    Args:
        store: holds the floor.
        wall: seconds since 1970.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        store: FloorStore,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._read_wall, self._read_monotonic = store, wall, monotonic
        self._wall, self._monotonic = wall(), monotonic()  # the furthest the clock ever was, and when
        self._resume_at = 0.0

    def now(self) -> int:
        """Return whole seconds since 1970.

        Raises:
            PaymentError: `clock`, when the wall clock stepped back or lies before the floor.
        """
        wall, monotonic = self._read_wall(), self._read_monotonic()
        expected = self._wall + (monotonic - self._monotonic)
        caught_up = 0.0 < self._resume_at <= wall
        if wall < expected - STEP_S and not self._resume_at:
            self._resume_at = expected
        if self._resume_at and not caught_up:
            raise PaymentError("clock", f"the clock stepped back {expected - wall:.0f} s; set it right and wait")
        floor = self._store.time_floor
        if wall < floor - MAX_SKEW_S:
            raise PaymentError("clock", f"the clock is {floor - wall:.0f} s before a time the backend signed; set it")
        if wall > expected or caught_up:
            self._wall, self._monotonic, self._resume_at, expected = wall, monotonic, 0.0, wall
        return int(max(expected, floor))
