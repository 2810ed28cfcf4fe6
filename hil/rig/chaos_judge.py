"""Judges a chaos run: from what the witnesses wrote down, what was lost, what was doubled, who contradicts whom.

The witnesses are the register's ledger, the tap on the broker, the terminals' outboxes, their screens, and the books of
the backend. No witness is asked to explain another: each intent is one `Case`, and every rule is a sentence about one.

Rules kept here:
- An order ends once, in one of five states, and what the register was once told of an end stays so.
- The terminal's end and the backend's are the same one (`AGREE`).
- What is paid is what was asked for, once, and is approved; what is approved is paid.
- A screen never says more than is true: "unknown" may be anything, "approved" is paid, a refusal is not.
- What cannot be seen is not believed to be well: an order without an end is a violation.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Kind = Literal["lost", "double", "unfinished", "contradiction"]
FINAL = ("approved", "declined", "rejected", "cancelled", "expired")
BOTH = ("authorization", "decline")


class Row(msgspec.Struct, frozen=True):
    """What a terminal's outbox holds of an intent, or held: `outcome` and `code` of its receipt, empty without one."""

    kind: str
    outcome: str
    code: str


class Paid(msgspec.Struct, frozen=True):
    """An effect in the backend's books."""

    amount_minor: int
    currency: str


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One order, by all witnesses.

    Attributes:
        reference: what the register calls it.
        amount_minor, currency: what it asked for.
        intents: ids of intents that were made for it, in hex.
        states: as the register saw them, in order, `state/code`.
        asked: distinct intents of this id that passed the broker.
        signed: digest and kind of what the terminal sent, as it passed the broker; in hex.
        receipts: digest, outcome and code of what the backend answered, as it passed the broker.
        opened: how often the terminal began to serve it.
        rows: of the terminal's outbox.
        paid: of the backend's books.
        given_back_minor: by the backend's books.
        told_back_minor, tried_back_minor: what the register was told is given back, and what it asked to give back.
        screens: what the screen said in the end.
    """

    reference: str
    amount_minor: int
    currency: str
    intents: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    asked: int = 1
    signed: frozenset[tuple[str, str]] = frozenset()
    receipts: frozenset[tuple[str, str, str]] = frozenset()
    opened: int = 0
    rows: tuple[Row, ...] = ()
    paid: tuple[Paid, ...] = ()
    given_back_minor: int = 0
    told_back_minor: int = 0
    tried_back_minor: int = 0
    screens: tuple[str, ...] = ()

    @property
    def end(self) -> str:
        """How the register last saw it: `state/code`; empty where it never did."""
        return self.states[-1] if self.states else ""

    @property
    def state(self) -> str:
        """The same without its code."""
        return self.end.partition("/")[0]

    @property
    def code(self) -> str:
        """Why it was declined or rejected."""
        return self.end.partition("/")[2]


class Violation(msgspec.Struct, frozen=True):
    """A rule that does not hold of a case."""

    kind: Kind
    reference: str
    intents: tuple[str, ...]
    text: str


AGREE: dict[str, Callable[[Case, Row], bool]] = {
    "approved": lambda _, row: row == Row("authorization", "approved", ""),
    "declined": lambda _, row: row == Row("decline", "declined", ""),
    "rejected": lambda case, row: row.outcome == "rejected" and row.code == case.code,
    "cancelled": lambda _, row: (row.outcome, row.code) == ("rejected", "cancelled"),
    "expired": lambda _, row: (row.outcome, row.code) == ("rejected", "expired") or row.outcome == "declined",
}
"""Which end at the terminal is the same as the backend's. A late decline of an expired one is taken."""
WITHOUT_TERMINAL = ("cancelled", "expired")
"""Ends that need no word of the terminal: it may never have heard of the intent."""


