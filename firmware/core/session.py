"""One payment at the terminal, as a frozen value: every event gives the next value.

    TAP ---tapped---> LOOK ---enough good frames---> DECIDED ---stored---> RECEIPT ---verified receipt---> OVER
     |                 |       (then a PIN where      |                     |
     |                 |        one is wanted)        |                     |
     +--no tap---------+--refusal, no camera, time----+--cannot store-------+--no receipt in time--------> OVER

Rules kept here:
- Every path ends: each phase has a deadline, and a deadline that passes is a refusal (before the authorization
  is stored) or "unknown, do not retry" (after).
- `approved` is reached from RECEIPT by a verified receipt, and from nowhere else.
- Where a PIN is wanted, LOOK leads to PIN, and DECIDED is reached from there by the right one, and from nowhere else.
- Good frames must be consecutive: one frame in doubt starts the count again. A frame of the claimed person to which
  nothing is missing but further frames counts too, and never decides: only one in which all is proven does.
- No clock is read here; times are handed in, monotonic nanoseconds.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal

from firmware.core.reasons import ANOTHER, ATTACKS, FINAL
from firmware.liveness.evidence import PENDING
from firmware.runtime.config import Profile

# The camera may take this long from the command to the first frame; after that a second is all it gets.
FIRST_FRAME_S = 4.0
NEXT_FRAME_S = 1.0
# How long somebody has to type their PIN, from each time they are asked.
PIN_S = 30.0
# Frames with an attack's reason, or the wrong person, that end a session before its time is up.
REFUSE_AFTER = 3

Outcome = Literal["approved", "declined", "refused", "unknown", "taken_offline"]


class Phase(Enum):
    """Where a session stands."""

    TAP = "tap"
    LOOK = "look"
    PIN = "pin"
    DECIDED = "decided"
    RECEIPT = "receipt"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Session:
    """A payment in hand. Build with `begin`; every method returns the next value.

    Attributes:
        deadline_ns: when `expired` is due.
        pin: whether a PIN must be typed after the look.
        frame_deadline_ns: while looking, when the camera counts as lost.
        good: consecutive frames of the claimed person that nothing spoke against.
        reasons: how often each reason was seen while looking.
        outcome: set when OVER. `refused` is the terminal's own no, `declined` the backend's, `taken_offline` not
            yet either.
        reason: code of a refusal, or the backend's code.
    """

    profile: Profile
    phase: Phase
    deadline_ns: int
    pin: bool = False
    frame_deadline_ns: int = 0
    good: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    outcome: Outcome | None = None
    reason: str = ""

    @classmethod
    def begin(cls, profile: Profile, now_ns: int, *, pin: bool = False) -> "Session":
        """Start: nobody is looked at before a tap. `pin`: whether a PIN must be typed as well."""
        return cls(profile, Phase.TAP, now_ns + _ns(profile.tap_s), pin)

    @property
    def over(self) -> bool:
        """Whether the session has its outcome."""
        return self.phase is Phase.OVER

    @property
    def confirmed(self) -> bool:
        """Whether the look has just ended well: alive, and the claimed person."""
        return self.phase in (Phase.PIN, Phase.DECIDED)

    def due_ns(self) -> int:
        """When `expired` must be called if nothing else happens."""
        return min(self.deadline_ns, self.frame_deadline_ns) if self.phase is Phase.LOOK else self.deadline_ns

    def tapped(self, now_ns: int, look_s: float | None = None) -> "Session":
        """Go on to look: the customer touched the screen. They have `look_s`, or as long as the profile says."""
        if self.phase is not Phase.TAP:
            return self
        return replace(
            self,
            phase=Phase.LOOK,
            deadline_ns=now_ns + _ns(self.profile.look_s if look_s is None else look_s),
            frame_deadline_ns=now_ns + _ns(FIRST_FRAME_S),
        )

    def looked(self, reason: str, now_ns: int) -> "Session":
        """Take one frame's finding. Empty: alive, and the claimed person. `PENDING`: them, and not enough seen yet."""
        if self.phase is not Phase.LOOK:
            return self
        if now_ns >= self.deadline_ns:
            return self.expired(now_ns)
        nxt = replace(self, frame_deadline_ns=now_ns + _ns(NEXT_FRAME_S))
        if reason in ("", PENDING):
            nxt = replace(nxt, good=self.good + 1)
            enough = not reason and nxt.good >= self.profile.frames_needed
            if enough and self.pin:
                return replace(nxt, phase=Phase.PIN, deadline_ns=now_ns + _ns(PIN_S))
            return replace(nxt, phase=Phase.DECIDED) if enough else nxt
        if reason in FINAL:
            return nxt.refused(reason)
        reasons = self.reasons + Counter([reason])
        if (reason in ATTACKS or reason in ANOTHER) and reasons[reason] >= REFUSE_AFTER:
            return nxt.refused(reason)
        return replace(nxt, good=0, reasons=reasons)

    def typed(self, right: bool, now_ns: int) -> "Session":
        """Take whether the PIN that was typed is theirs. Who typed a wrong one is asked again, for `PIN_S`."""
        if self.phase is not Phase.PIN:
            return self
        if now_ns >= self.deadline_ns:
            return self.expired(now_ns)
        if right:
            return replace(self, phase=Phase.DECIDED)
        return replace(self, deadline_ns=now_ns + _ns(PIN_S))

    def stored(self, now_ns: int) -> "Session":
        """Wait for the receipt: the authorization lies in the outbox."""
        if self.phase is not Phase.DECIDED:
            return self
        return replace(self, phase=Phase.RECEIPT, deadline_ns=now_ns + _ns(self.profile.receipt_s))

    def taken_offline(self) -> "Session":
        """End without a receipt, which cannot come: the authorization lies in the outbox until the link is back."""
        if self.phase is not Phase.DECIDED:
            return self
        return replace(self, phase=Phase.OVER, outcome="taken_offline", reason="taken_offline")

    def settled(self, approved: bool, code: str) -> "Session":
        """End with a verified receipt for exactly this authorization."""
        if self.phase is not Phase.RECEIPT:
            return self
        return replace(self, phase=Phase.OVER, outcome="approved" if approved else "declined", reason=code)

    def refused(self, reason: str) -> "Session":
        """End with the terminal's own no. Impossible once the authorization is stored."""
        if self.phase in (Phase.RECEIPT, Phase.OVER):
            return self
        return replace(self, phase=Phase.OVER, outcome="refused", reason=reason)

    def expired(self, now_ns: int) -> "Session":
        """Time is up: what that means depends on the phase. Nothing happens before `due_ns`."""
        if now_ns < self.due_ns() or self.over:
            return self
        if self.phase is Phase.TAP:
            return self.refused("no_tap")
        if self.phase is Phase.PIN:
            return self.refused("no_pin")
        if self.phase is Phase.LOOK:
            if now_ns >= self.frame_deadline_ns:
                return self.refused("camera_lost")
            unproven = PENDING if self.good else "no_face"
            return self.refused(self.reasons.most_common(1)[0][0] if self.reasons else unproven)
        return replace(self, phase=Phase.OVER, outcome="unknown", reason="no_receipt")


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
