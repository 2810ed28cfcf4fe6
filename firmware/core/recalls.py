"""What the register took back before it came here: a cancellation may overtake its intent.

Rules kept here:
- A recall is kept until its intent has surely ended, and in memory only: after a new start it is the backend that
  refuses what was taken back.
"""

from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.intent import MAX_INTENT_TTL_S, AcceptedIntent
from firmware.payment.messages import Cancellation


class Recalls:
    """The recalls of intents that have not come."""

    def __init__(self) -> None:
        self._until: dict[tuple[bytes, bytes], int] = {}  # id and digest of the intent: when it has ended

    def keep(self, recalled: Cancellation, now: int) -> None:
        """Keep a recall, and forget those whose intents have ended at `now`, whole seconds since 1970."""
        self._until = {intent: until for intent, until in self._until.items() if until > now}
        # An intent is made before it is taken back, if perhaps by a worker whose clock is ahead.
        ends = recalled.issued_at + MAX_SKEW_S + MAX_INTENT_TTL_S
        self._until[recalled.intent, recalled.intent_hash] = ends

    def has(self, accepted: AcceptedIntent) -> bool:
        """Whether an intent was taken back before it came."""
        return (accepted.intent.id, accepted.digest) in self._until

    def __len__(self) -> int:
        return len(self._until)