def judge(cases: Iterable[Case]) -> list[Violation]:
    """Every violation, in the order of the cases."""
    found = []
    for case in cases:
        for rule in (_ended_once, _seen_once, _money, _both_sides, _screens):
            found += [Violation(kind, case.reference, case.intents, text) for kind, text in rule(case)]
    return found


def _ended_once(case: Case) -> Iterable[tuple[Kind, str]]:
    if len(case.intents) > 1:
        yield "double", f"one order became {len(case.intents)} intents"
    if not case.intents:
        return  # the register never learned of one: nothing may have come of it, which the other rules see
    if case.state not in FINAL:
        yield ("lost" if case.state == "unknown" else "unfinished"), f"ended as {case.end or 'nothing'}"
    ends = [state for state in case.states if state.partition("/")[0] in FINAL]
    if len(set(ends)) > 1:
        yield "contradiction", f"the register saw it end more than once: {', '.join(ends)}"


def _seen_once(case: Case) -> Iterable[tuple[Kind, str]]:
    if case.asked > 1:
        yield "double", f"{case.asked} intents of one id passed the broker"
    if len(case.signed) > 1:
        yield "double", f"the terminal sent {len(case.signed)} answers to one intent"
    if len(case.rows) > 1:
        yield "double", f"the outbox holds {len(case.rows)} answers to one intent"
    if case.opened > 1:
        yield "double", f"the terminal began to serve it {case.opened} times"
    said = {digest for digest, _, _ in case.receipts}
    if len(case.receipts) > len(said):
        yield "contradiction", "the same bytes got two different receipts"


def _money(case: Case) -> Iterable[tuple[Kind, str]]:
    approved_somewhere = (
        case.state == "approved"
        or any(row.outcome == "approved" for row in case.rows)
        or any(outcome == "approved" for _, outcome, _ in case.receipts)
    )
    if len(case.paid) > 1:
        yield "double", f"paid {len(case.paid)} times"
    if approved_somewhere and not case.paid:
        yield "lost", "somebody was told that it is approved, and it is not in the books"
    if case.paid and case.state != "approved":
        yield "contradiction", f"it is in the books, and the register was told {case.end or 'nothing'}"
    if case.paid and not case.signed:
        yield "contradiction", "it is in the books, and no authorization passed the broker"
    for paid in case.paid:
        if (paid.amount_minor, paid.currency) != (case.amount_minor, case.currency):
            yield "contradiction", f"asked for {case.amount_minor} {case.currency}, paid {paid}"
    if not case.told_back_minor <= case.given_back_minor <= min(case.tried_back_minor, case.amount_minor):
        told = f"told {case.told_back_minor}, asked for {case.tried_back_minor}"
        yield "contradiction", f"{case.given_back_minor} are given back; the register was {told}"


def _both_sides(case: Case) -> Iterable[tuple[Kind, str]]:
    for row in case.rows:
        if not row.outcome:
            yield "unfinished", f"the terminal's {row.kind} has no receipt"
        elif case.state in AGREE and not AGREE[case.state](case, row):
            yield "contradiction", f"the terminal ended with {row}, the backend with {case.end}"
    if not case.rows and case.state in FINAL and case.state not in WITHOUT_TERMINAL:
        yield "lost", f"the backend ended with {case.end}, and the terminal knows of no answer"
    if case.opened and not case.rows:
        yield "unfinished", "the terminal began to serve it and never answered"
    kinds = {kind for _, kind in case.signed}
    if case.rows and kinds and kinds != {case.rows[0].kind}:
        yield "contradiction", f"the outbox holds a {case.rows[0].kind}, the broker passed {', '.join(sorted(kinds))}"


def _screens(case: Case) -> Iterable[tuple[Kind, str]]:
    for text in case.screens:
        if text.startswith("Approved") and case.state != "approved":
            yield "contradiction", f"the screen said approved, the register was told {case.end}"
        if text.startswith(("Refused", "Declined")) and case.state == "approved":
            yield "contradiction", f"the screen said no, and it was approved: {text}"
