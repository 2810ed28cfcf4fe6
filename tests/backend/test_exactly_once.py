"""The life of an intent in every order hypothesis thinks of, on the real stores, held against a model of it.

Wires are bags: what lies on one may come in any order, any number of times, or never. Terminal and workers die between
any two steps, while signing, and on either side of a commit; then they are opened again from what is on disk. The
register cancels, looks, reverses and refunds in between, days end and are closed, and time passes. After every step the
backend's ledger must say what the model says, and once the wires heal every intent has one final state on both sides,
and every effect is in one reconciliation file.
"""

import csv
import datetime
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import Authorization, Cancellation, Decline, Intent, Receipt
from firmware.payment.money import Amount
from firmware.payment.outbox import OpenIntent
from hil.backend import books
from hil.backend.backend import INTENT_TTL_S, Backend
from hil.backend.calls import CallError, call
from hil.backend.cluster import Cluster
from hil.backend.policy import DEMO, Velocity
from hil.backend.reconcile import end_of
from hil.backend.shop import PAYER, Shop
from hil.backend.store import Store, Transaction
from hil.backend.tables import METADATA
from tests.payment.hearing import hears

# making a failure smaller takes longer here than any test may
UNSHRUNK = (Phase.generate,)
PICK = st.integers(0, 1000)
T = TypeVar("T")
LIMIT = Velocity(window_s=600, payments=3)
POLICY = msgspec.structs.replace(DEMO, velocity=(LIMIT,))
# what the terminal may have been told where the backend stands so
AGREED = {
    "approved": {"approved"}, "declined": {"declined"}, "rejected": {"rejected"}, "cancelled": {"rejected"},
    "expired": {"rejected", "declined"},
}  # fmt: skip


class DiedError(Exception):
    """A process is gone at this instant."""


class Dying(Store):
    """A store whose process dies in its next transaction, before the commit or right after it."""

    def __init__(self, database: str, before_commit: bool) -> None:
        super().__init__(database)
        self._before_commit = before_commit
        self.armed = False

    def transact(self, work: Callable[[Transaction], T]) -> T:
        def die(ledger: Transaction) -> T:
            done = work(ledger)
            if self.armed and self._before_commit:
                raise DiedError
            return done

        done = super().transact(die)
        if self.armed:
            raise DiedError
        return done


@dataclass
class Order:
    """An intent as the model has it: at the backend `state`, at the terminal `signed` and then `said`.

    `paid_at`, and what was given back of it, minor units: all at once where it was `reversed`, else in parts.
    """

    accepted: AcceptedIntent
    state: str = "open"
    signed: str = ""
    said: str = ""
    paid_at: int = 0
    parts: list[int] = field(default_factory=list)
    reversed: bool = False

    @property
    def left_minor(self) -> int:
        return self.accepted.intent.amount_minor - sum(self.parts)


