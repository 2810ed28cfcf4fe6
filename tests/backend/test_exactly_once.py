"""Crashes, duplicates, reordering and loss, in every order hypothesis thinks of: one effect per intent, none lost.

The wires are bags: what lies on one may come in any order, any number of times, or never.
"""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firmware.payment.errors import PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.outbox import OpenIntent
from hil.backend.shop import Shop

PICK = st.integers(0, 1000)


class Traffic(RuleBasedStateMachine):
    """One terminal, one backend, two bad wires."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.shop = Shop(Path(self.folder.name))
        self.open: list[AcceptedIntent] = []
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.answered: dict[bytes, str] = {}
        self.said: dict[bytes, str] = {}

    def teardown(self) -> None:
        self.drain()
        self.shop.close()
        self.folder.cleanup()

    @rule()
    def ask(self) -> None:
        self.open.append(self.shop.open())

    @precondition(lambda self: self.open)
    @rule(pick=PICK, authorize=st.booleans())
    def answer(self, pick: int, authorize: bool) -> None:
        accepted = self.open.pop(pick % len(self.open))
        if authorize:
            self.shop.till.authorize(accepted, self.shop.mandate, self.shop.time)
        else:
            self.shop.till.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", self.shop.time)
        self.answered[accepted.intent.id] = "approved" if authorize else "declined"

    @rule()
    def send(self) -> None:
        head = self.shop.till.outbox.head()
        if head is not None:
            self.up.append(head.envelope)

    @precondition(lambda self: self.up)
    @rule(pick=PICK, times=st.integers(1, 2))
    def arrive(self, pick: int, times: int) -> None:
        for _ in range(times):
            self.down.append(self.shop.backend.handle("till-1", self.up[pick % len(self.up)]))

    @precondition(lambda self: self.down)
    @rule(pick=PICK)
    def settle(self, pick: int) -> None:
        settled = self.shop.till.outbox.settle(self.down[pick % len(self.down)], self.shop.trust, "till-1")
        self.said[settled.intent] = settled.outcome

    @precondition(lambda self: self.up)
    @rule(pick=PICK)
    def lose(self, pick: int) -> None:
        self.up.pop(pick % len(self.up))

    @precondition(lambda self: self.down)
    @rule(pick=PICK)
    def lose_receipt(self, pick: int) -> None:
        self.down.pop(pick % len(self.down))

    @rule()
    def the_terminal_dies(self) -> None:
        self.shop.restart_terminal()
        left = self.shop.till.outbox.interrupted(self.shop.time)
        assert {intent.id for intent in left} == {accepted.intent.id for accepted in self.open}
        for intent in left:
            self.shop.till.decline(intent, "interrupted", self.shop.time)
            self.answered[intent.id] = "declined"
        self.open.clear()

    @rule()
    def the_backend_dies(self) -> None:
        self.shop.restart_backend()

    @precondition(lambda self: self.answered)
    @rule(pick=PICK)
    def the_same_intent_is_tried_again(self, pick: int) -> None:
        intent = list(self.answered)[pick % len(self.answered)]
        try:
            self.shop.till.outbox.authorize(intent, lambda _: b"never", b"")
        except PaymentError as error:
            if error.code == "intent_used":
                return
        raise AssertionError("an answered intent was answered again")

    @invariant()
    def at_most_one_effect_and_only_for_what_was_authorized(self) -> None:
        paid = [payment.intent for payment in self.shop.backend.payments()]
        assert len(paid) == len(set(paid))
        assert all(self.answered.get(intent) == "approved" for intent in paid)

    @invariant()
    def the_terminal_says_only_what_the_backend_did(self) -> None:
        for intent, outcome in self.said.items():
            assert outcome == self.answered[intent] == self.shop.backend.state(intent).state

    def drain(self) -> None:
        """The wires heal: everything signed arrives, in order, and is settled."""
        while (head := self.shop.till.outbox.head()) is not None:
            receipt = self.shop.backend.handle("till-1", head.envelope)
            settled = self.shop.till.outbox.settle(receipt, self.shop.trust, "till-1")
            assert settled.outcome == self.answered[settled.intent], settled
        paid = {payment.intent for payment in self.shop.backend.payments()}
        assert paid == {intent for intent, outcome in self.answered.items() if outcome == "approved"}


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=15, stateful_step_count=30, deadline=None, derandomize=True)
