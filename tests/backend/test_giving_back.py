"""What is given back of a payment: the whole once, or parts that never come to more; approved stays approved."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.payment.errors import PaymentError
from firmware.payment.money import Amount
from hil.backend import books, database
from hil.backend.books import Effect
from hil.backend.calls import CallError, call
from hil.backend.database import StoreError
from hil.backend.orders import Refund
from hil.backend.reconcile import DAY_S
from hil.backend.shop import Shop
from hil.backend.store import Store
from tests.backend.at_once import at_once
from tests.backend.books import day_of, paid, refunded, times_paid


@pytest.fixture
def shop(next_day: Shop) -> Shop:
    return next_day


def test_a_payment_is_reversed_whole_and_once_and_stays_approved(shop: Shop) -> None:
    intent = paid(shop)
    for _ in range(2):
        view = shop.backend.reverse(intent)
        assert (view.state, view.reversed, view.given_back_minor) == ("approved", True, 1250)
    with pytest.raises(CallError, match="too_much"):
        refunded(shop, intent, 1)
    assert times_paid(shop, intent) == 1


@pytest.mark.parametrize("answered", ["open", "declined", "cancelled", "unknown"])
def test_where_nothing_was_paid_nothing_is_given_back(shop: Shop, answered: str) -> None:
    accepted = shop.open()
    if answered == "declined":
        shop.answer(shop.rivals(accepted)[1])
    if answered == "cancelled":
        shop.backend.cancel(accepted.intent.id)
    intent = bytes(16) if answered == "unknown" else accepted.intent.id
    with pytest.raises(CallError, match="not_paid"):
        shop.backend.reverse(intent)
    with pytest.raises(CallError, match="not_paid"):
        refunded(shop, intent, 1)


def test_refunds_never_come_to_more_than_was_paid(shop: Shop) -> None:
    intent = paid(shop)
    assert refunded(shop, intent, 1000) == Refund(intent.hex(), 1, 1000, "EUR", 250)
    with pytest.raises(CallError, match="too_much"):
        refunded(shop, intent, 251)
    assert refunded(shop, intent, 250).left_minor == 0
    view = shop.backend.state(intent)
    assert (view.state, view.given_back_minor, view.reversed) == ("approved", 1250, False)


def test_what_was_refunded_in_part_cannot_be_reversed(shop: Shop) -> None:
    intent = paid(shop)
    refunded(shop, intent, 1)
    with pytest.raises(CallError, match="given_back"):
        shop.backend.reverse(intent)
    assert shop.backend.state(intent).given_back_minor == 1


def test_a_refund_is_in_the_currency_that_was_paid(shop: Shop, key: str) -> None:
    with pytest.raises(PaymentError, match="currency"):
        shop.backend.refund(paid(shop), Amount(1, "JPY"), call(key))


def test_the_same_call_under_the_same_key_refunds_once(shop: Shop, key: str) -> None:
    intent = paid(shop)
    first = refunded(shop, intent, 100, key)
    shop.restart_backend()
    assert refunded(shop, intent, 100, key) == first
    assert shop.backend.state(intent).given_back_minor == 100


def test_another_call_under_a_used_key_is_refused_and_gives_nothing(shop: Shop, key: str) -> None:
    intent = paid(shop)
    refunded(shop, intent, 100, key)
    for other, minor in ((intent, 101), (paid(shop), 100)):
        with pytest.raises(CallError, match="key_reuse"):
            refunded(shop, other, minor, key)
    assert shop.backend.state(intent).given_back_minor == 100


def test_a_refund_that_was_refused_uses_up_no_key(shop: Shop, key: str) -> None:
    intent = paid(shop)
    with pytest.raises(CallError, match="too_much"):
        refunded(shop, intent, 1251, key)
    assert refunded(shop, intent, 1250, key).left_minor == 0


def test_refunds_at_once_never_come_to_more_than_was_paid(shop: Shop, key: str) -> None:
    stores = [Store(shop.database) for _ in range(3)]
    for round_ in range(3):
        intent = paid(shop)

        def give_back(n: int, intent: bytes = intent, round_: int = round_) -> int:
            try:
                one = call(f"{key}-{round_}-{n}")
                return shop.worker(stores[n]).refund(intent, Amount(500, "EUR"), one).amount_minor
            except CallError:
                return 0

        given = at_once([lambda n=n: give_back(n) for n in range(3)])  # type: ignore[misc]
        assert sorted(given) == [0, 500, 500]
        assert shop.backend.state(intent).given_back_minor == 1000
    for store in stores:
        store.close()


def test_the_same_refund_at_once_is_given_once(shop: Shop, key: str) -> None:
    stores = [Store(shop.database) for _ in range(3)]
    intent = paid(shop)
    given = at_once([lambda s=s: refunded(shop, intent, 500, key, s) for s in stores])  # type: ignore[misc]
    assert len(set(given)) == 1
    assert shop.backend.state(intent).given_back_minor == 500
    for store in stores:
        store.close()


def test_a_reversal_and_a_refund_at_once_are_one_or_the_other(shop: Shop, key: str) -> None:
    other = Store(shop.database)
    for round_ in range(3):
        intent = paid(shop)

        def reverse(intent: bytes = intent) -> str:
            try:
                return f"reversed {shop.worker(other).reverse(intent).given_back_minor}"
            except CallError as error:
                return error.code

        def refund(intent: bytes = intent, round_: int = round_) -> str:
            try:
                return f"refunded {refunded(shop, intent, 500, f'{key}-{round_}').amount_minor}"
            except CallError as error:
                return error.code

        ends = at_once([reverse, refund])
        assert ends in (["reversed 1250", "too_much"], ["given_back", "refunded 500"])
    other.close()


def test_a_payment_of_a_closed_day_is_refunded_and_not_reversed(shop: Shop) -> None:
    intent = paid(shop)
    day = day_of(shop)
    shop.time += DAY_S
    shop.backend.close_day(day)
    with pytest.raises(CallError, match="day_closed"):
        shop.backend.reverse(intent)
    assert shop.backend.state(intent).given_back_minor == 0
    assert refunded(shop, intent, 1250).left_minor == 0


@given(parts=st.lists(st.integers(1, 1300), max_size=12))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_back_what_was_given_and_what_is_left_make_the_payment(shop: Shop, parts: list[int]) -> None:
    intent, left = paid(shop), 1250
    for n, part in enumerate(parts):
        one = f"{intent.hex()}-{n}"
        if part <= left:
            left -= part
            assert refunded(shop, intent, part, one).left_minor == left
        else:
            with pytest.raises(CallError, match="too_much"):
                refunded(shop, intent, part, one)
    assert shop.backend.state(intent).given_back_minor == 1250 - left


@pytest.mark.parametrize(
    "effect",
    [
        Effect(b"", 1, "refund", 1251, -1),
        Effect(b"", 1, "refund", 0, 1250),
        Effect(b"", 1, "reversal", 1000, 250),
        Effect(b"", 1, "gift", 1, 1249),
    ],
)
def test_the_table_refuses_what_a_faulty_program_would_book(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, effect: Effect
) -> None:
    monkeypatch.setattr(database, "ATTEMPTS", 1)
    booked = msgspec.structs.replace(effect, intent=paid(shop))
    with pytest.raises(StoreError, match=r"check|CHECK"):
        shop.store.transact(lambda ledger: books.give_back(ledger, booked, shop.time))


@pytest.mark.parametrize(
    "astray",
    [
        [(1, "reversal", 999_999, 0)],
        [(1, "refund", 2000, 0)],
        [(1, "refund", 100, 1250)],
        [(2, "refund", 100, 1150)],
        [(1, "refund", 500, 750), (2, "refund", 1000, 250)],
        [(1, "refund", 500, 750), (3, "refund", 100, 650)],
        [(1, "refund", 500, 750), (2, "reversal", 1250, 0)],
        [(1, "refund", 500, 750), (2, "reversal", 750, 0)],
        [(1, "reversal", 1250, 0), (2, "refund", 10**9, 0)],
    ],
)
def test_the_table_refuses_an_effect_that_does_not_follow_the_one_before_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, astray: list[tuple[int, str, int, int]]
) -> None:
    """What a row says is left is what was left before, less what it gives back; the first begins with the payment."""
    monkeypatch.setattr(database, "ATTEMPTS", 1)
    intent = paid(shop)
    *before, last = [Effect(intent, *each) for each in astray]
    for each in before:
        shop.store.transact(lambda ledger, each=each: books.give_back(ledger, each, shop.time))  # type: ignore[misc]
    with pytest.raises(StoreError, match=r"follows the one before|reversed_whole_and_alone"):
        shop.store.transact(lambda ledger: books.give_back(ledger, last, shop.time))


def test_the_table_refuses_an_effect_where_nothing_was_paid(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "ATTEMPTS", 1)
    unpaid = Effect(shop.open().intent.id, 1, "refund", 1, 0)
    with pytest.raises(StoreError, match="follows the one before"):
        shop.store.transact(lambda ledger: books.give_back(ledger, unpaid, shop.time))
