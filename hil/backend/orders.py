"""How a register's order stands, how it is taken back, and how what was paid is given back, inside one transaction.

Rules kept here:
- What a register was once told is over stays so: an intent past its time is closed as `expired` when somebody looks,
  and a clock that goes back, or another worker's, opens it no more.
- Whoever closes an intent holds its row: a cancellation and an authorization take turns, and the first one counts.
- Giving back is an effect of its own, below the payment: approved stays approved.
"""

from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from firmware.payment.errors import PaymentError
from firmware.payment.money import Amount
from hil.backend import books
from hil.backend.calls import CallError
from hil.backend.store import Transaction
from hil.backend.verify import Issued

State = Literal["open", "approved", "declined", "rejected", "cancelled", "expired", "unknown"]


@dataclass(frozen=True)
class RegisterView:
    """What a cash register sees of its intent.

    Attributes:
        code: why it was rejected or declined; empty otherwise.
        reference: what the register called it.
        amount_minor: what was asked for, in minor units of `currency`.
        given_back_minor: how much of what was paid was given back since.
        reversed: it was taken back as a whole, as if it had not been.
    """

    intent: str
    state: State
    code: str = ""
    terminal: str = ""
    reference: str = ""
    amount_minor: int = 0
    currency: str = ""
    given_back_minor: int = 0
    reversed: bool = False


def look(ledger: Transaction, intent: bytes, now: int) -> RegisterView:
    """Return how an intent stands at `now`, in seconds; an unknown one is `unknown`."""
    issued = ledger.issued(intent)
    if issued is not None and issued.open and ledger.lapsed(issued, now):
        issued = _closed(ledger, intent, "expired", now)
    return _view(ledger, intent, issued)


def cancel(ledger: Transaction, intent: bytes, now: int) -> RegisterView:
    """Take back an intent that nobody has answered; returns how it stands then, whoever was first."""
    return _view(ledger, intent, _closed(ledger, intent, "cancelled", now))


def _closed(ledger: Transaction, intent: bytes, state: State, now: int) -> Issued | None:
    """Close an open intent in this state, or as expired where it is past its time; leave any other as it is."""
    issued = ledger.issued(intent, hold=True)
    if issued is None or not issued.open:
        return issued
    ended = "expired" if ledger.lapsed(issued, now) else state
    ledger.close_intent(intent, ended, "")
    return msgspec.structs.replace(issued, state=ended)


@dataclass(frozen=True)
class Refund:
    """A part given back: its number below the payment, and what remains paid after it; minor units of `currency`."""

    intent: str
    number: int
    amount_minor: int
    currency: str
    left_minor: int


def reverse(ledger: Transaction, intent: bytes, now: int) -> RegisterView:
    """Take a payment back as a whole, once, while its day is open. It stays approved; the reversal stands below it.

    Raises:
        CallError: `not_paid`, `given_back` where parts were, or `day_closed`.
    """
    paid = _paid(ledger, intent)
    if not paid.reversed:
        if paid.effects:
            raise CallError("given_back", "a part was refunded; what is left can be refunded, not reversed")
        books.give_back(ledger, books.Effect(intent, 1, "reversal", paid.amount_minor, 0), now)
        # only now: whoever closes the day has done so, or waits for this transaction
        if paid.approved_at < books.closed_until(ledger):
            raise CallError("day_closed", "the payment's day is closed; it can be refunded")
    return look(ledger, intent, now)


def refund(ledger: Transaction, intent: bytes, amount: Amount, now: int) -> Refund:
    """Give back a part of a payment, or all of it, in its own currency.

    Raises:
        CallError: `not_paid`, or `too_much` for what is left.
        PaymentError: `currency`.
    """
    paid = _paid(ledger, intent)
    if amount.currency != paid.currency:
        raise PaymentError("currency", f"{paid.currency} was paid")
    left = paid.left_minor - amount.minor
    if left < 0:
        raise CallError("too_much", f"{paid.left_minor} minor units are left of it")
    effect = books.Effect(intent, paid.effects + 1, "refund", amount.minor, left)
    books.give_back(ledger, effect, now)
    return Refund(intent.hex(), effect.number, amount.minor, paid.currency, left)


def _paid(ledger: Transaction, intent: bytes) -> books.Paid:
    """Hold the order and return its payment."""
    ledger.issued(intent, hold=True)
    paid = books.paid(ledger, intent)
    if paid is None:
        raise CallError("not_paid", "nothing was paid for this intent")
    return paid


def _view(ledger: Transaction, intent: bytes, issued: Issued | None) -> RegisterView:
    if issued is None:
        return RegisterView(intent.hex(), "unknown")
    asked, told = issued.intent, {"intent": intent.hex(), "state": issued.state, "code": issued.code}
    told |= {"terminal": asked.terminal, "reference": issued.reference}
    view = msgspec.convert(told | {"currency": asked.currency, "amount_minor": asked.amount_minor}, RegisterView)
    paid = books.paid(ledger, intent) if view.state == "approved" else None
    if paid is None:
        return view
    given_back = paid.amount_minor - paid.left_minor
    return replace(view, given_back_minor=given_back, reversed=paid.reversed)
