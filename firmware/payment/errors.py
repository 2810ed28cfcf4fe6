"""The closed list of reasons for which a payment, or a message about one, is refused."""

from typing import Literal, get_args

Code = Literal[
    # the envelope
    "malformed",
    "schema",
    "non_canonical",
    "bad_signature",
    "unknown_key",
    "revoked",
    # who speaks
    "topic_identity",
    "kid_topic_mismatch",
    "terminal_mismatch",
    "suspended",
    # replay
    "clone_suspected",
    "counter_rollback",
    "id_reuse",
    "intent_used",
    # what is bound
    "unknown_intent",
    "intent_other_terminal",
    "challenge",
    "amount",
    "currency",
    "merchant",
    "display",
    "expired",
    "future",
    "ttl",
    "evidence",
    "profile",
    "version_floor",
    "mandate",
    "velocity",
    "cancelled",
    "offline",
    # time and keys
    "time",
    "key_set",
    # the terminal's own
    "clock",
    "receipt",
    "storage",
    "trust",
]
CODES: frozenset[str] = frozenset(get_args(Code))


class PaymentError(Exception):
    """A refusal: `code` from the closed list, `text` for a person."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code: Code = code
        self.text = text


class OutboxError(PaymentError):
    """The durable store cannot be used; nothing was half-done. Its code is `storage`."""

    def __init__(self, text: str) -> None:
        super().__init__("storage", text)
