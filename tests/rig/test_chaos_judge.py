"""The judge of a chaos run finds each loss, double and contradiction that is planted, and nothing in an honest case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hil.rig.chaos_judge import FINAL, Case, Kind, Paid, Row, judge

APPROVED = Case(
    reference="r-1", amount_minor=1250, currency="EUR", intents=("11" * 16,), states=("open", "approved"), opened=1,
    signed=frozenset({("d1", "authorization")}), receipts=frozenset({("d1", "approved", "")}),
    rows=(Row("authorization", "approved", ""),), paid=(Paid(1250, "EUR"),), screens=("Approved.",),
)  # fmt: skip
DECLINED = replace(
    APPROVED, states=("open", "declined/no_tap"), signed=frozenset({("d1", "decline")}), paid=(),
    receipts=frozenset({("d1", "declined", "")}), rows=(Row("decline", "declined", ""),), screens=("Refused: no tap",),
)  # fmt: skip
REJECTED = replace(
    DECLINED, states=("rejected/expired",), signed=frozenset({("d1", "authorization")}), screens=("Unknown: wait",),
    receipts=frozenset({("d1", "rejected", "expired")}), rows=(Row("authorization", "rejected", "expired"),),
)  # fmt: skip
CANCELLED = replace(
    REJECTED, states=("open", "cancelled"), receipts=frozenset({("d1", "rejected", "cancelled")}),
    rows=(Row("authorization", "rejected", "cancelled"),),
)  # fmt: skip
EXPIRED = replace(APPROVED, states=("expired",), signed=frozenset(), receipts=frozenset(), rows=(), paid=(), opened=0,
                  screens=())  # fmt: skip
HONEST = (APPROVED, DECLINED, REJECTED, CANCELLED, EXPIRED)

PLANTED: dict[str, tuple[Case, Kind]] = {
    "an approved payment that is not in the books": (replace(APPROVED, paid=()), "lost"),
    "a receipt that says approved, not in the books": (replace(REJECTED, receipts=APPROVED.receipts), "lost"),
    "an outbox that says approved, not in the books": (replace(REJECTED, rows=APPROVED.rows), "lost"),
    "an order the backend no longer knows": (replace(EXPIRED, states=("open", "unknown")), "lost"),
    "an approval the terminal knows nothing of": (replace(APPROVED, rows=()), "lost"),
    "a payment booked twice": (replace(APPROVED, paid=(Paid(1250, "EUR"),) * 2), "double"),
    "two intents for one order": (replace(APPROVED, intents=("11" * 16, "22" * 16)), "double"),
    "two authorizations of one intent": (
        replace(APPROVED, signed=frozenset({("d1", "authorization"), ("d2", "authorization")})), "double",
    ),
    "two rows of one intent": (replace(APPROVED, rows=APPROVED.rows * 2), "double"),
    "one intent served twice": (replace(APPROVED, opened=2), "double"),
    "two intents of one id": (replace(APPROVED, asked=2), "double"),
    "an order left open": (replace(EXPIRED, states=("open",)), "unfinished"),
    "an order nobody ever saw": (replace(EXPIRED, states=()), "unfinished"),
    "an authorization without a receipt": (replace(EXPIRED, rows=(Row("authorization", "", ""),)), "unfinished"),
    "an intent served and never answered": (replace(EXPIRED, opened=1), "unfinished"),
    "a cancelled payment that is in the books": (replace(CANCELLED, paid=(Paid(1250, "EUR"),)), "contradiction"),
    "another amount in the books": (replace(APPROVED, paid=(Paid(1251, "EUR"),)), "contradiction"),
    "another currency in the books": (replace(APPROVED, paid=(Paid(1250, "JPY"),)), "contradiction"),
    "a payment nobody authorized": (replace(APPROVED, signed=frozenset()), "contradiction"),
    "an end that changed": (replace(APPROVED, states=("expired", "approved")), "contradiction"),
    "the terminal declined, the backend approved": (replace(APPROVED, rows=DECLINED.rows), "contradiction"),
    "another code on the other side": (replace(REJECTED, states=("rejected/velocity",)), "contradiction"),
    "one answer, two receipts": (
        replace(APPROVED, receipts=frozenset({("d1", "approved", ""), ("d1", "rejected", "expired")})),
        "contradiction",
    ),
    "a screen that says approved": (replace(REJECTED, screens=("Approved.",)), "contradiction"),
    "a screen that says no": (replace(APPROVED, screens=("Refused: cancelled",)), "contradiction"),
    "more given back than asked for": (replace(APPROVED, given_back_minor=100), "contradiction"),
    "less given back than was told": (
        replace(APPROVED, told_back_minor=100, tried_back_minor=100), "contradiction",
    ),
    "more given back than was paid": (
        replace(APPROVED, given_back_minor=2000, tried_back_minor=2000), "contradiction",
    ),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(planted: str) -> None:
    case, kind = PLANTED[planted]
    assert kind in {violation.kind for violation in judge([APPROVED, case])}
    assert all(violation.reference == case.reference for violation in judge([case]))


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case.state)
def test_an_honest_end_is_no_violation(case: Case) -> None:
    assert judge([case]) == []


def test_every_final_state_has_an_honest_case() -> None:
    assert {case.state for case in HONEST} == set(FINAL)


@pytest.mark.parametrize("screen", ["Unknown: no receipt has come.", "Taken offline; confirmed later.", ""])
def test_a_screen_that_says_unknown_contradicts_nothing(screen: str) -> None:
    assert judge([replace(case, screens=(screen,)) for case in HONEST]) == []


@given(st.sampled_from(HONEST), st.sampled_from(HONEST))
def test_sides_that_ended_differently_are_told(backend: Case, terminal: Case) -> None:
    """The backend's half of one case with the terminal's half of another is a violation, unless nobody can tell."""
    mixed = replace(
        backend, signed=terminal.signed, receipts=terminal.receipts, rows=terminal.rows, opened=terminal.opened,
        screens=terminal.screens,
    )  # fmt: skip
    same = backend.state == terminal.state or (backend.state == "cancelled" and not terminal.rows)
    # an expired intent takes a late decline, and rejects a late authorization as expired
    late = backend.state == "expired" and terminal.state in ("declined", "rejected")
    assert bool(judge([mixed])) != (same or late)