class Life(RuleBasedStateMachine):
    """One terminal, two workers on one database, a register, and two bad wires."""

    empty: Callable[[Path], str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.shop = Shop(Path(self.folder.name), POLICY, database=type(self).empty(Path(self.folder.name)))
        self.other = Store(self.shop.database)
        self.orders: dict[bytes, Order] = {}
        self.hand: Order | None = None
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.answers: dict[bytes, bytes] = {}
        self.refunds: dict[str, tuple[bytes, int, object]] = {}
        self.days: list[datetime.date] = []
        self.skew_s = 0

    @initialize(skew_s=st.integers(-25, 25), paid=st.integers(0, 3))
    def it_begins(self, skew_s: int, paid: int) -> None:
        """With clocks that differ, and some payments made."""
        self.skew_s = skew_s
        for number in range(paid):
            self.an_order_goes_well_so_far(minor=1000 + number, steps=6, yes=True, meanwhile="nothing")

    def teardown(self) -> None:
        self.heal()
        self.other.close()
        self.shop.close()
        self.folder.cleanup()

    @property
    def terminal_time(self) -> int:
        """As `TrustedClock` has it: never below what the backend signed."""
        return max(self.shop.time + self.skew_s, self.shop.till.outbox.time_floor)

    # -- the register ------------------------------------------------------------------------------------------------

    @rule(minor=st.integers(1, 5000))
    def ask(self, minor: int) -> None:
        _, envelope = self.shop.backend.issue_intent("till-1", Amount(minor, "EUR"), PAYER)
        intent = schema.verify(envelope, Intent, self.shop.trust.resolve)[1]
        self.orders[intent.id] = Order(AcceptedIntent(intent, b"", intent.assurance))
        self.down.append(envelope)

    @rule(
        minor=st.integers(1, 5000),
        steps=st.sampled_from((2, 3, 4, 5, 6, 6, 6)),
        yes=st.sampled_from((True, True, False)),
        meanwhile=st.sampled_from(("nothing", "nothing", "taken back", "late")),
    )
    def an_order_goes_well_so_far(self, minor: int, steps: int, yes: bool, meanwhile: str) -> None:
        """All at once what chance alone would seldom do in this order."""
        self.ask(minor)
        self.opens(self.down[-1])
        if steps > 2 and self.hand is not None:
            self.decides(yes)
        if meanwhile == "taken back":
            self.cancel(len(self.orders) - 1)
        elif meanwhile == "late":
            self.shop.time += INTENT_TTL_S
        if steps > 3:
            self.sends()
        if steps > 4 and self.up:
            self.arrives(self.up[-1], self.shop.backend)
        if steps > 5:
            self.everything_is_delivered()

    def everything_is_delivered(self) -> None:
        while (head := self.shop.till.outbox.head()) is not None:
            self.arrives(head.envelope, self.shop.backend)
            self.settles(self.down[-1])

    @precondition(lambda self: self.orders)
    @rule(pick=PICK)
    def look(self, pick: int) -> None:
        order = self.picked(pick)
        if order.state == "open" and self.shop.time >= order.accepted.intent.expires_at:
            order.state = "expired"
        assert self.shop.backend.state(order.accepted.intent.id).state == order.state

    @precondition(lambda self: self.orders)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        order = self.picked(pick)
        if order.state == "open":
            order.state = "expired" if self.shop.time >= order.accepted.intent.expires_at else "cancelled"
        view, envelope = self.shop.backend.cancel(order.accepted.intent.id)
        assert view.state == order.state
        assert (envelope is not None) is (order.state == "cancelled")
        if envelope is not None:
            self.down.append(envelope)

    @precondition(lambda self: any(order.paid_at for order in self.orders.values()))
    @rule(pick=PICK)
    def reverse(self, pick: int) -> None:
        order = self.picked(pick)
        if order.state != "approved":
            refusal = "not_paid"
        elif order.parts and not order.reversed:
            refusal = "given_back"
        elif not order.reversed and order.paid_at < self.closed_until:
            refusal = "day_closed"
        else:
            assert self.shop.backend.reverse(order.accepted.intent.id).reversed
            if not order.reversed:
                order.parts, order.reversed = [order.left_minor], True
            return
        with pytest.raises(CallError, match=refusal):
            self.shop.backend.reverse(order.accepted.intent.id)

    @precondition(lambda self: any(order.paid_at for order in self.orders.values()))
    @rule(pick=PICK, minor=st.integers(1, 3000))
    def refund(self, pick: int, minor: int) -> None:
        order, key = self.picked(pick), f"refund-{len(self.refunds)}"
        intent = order.accepted.intent.id
        if order.state != "approved" or minor > order.left_minor:
            with pytest.raises(CallError, match="not_paid" if order.state != "approved" else "too_much"):
                self.give_back(key, intent, minor)
            return
        answer = self.give_back(key, intent, minor)
        order.parts.append(minor)
        self.refunds[key] = intent, minor, answer

    @precondition(lambda self: self.refunds)
    @rule(pick=PICK, more=st.integers(0, 1))
    def a_refund_is_called_for_again(self, pick: int, more: int) -> None:
        key = list(self.refunds)[pick % len(self.refunds)]
        intent, minor, answer = self.refunds[key]
        if more:
            with pytest.raises(CallError, match="key_reuse"):
                self.give_back(key, intent, minor + more)
        else:
            assert self.give_back(key, intent, minor) == answer

    def give_back(self, key: str, intent: bytes, minor: int) -> object:
        return self.shop.backend.refund(intent, Amount(minor, "EUR"), call(key, intent.hex(), minor))

    @precondition(lambda self: any(order.paid_at >= self.closed_until for order in self.orders.values()))
    @rule()
    def the_day_ends_and_is_closed(self) -> None:
        day = datetime.datetime.fromtimestamp(self.shop.time, datetime.timezone.utc).date()
        self.shop.time = end_of(day)
        self.shop.backend.close_day(day)
        self.days.append(day)

    @property
    def closed_until(self) -> int:
        return end_of(self.days[-1]) if self.days else 0

    # -- the terminal ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.down)
    @rule(pick=PICK)
    def comes_down(self, pick: int) -> None:
        envelope = self.down[pick % len(self.down)]
        {Intent.TYP: self.opens, Cancellation.TYP: self.is_taken_back, Receipt.TYP: self.settles}[
            cose.peek_type(envelope)
        ](envelope)

    def opens(self, envelope: bytes) -> None:
        try:
            accepted = self.shop.till.open(envelope, self.terminal_time)
        except PaymentError as error:
            if error.code not in ("intent_used", "expired"):
                raise
            return
        order = self.orders[accepted.intent.id]
        order.accepted = accepted
        if self.hand is None:
            self.hand = order
        else:
            self.declines(order, "busy")

    def is_taken_back(self, envelope: bytes) -> None:
        cancelled = schema.verify(envelope, Cancellation, self.shop.trust.resolve)[1]
        if self.hand is not None and self.hand.accepted.digest == cancelled.intent_hash:
            order, self.hand = self.hand, None
            self.declines(order, "cancelled_by_register")

    def settles(self, envelope: bytes) -> None:
        receipt = self.shop.read(envelope)
        order = self.orders[receipt.intent]
        try:
            self.shop.till.outbox.settle(envelope, self.shop.trust, "till-1")
        except PaymentError as error:
            if error.code != "receipt" or not order.said:
                raise
            # settled long ago, and forgotten since
        assert order.said in ("", receipt.outcome), "what was said once is not taken back"
        order.said = receipt.outcome

    @precondition(lambda self: self.hand)
    @rule(yes=st.booleans())
    def decides(self, yes: bool) -> None:
        order, self.hand = self.hand, None
        assert order is not None
        if not yes:
            self.declines(order, "flat")
            return
        try:
            self.shop.till.authorize(order.accepted, self.shop.mandate, self.terminal_time)
        except PaymentError as error:
            if error.code != "expired":
                raise
            self.declines(order, "expired")
        else:
            order.signed = "authorization"

    def declines(self, order: Order, reason: str) -> None:
        self.shop.till.decline(OpenIntent(order.accepted.intent.id, order.accepted.digest), reason, self.terminal_time)
        order.signed = "decline"

    @rule()
    def sends(self) -> None:
        head = self.shop.till.outbox.head()
        if head is not None:
            self.up.append(head.envelope)

    @rule(signing=st.booleans())
    def the_terminal_dies(self, signing: bool) -> None:
        if signing and self.hand is not None:
            with pytest.raises(DiedError):
                self.shop.till.outbox.authorize(self.hand.accepted.intent.id, _die, b"")
        self.shop.restart_terminal()
        self.hand = None
        self.declines_what_was_left()

    def declines_what_was_left(self) -> None:
        hears(self.shop)
        for left in self.shop.till.outbox.interrupted():
            order = self.orders[left.id]
            assert order.signed == ""
            self.declines(order, "interrupted")

    @precondition(lambda self: any(order.signed for order in self.orders.values()))
    @rule(pick=PICK)
    def what_was_answered_is_not_answered_again(self, pick: int) -> None:
        answered = [order for order in self.orders.values() if order.signed]
        with pytest.raises(PaymentError, match=r"intent_used|unknown_intent"):
            self.shop.till.outbox.authorize(answered[pick % len(answered)].accepted.intent.id, lambda _: b"never", b"")

    # -- the backend -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.up)
    @rule(pick=PICK, second=st.booleans())
    def comes_up(self, pick: int, second: bool) -> None:
        envelope = self.up[pick % len(self.up)]
        worker = self.shop.worker(self.other) if second else self.shop.backend
        self.arrives(envelope, worker)

    def arrives(self, envelope: bytes, worker: Backend) -> None:
        known = self.answers.get(envelope)
        receipt = worker.handle("till-1", envelope)
        self.down.append(receipt)
        if known is not None:
            assert receipt == known
            return
        self.answers[envelope] = receipt
        self.is_judged(envelope, self.shop.read(receipt))

    def is_judged(self, envelope: bytes, receipt: Receipt) -> None:
        """What the model says of an envelope that comes for the first time."""
        if cose.peek_type(envelope) == Decline.TYP:
            order = self.orders[schema.decode(cose.peek(envelope), Decline).intent]
            expires_at, yes = order.accepted.intent.expires_at, False
        else:
            message = schema.decode(cose.peek(envelope), Authorization)
            order = self.orders[message.intent]
            expires_at, yes = message.expires_at, True
        if order.state == "open" and self.shop.time >= expires_at:
            order.state = "expired"
        if order.state == "open" and yes and self.spent() >= LIMIT.payments:
            order.state, expected = "rejected", ("rejected", "velocity")
        elif order.state == "open":
            order.state = "approved" if yes else "declined"
            expected = (order.state, "")
            order.paid_at = self.shop.time if yes else 0
        else:
            expected = ("declined", "") if order.state == "expired" and not yes else ("rejected", order.state)
        assert (receipt.outcome, receipt.code) == expected

    def spent(self) -> int:
        return sum(order.paid_at > self.shop.time - LIMIT.window_s for order in self.orders.values())

    @precondition(lambda self: self.up)
    @rule(pick=PICK, before_commit=st.booleans())
    def a_worker_dies_at_it(self, pick: int, before_commit: bool) -> None:
        envelope = self.up[pick % len(self.up)]
        dying = Dying(self.shop.database, before_commit)
        worker = self.shop.worker(dying)
        dying.armed = True
        with pytest.raises(DiedError):
            worker.handle("till-1", envelope)
        dying.close()
        if not before_commit:
            self.arrives_after_all(envelope)

    def arrives_after_all(self, envelope: bytes) -> None:
        """It was committed, and nobody heard the answer: whoever is given it next says what was decided then."""
        known = self.answers.get(envelope)
        receipt = self.shop.backend.handle("till-1", envelope)
        if known is None:
            self.answers[envelope] = receipt
            self.is_judged(envelope, self.shop.read(receipt))
        else:
            assert receipt == known

    @rule()
    def the_backend_is_started_again(self) -> None:
        self.shop.restart_backend()

    # -- what happens to all -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.up)
    @rule(pick=PICK)
    def is_lost_on_its_way_up(self, pick: int) -> None:
        self.up.pop(pick % len(self.up))

    @precondition(lambda self: self.down)
    @rule(pick=PICK)
    def is_lost_on_its_way_down(self, pick: int) -> None:
        self.down.pop(pick % len(self.down))

    @rule(seconds=st.sampled_from((1, 30, INTENT_TTL_S - 1, INTENT_TTL_S, 601)))
    def time_passes(self, seconds: int) -> None:
        self.shop.time += seconds

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        def read(ledger: Transaction) -> tuple[dict[bytes, str], list[books.Paid | None]]:
            issued = [ledger.issued(intent) for intent in self.orders]
            states = {each.intent.id: each.state for each in issued if each is not None}
            return states, [books.paid(ledger, payment.intent) for payment in ledger.payments()]

        states, booked = self.shop.store.transact(read)
        assert states == {intent: order.state for intent, order in self.orders.items()}
        paid = {each.intent: each for each in booked if each is not None}
        assert len(paid) == len(booked)
        assert set(paid) == {intent for intent, state in states.items() if state == "approved"}
        for intent, each in paid.items():
            order = self.orders[intent]
            assert order.signed == "authorization"
            assert (each.left_minor, each.effects, each.reversed) == (
                order.left_minor, len(order.parts), order.reversed,
            )  # fmt: skip

    @invariant()
    def the_terminal_says_nothing_else(self) -> None:
        assert all(order.said in AGREED[order.state] for order in self.orders.values() if order.said)

    def picked(self, pick: int) -> Order:
        return list(self.orders.values())[pick % len(self.orders)]

    def heal(self) -> None:
        """The wires heal: what is in hand ends, all that was signed arrives, in order, and is settled."""
        if self.hand is not None:
            self.decides(yes=False)
        self.ask(minor=1)
        self.opens(self.down[-1])
        if self.hand is not None:
            self.decides(yes=True)
        self.declines_what_was_left()
        self.everything_is_delivered()
        self.shop.time += INTENT_TTL_S
        for pick in range(len(self.orders)):
            self.look(pick)
        self.the_ledger_says_what_the_model_says()
        self.the_day_ends_and_is_closed()
        self.every_effect_is_in_one_file()
        for order in self.orders.values():
            assert order.state != "open"
            assert order.said in (AGREED[order.state] if order.signed else {""})

    def every_effect_is_in_one_file(self) -> None:
        files = [self.shop.backend.file_of(day) for day in self.days]
        rows = [row for file in files if file for row in csv.DictReader(io.StringIO(file.decode()))]
        found = sorted((row["intent"], int(row["amount_minor"])) for row in rows if row["kind"] != "total")
        booked = [
            (intent.hex(), minor)
            for intent, order in self.orders.items()
            if order.state == "approved"
            for minor in (order.accepted.intent.amount_minor, *(-part for part in order.parts))
        ]
        assert found == sorted(booked)


def _die(_: int) -> bytes:
    raise DiedError


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Hands out an empty database, as often as it is asked; on PostgreSQL always the same one."""
    if request.param == "sqlite":
        template = tmp_path / "empty.db"
        Store(template).close()
        yield lambda folder: str(shutil.copy(template, folder / "backend.db"))
        return
    cluster: Cluster = request.getfixturevalue("postgresql")
    url = cluster.create()
    store = Store(url)

    def truncated(_: Path) -> str:
        names = ", ".join(table.name for table in METADATA.sorted_tables)
        store.transact(lambda ledger: ledger.connection.exec_driver_sql(f"TRUNCATE {names}"))
        return url

    yield truncated
    store.close()


def lives(empty: Callable[[Path], str], steps: settings) -> None:
    class Here(Life):
        pass

    Here.empty = staticmethod(empty)
    run_state_machine_as_test(Here, settings=steps)


def test_whatever_happens_every_intent_ends_once_and_on_both_sides_alike(
    empty: Callable[[Path], str], request: pytest.FixtureRequest
) -> None:
    examples = 15 if request.node.callspec.params["empty"] == "sqlite" else 4  # which costs more processor time
    lives(
        empty, settings(max_examples=examples, stateful_step_count=30, deadline=None, derandomize=True, phases=UNSHRUNK)
    )


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_the_same_for_longer(empty: Callable[[Path], str]) -> None:
    lives(empty, settings(max_examples=1000, stateful_step_count=60, deadline=None, phases=UNSHRUNK))
