"""What the witnesses of a chaos run wrote down, put together by order: the cases that are judged.

Rules kept here:
- What passed the broker counts where its signature holds: receipts by the backend's key, answers by the terminals'.
- A witness that cannot be read is an error, never an empty witness.
"""

import contextlib
import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cose, schema
from firmware.payment.authorize import display_text
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Authorization, Decline, Intent, Receipt
from firmware.payment.trust import Trust, key_id
from hil.backend.store import Payment
from hil.rig.chaos_customer import Said
from hil.rig.chaos_judge import Case, Paid, Row
from hil.rig.register import Line, read_ledger
from hil.rig.site import MERCHANT
from hil.rig.tap import Passed

R = TypeVar("R")
ANSWERS: dict[str, type[Authorization] | type[Decline]] = {kind.TYP: kind for kind in (Authorization, Decline)}
KINDS = {Authorization: "authorization", Decline: "decline"}
REGISTER, TAP, SCREENS = "register.jsonl", "tap.jsonl", "screens.jsonl"


class Order(msgspec.Struct):
    """What the register's ledger says of one order."""

    terminal: str = ""
    amount_minor: int = 0
    currency: str = ""
    intents: list[str] = []
    states: list[str] = []
    cancelled: bool = False
    told_back: int = 0
    tried_back: int = 0
    booked_back: int = 0


@dataclass
class Wire:
    """What passed the broker, by intent in hex: distinct intents, answers of terminals, receipts; and how often at all.

    `forged`: how much of it carries no signature that counts.
    """

    asked: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    signed: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    receipts: dict[str, set[tuple[str, str, str]]] = field(default_factory=lambda: defaultdict(set))
    passed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    forged: int = 0


@dataclass
class Terminals:
    """What the outboxes hold, or held, by intent in hex."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    opened: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def orders(ledger: Path) -> dict[str, Order]:
    """The register's ledger, by reference."""
    found: dict[str, Order] = {}
    for line in read_ledger(ledger):
        _take(found.setdefault(line.reference, Order()), line)
    return found


def _take(order: Order, line: Line) -> None:
    if line.what == "ask":
        order.terminal, order.amount_minor, order.currency = line.terminal, line.amount_minor, line.currency
    elif line.what == "intent" and line.says not in order.intents:
        order.intents = [*order.intents, line.says]
    elif line.what == "state":
        order.states = [*order.states, line.says]
    elif line.what == "cancel":
        order.cancelled = True
    elif line.what == "give_back":
        order.tried_back += line.amount_minor
    elif line.what == "given_back":
        order.told_back += line.amount_minor
    elif line.what == "booked_back":
        order.booked_back = line.amount_minor


def wire(ledger: Path, backend: ec.EllipticCurvePublicKey, terminals: Iterable[ec.EllipticCurvePublicKey]) -> Wire:
    """What the tap saw."""
    ours, theirs = Trust({key_id(backend): backend}), Trust({key_id(key): key for key in terminals})
    found = Wire()
    for passed in _lines(ledger, Passed):
        kind, envelope = passed.topic.rsplit("/", 1)[-1], bytes.fromhex(passed.envelope)
        found.passed[kind] += 1
        digest = hashlib.sha256(envelope).hexdigest()
        try:
            if kind == "intent":
                found.asked[schema.verify(envelope, Intent, ours.resolve)[1].id.hex()].add(envelope)
            elif kind == "receipt":
                receipt = schema.verify(envelope, Receipt, ours.resolve)[1]
                answered = (receipt.digest.hex(), receipt.outcome, receipt.code)
                found.receipts[receipt.intent.hex()].add(answered)
            elif kind in ("authorization", "decline"):
                answer = ANSWERS[cose.peek_type(envelope)]
                signed = schema.verify(envelope, answer, theirs.resolve)[1]
                found.signed[signed.intent.hex()].add((digest, KINDS[answer]))
        except PaymentError:
            found.forged += 1
    return found


def terminals(outboxes: Iterable[Path]) -> Terminals:
    """What the outboxes hold, and what the rig kept of what they forgot (`chaos_history.sql`)."""
    found = Terminals()
    for path in outboxes:
        with contextlib.closing(sqlite3.connect(path)) as db:
            for table in ("outbox", "history"):
                for intent, *said in db.execute(f"SELECT intent, kind, outcome, code FROM {table}"):  # noqa: S608
                    found.rows[intent.hex()].append(Row(*(word or "" for word in said)))
            for (intent,) in db.execute("SELECT intent FROM opened"):
                found.opened[intent.hex()] += 1
    return found


def screens(ledger: Path) -> dict[tuple[str, str], list[str]]:
    """What each screen said in the end, by terminal and by what it had asked to confirm."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for said in _lines(ledger, Said):
        found[said.terminal, said.shown].append(said.text)
    return found


def cases(
    register: dict[str, Order], broker: Wire, tills: Terminals, books: Iterable[Payment],
    shown: dict[tuple[str, str], list[str]],
) -> list[Case]:  # fmt: skip
    """One case for each order, and one for everything that was paid and nobody had ordered."""
    paid: dict[str, list[Paid]] = defaultdict(list)
    for payment in books:
        paid[payment.intent.hex()].append(Paid(payment.amount_minor, payment.currency))
    made = [_case(reference, order, broker, tills, paid, shown) for reference, order in register.items()]
    known = {intent for case in made for intent in case.intents}
    unordered = [
        Case(reference="", amount_minor=0, currency="", intents=(intent,), paid=tuple(effects))
        for intent, effects in paid.items()
        if intent not in known
    ]
    return made + unordered


def _case(
    reference: str, order: Order, broker: Wire, tills: Terminals, paid: dict[str, list[Paid]],
    shown: dict[tuple[str, str], list[str]],
) -> Case:  # fmt: skip
    def each(of: dict[str, set[R]]) -> list[R]:
        return [one for intent in order.intents for one in of.get(intent, ())]

    asked = max([len(broker.asked.get(intent, ())) for intent in order.intents], default=0)
    text = display_text(order.amount_minor, order.currency, MERCHANT)
    return Case(
        reference=reference,
        amount_minor=order.amount_minor,
        currency=order.currency,
        intents=tuple(order.intents),
        states=tuple(order.states),
        asked=asked,
        signed=frozenset(each(broker.signed)),
        receipts=frozenset(each(broker.receipts)),
        opened=sum(tills.opened.get(intent, 0) for intent in order.intents),
        rows=tuple(row for intent in order.intents for row in tills.rows.get(intent, ())),
        paid=tuple(effect for intent in order.intents for effect in paid.get(intent, ())),
        given_back_minor=order.booked_back,
        told_back_minor=order.told_back,
        tried_back_minor=order.tried_back,
        screens=tuple(shown.get((order.terminal, text), ())),
    )


def _lines(ledger: Path, kind: type[R]) -> Iterable[R]:
    decode: Callable[[bytes], R] = msgspec.json.Decoder(kind).decode
    for raw in ledger.read_bytes().splitlines(keepends=True):
        if raw.endswith(b"\n"):
            yield decode(raw)
