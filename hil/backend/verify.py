"""The judgement: pure functions from a verified message and what the store knows to a reject code, or None for yes.

Rules kept here:
- The order is part of the contract: who speaks, then replay, then what is bound, then time, evidence and software.
- Checks before `replay` leave no trace in the store; those after it use up the counter.
- A check that cannot be made (no such intent, no such mandate) is a no.
"""

from collections.abc import Iterable

import msgspec

from firmware.liveness.verdict import DYNAMIC, PIN
from firmware.payment.authorize import AUTHORIZATION_TTL_S, display_hash, display_text
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.counting import far_ahead
from firmware.payment.errors import Code
from firmware.payment.mandate import SIMULATED
from firmware.payment.messages import (
    ASSURANCE_RANK,
    NO_ID,
    Allowance,
    Assurance,
    Authorization,
    Decline,
    Intent,
    Mandate,
)
from hil.backend.policy import DEMO, Policy, Registration, Velocity

Checks = Iterable[tuple[Code, bool]]
SHOWN_BY: dict[Assurance, set[str]] = {"geometry": set(), "dynamic": {DYNAMIC}, "dynamic_pin": {DYNAMIC, PIN}}
"""The gates that must have passed where an authorization says so much."""


class Standing(msgspec.Struct, frozen=True):
    """What the store knows of the sender and of this message.

    Attributes:
        suspended: a clone was suspected and a person must look, or the key was retired; it stays so.
        last_counter: highest counter seen from it.
        counter_seen: this counter came before, in other bytes (the same bytes are answered before any judgement).
        id_seen: this authorization id came before.
    """

    suspended: bool
    last_counter: int
    counter_seen: bool
    id_seen: bool


class Issued(msgspec.Struct, frozen=True):
    """An intent the backend issued, and how it stands.

    Attributes:
        digest: SHA-256 of its envelope.
        state: `open` until it is answered, taken back or told to have expired; then never another.
        code: why it was rejected or declined.
        reference: what the register called it.
    """

    intent: Intent
    digest: bytes
    state: str = "open"
    code: str = ""
    reference: str = ""

    @property
    def open(self) -> bool:
        """Whether it waits for its answer."""
        return self.state == "open"


class Held(msgspec.Struct, frozen=True):
    """The allowance that an authorization names: whose it is, and what its payer and all have taken of it so far."""

    terminal: str
    allowance: Allowance
    payer_minor: int
    terminal_minor: int


class Spent(msgspec.Struct, frozen=True):
    """What a payer paid within a window: how often, and how much in minor units of one currency."""

    payments: int
    amount_minor: int


def sender(message: Authorization | Decline, topic: str, signer: Registration) -> Code | None:
    """Judge who speaks: the topic, the key and the message must name one terminal."""
    return _first(
        [
            ("kid_topic_mismatch", signer.terminal != topic),
            ("terminal_mismatch", message.terminal != signer.terminal),
            ("unknown_key", message.issued_at < signer.since),
        ]
    )


def replay(counter: int, standing: Standing) -> Code | None:
    """Judge whether this is new; the order of an honest outbox is strict (see `firmware.payment.outbox`)."""
    return _first(
        [
            ("suspended", standing.suspended),
            ("clone_suspected", standing.counter_seen),
            ("counter_rollback", counter <= standing.last_counter),
            ("counter_rollback", far_ahead(counter, standing.last_counter)),
            ("id_reuse", standing.id_seen),
        ]
    )


def decline(message: Decline, issued: Issued | None) -> Code | None:
    """Judge a decline that is no replay."""
    if issued is None:
        return "unknown_intent"
    return _first(_answers(message, issued))


def authorization(
    message: Authorization, issued: Issued | None, held: Held | None, mandate: Mandate | None,
    registration: Registration, policy: Policy, now: int,
) -> Code | None:  # fmt: skip
    """Judge an authorization that is no replay; `now` is whole seconds since 1970."""
    if issued is None:
        return "unknown_intent"
    return (
        _first(_answers(message, issued))
        or _first(_terms(message, issued.intent))
        or _first(_times(message, issued.intent, held, registration, now))
        or _first(_evidence(message, issued.intent, mandate, policy))
        or _first(_software(message, registration, policy))
    )


