"""What is booked and what a register called for, as statements inside one transaction; the rules are in `tables`.

Rules kept here:
- The books only grow: a payment, and below it, numbered, what was given back of it.
- Nothing is booked into a day that is closed: an effect that meets the closing counts from its end on.
"""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, bindparam, func, insert, literal, select, text

from hil.backend.statements import BOOKED_AT
from hil.backend.store import Transaction
from hil.backend.tables import CALLS, EFFECTS, INTENTS, PAYMENTS, RECONCILIATIONS

_GIVE_BACK = insert(EFFECTS).values(
    {column.name: bindparam(column.name) for column in EFFECTS.columns if column.name != "at"} | {"at": BOOKED_AT}
)


class Paid(msgspec.Struct, frozen=True):
    """A payment and what is left of it: `left_minor` in minor units of `currency`; `effects` were booked below it.

    `reversed`: it was taken back as a whole.
    """

    intent: bytes
    amount_minor: int
    currency: str
    approved_at: int
    effects: int
    left_minor: int
    reversed: bool


class Effect(msgspec.Struct, frozen=True):
    """Something given back of a payment: the whole (`reversal`) or a part (`refund`)."""

    intent: bytes
    number: int
    kind: str
    amount_minor: int
    left_minor: int


class Line(msgspec.Struct, frozen=True):
    """One line of the books: the payment itself has number 0; `envelope` is its intent's."""

    at: int
    intent: bytes
    number: int
    kind: str
    amount_minor: int
    currency: str
    authorization: bytes
    payer: str
    reference: str
    envelope: bytes


class Closing(msgspec.Struct, frozen=True):
    """A closed time, `since` to `until` in seconds: how many lines its file has, its SHA-256, and our word on it."""

    until: int
    since: int
    lines: int
    digest: bytes
    envelope: bytes


def paid(ledger: Transaction, intent: bytes) -> Paid | None:
    """Return what was paid for an intent, and what is left of it."""
    columns = [PAYMENTS.c[name] for name in ("amount_minor", "currency", "approved_at")]
    row = ledger.connection.execute(select(*columns).where(PAYMENTS.c.intent == intent)).first()
    if row is None:
        return None
    given_back = select(EFFECTS.c.number, EFFECTS.c.left_minor, EFFECTS.c.kind).where(EFFECTS.c.intent == intent)
    last = ledger.connection.execute(given_back.order_by(EFFECTS.c.number.desc())).first() or (0, row[0], "")
    amount_minor, currency, approved_at = row
    return Paid(intent, amount_minor, currency, approved_at, last[0], last[1], last[2] == "reversal")


def give_back(ledger: Transaction, effect: Effect, now: int) -> None:
    """Book it, at `now` in seconds. The table takes each number once and never more than was paid."""
    ledger.connection.execute(_GIVE_BACK, msgspec.structs.asdict(effect) | {"now": now})


def closed_until(ledger: Transaction) -> int:
    """The end of the last closed time, seconds; 0 where nothing was closed yet."""
    return int(ledger.connection.execute(select(func.coalesce(func.max(RECONCILIATIONS.c.until), 0))).scalar_one())


def hold_books(ledger: Transaction) -> None:
    """Wait until nobody is booking; from then on nobody does before this transaction ends."""
    if ledger.connection.dialect.name == "postgresql":
        ledger.connection.execute(text("LOCK TABLE payments, effects, reconciliations IN SHARE ROW EXCLUSIVE MODE"))


def lines(ledger: Transaction, since: int, until: int) -> list[Line]:
    """Return what was booked from `since` on and before `until`, seconds, oldest first."""
    both = [PAYMENTS.c["authorization"], PAYMENTS.c.payer, INTENTS.c.reference, INTENTS.c.envelope]
    main = [PAYMENTS.c.approved_at, PAYMENTS.c.intent, literal(0), literal("payment"), PAYMENTS.c.amount_minor]
    back = [EFFECTS.c[name] for name in ("at", "intent", "number", "kind", "amount_minor")]
    payments = select(*main, PAYMENTS.c.currency, *both).join(INTENTS, INTENTS.c.id == PAYMENTS.c.intent)
    effects = select(*back, PAYMENTS.c.currency, *both).join(PAYMENTS, PAYMENTS.c.intent == EFFECTS.c.intent)
    effects = effects.join(INTENTS, INTENTS.c.id == EFFECTS.c.intent)
    found = [
        *ledger.connection.execute(payments.where(_within(PAYMENTS.c.approved_at, since, until))),
        *ledger.connection.execute(effects.where(_within(EFFECTS.c.at, since, until))),
    ]
    return sorted((_line(row) for row in found), key=lambda line: (line.at, line.intent, line.number))


def closing(ledger: Transaction, until: int) -> Closing | None:
    """Return the closing that ended at `until`."""
    columns = [RECONCILIATIONS.c[name] for name in Closing.__struct_fields__]
    row = ledger.connection.execute(select(*columns).where(RECONCILIATIONS.c.until == until)).first()
    if row is None:
        return None
    until, since, count, digest, envelope = row
    return Closing(until, since, count, bytes(digest), bytes(envelope))


def close(ledger: Transaction, closing: Closing) -> None:
    """Close a time for good."""
    ledger.connection.execute(insert(RECONCILIATIONS).values(**msgspec.structs.asdict(closing)))


def call(ledger: Transaction, key: str) -> tuple[bytes, str] | None:
    """Return what was called for with this key, by its digest, and what it was answered."""
    row = ledger.connection.execute(select(CALLS.c.request, CALLS.c.answer).where(CALLS.c["key"] == key)).first()
    return None if row is None else (bytes(row[0]), row[1])


def keep_call(ledger: Transaction, key: str, request: bytes, answer: str, now: int) -> None:
    """Remember a call and its answer; the table takes each key once."""
    ledger.connection.execute(insert(CALLS).values(key=key, request=request, answer=answer, at=now))


def _within(time: ColumnElement[int], since: int, until: int) -> ColumnElement[bool]:
    return (time >= since) & (time < until)


def _line(row: Any) -> Line:
    at, intent, number, kind, amount_minor, currency, authorization, payer, reference, envelope = row
    return Line(
        at, bytes(intent), number, kind, amount_minor, currency, bytes(authorization), payer, reference, bytes(envelope)
    )
