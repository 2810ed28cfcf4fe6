"""Asking the backend what time it is, and which answers count.

Rules kept here:
- One question is out at a time, with 32 fresh random bytes. Only the answer that repeats them is believed, once, for
  this terminal and within seconds of asking: that is how wrong the time can be.
- A time below what was signed before, or outside the life of the keys that sign it, is no time.
- Asked at every connection and every hour; until an answer comes, after 2, 4, 8 .. 64 s again.
"""

import hmac
from collections.abc import Callable

from firmware.payment import schema
from firmware.payment.clock import MAX_SKEW_S, TrustedClock, boottime
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import BackendKeys
from firmware.payment.messages import Allowance, Beacon

ANSWER_S = 5.0
EVERY_S = 3600.0
FIRST_S, LONGEST_S = 2.0, 64.0


class Beacons:
    """The question that is out, when to ask next, and the last answer.

    `elapsed`: seconds of the clock that `TrustedClock` counts by.
    """

    def __init__(self, terminal: str, trust: BackendKeys, elapsed: Callable[[], float] = boottime) -> None:
        self._terminal, self._trust, self._elapsed = terminal, trust, elapsed
        self._nonce, self._asked_at = b"", 0.0
        self._due_at, self._pause_s = elapsed(), FIRST_S
        self._last: Beacon | None = None

    @property
    def due_s(self) -> float:
        """In how many seconds the next question is due; 0 where it is."""
        return max(0.0, self._due_at - self._elapsed())

    def hurry(self) -> None:
        """Ask at once: there is a connection."""
        self._due_at, self._pause_s = self._elapsed(), FIRST_S

    def ask(self, nonce: bytes) -> None:
        """A question goes out with these 32 fresh random bytes; the one before it is void."""
        self._nonce, self._asked_at = nonce, self._elapsed()
        self._due_at = self._asked_at + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_S)

    def check(self, envelope: bytes, floor: int) -> Beacon:
        """Verify an answer; it counts with `take`.

        Raises:
            PaymentError: an envelope code, `key_set`, or `time`: replayed, late, for another, or below `floor`.
        """
        _, beacon = schema.verify(envelope, Beacon, self._trust.resolve)
        if beacon.terminal != self._terminal:
            raise PaymentError("time", f"the beacon is for {beacon.terminal}")
        if not hmac.compare_digest(beacon.nonce, self._nonce):
            raise PaymentError("time", "the beacon answers no question that is out")
        if self._elapsed() > self._asked_at + ANSWER_S:
            raise PaymentError("time", f"the beacon took more than {ANSWER_S:g} s")
        if beacon.time < max(floor, self._trust.issued_at - MAX_SKEW_S):
            raise PaymentError("time", "the beacon is older than what was signed before it")
        if beacon.time >= self._trust.expires_at:
            raise PaymentError("key_set", "the beacon's key has ended by its own word; newer keys are due")
        return beacon

    def take(self, beacon: Beacon, clock: TrustedClock) -> None:
        """Set the clock by a beacon that was checked. It counts for nothing a second time."""
        clock.set(beacon.time, self._asked_at)
        self._nonce, self._last = b"", beacon
        self._due_at, self._pause_s = self._elapsed() + EVERY_S, FIRST_S

    def allowance(self, now: int) -> Allowance | None:
        """What may be authorized at `now` while the link is down; None where nothing may."""
        if self._last is None or now >= self._last.allowance.expires_at:
            return None
        return self._last.allowance if self._last.allowance.payment_minor else None