def ends(outcome: str, code: str, reason: str, *, lapsed: bool) -> tuple[str, str]:
    """The state an open intent is closed with by what answers it, and the code beside.

    `outcome` is what a good answer comes to, `code` why it is none, `reason` a decline's; `lapsed`: it comes when a
    register may have been told already that the intent has expired, and so it stays.
    """
    if lapsed or code == "expired":
        return "expired", ""
    return ("rejected", code) if code else (outcome, reason)


def velocity(message: Authorization, limit: Velocity, spent: Spent) -> Code | None:
    """Judge whether the payer may pay this too; `spent` is of the limit's window."""
    most_minor = limit.amount_minor.get(message.currency)
    return _first(
        [
            ("velocity", spent.payments >= limit.payments),
            ("velocity", most_minor is not None and spent.amount_minor + message.amount_minor > most_minor),
        ]
    )


def _first(checks: Checks) -> Code | None:
    return next((code for code, failed in checks if failed), None)


def _answers(message: Authorization | Decline, issued: Issued) -> Checks:
    yield "intent_other_terminal", issued.intent.terminal != message.terminal
    yield "cancelled", issued.state == "cancelled"
    # a no that comes too late is taken: nothing hangs on it, and the terminal is rid of it
    late_no = issued.state == "expired" and isinstance(message, Decline)
    yield "expired", issued.state == "expired" and not late_no
    yield "intent_used", not issued.open and not late_no
    yield "challenge", message.intent_hash != issued.digest


def _terms(message: Authorization, intent: Intent) -> Checks:
    yield "challenge", message.challenge != intent.challenge
    yield "amount", message.amount_minor != intent.amount_minor
    yield "currency", (message.currency, message.exponent) != (intent.currency, intent.exponent)
    yield "merchant", message.merchant != intent.merchant
    shown = display_text(intent.amount_minor, intent.currency, intent.merchant)
    yield "display", message.display_hash != display_hash(shown)


def _times(message: Authorization, intent: Intent, held: Held | None, registration: Registration, now: int) -> Checks:
    if message.allowance == NO_ID:
        yield "ttl", not 0 < message.expires_at - message.issued_at <= AUTHORIZATION_TTL_S
        yield "ttl", message.expires_at > intent.expires_at
    else:
        yield from _offline(message, intent, held, registration)
    yield "future", message.issued_at > now + MAX_SKEW_S
    yield "expired", now >= message.expires_at


def _offline(message: Authorization, intent: Intent, held: Held | None, registration: Registration) -> Checks:
    yield "offline", not registration.counter
    yield "offline", held is None or held.terminal != message.terminal
    if held is not None:
        allowance = held.allowance
        yield "offline", (message.currency, message.exponent) != (allowance.currency, allowance.exponent)
        yield "offline", message.amount_minor > allowance.payment_minor
        yield "offline", held.payer_minor + message.amount_minor > allowance.payer_minor
        yield "offline", held.terminal_minor + message.amount_minor > allowance.terminal_minor
        yield "offline", message.issued_at >= allowance.expires_at
        yield "ttl", message.expires_at - message.issued_at != allowance.hold_s
    yield "expired", message.issued_at >= intent.expires_at


def _evidence(message: Authorization, intent: Intent, mandate: Mandate | None, policy: Policy) -> Checks:
    rank = ASSURANCE_RANK[message.evidence.assurance]
    yield "evidence", rank < max(ASSURANCE_RANK[intent.assurance], ASSURANCE_RANK[policy.assurance])
    yield "evidence", not set(policy.gates) <= set(message.evidence.gates)
    yield "evidence", not SHOWN_BY[message.evidence.assurance] <= set(message.evidence.gates)
    yield "evidence", message.evidence.match_band < policy.match_band
    yield "mandate", mandate is None or message.payer != intent.payer
    if mandate is not None:
        bound = (message.payer, message.terminal, "payment")
        yield "mandate", (mandate.payer, mandate.terminal, mandate.purpose) != bound
        yield "mandate", mandate.method == SIMULATED and policy.name != DEMO.name


def _software(message: Authorization, registration: Registration, policy: Policy) -> Checks:
    yield "profile", message.profile not in policy.profiles or message.profile != registration.profile
    yield "profile", bool(policy.policies) and message.policy.hex() not in policy.policies
    yield "profile", bool(policy.thresholds) and message.thresholds.hex() not in policy.thresholds
    yield "version_floor", _version(message.firmware) < _version(policy.firmware)
    yield "version_floor", bool(policy.models) and message.models.hex() not in policy.models


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
