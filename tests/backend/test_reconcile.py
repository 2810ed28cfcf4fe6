"""Reconciliation: each effect in exactly one file, totals that add up, a day that stays closed, signed files."""

import csv
import datetime
import io

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import authorize, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Reconciliation
from firmware.payment.trust import Trust, key_id
from hil.backend import reconcile
from hil.backend.backend import Backend
from hil.backend.calls import CallError
from hil.backend.reconcile import DAY_S, end_of
from hil.backend.shop import Shop
from hil.backend.store import Store
from hil.backend.terminals import Terminals
from tests.backend.at_once import Delivery, at_once
from tests.backend.books import day_of, paid, refunded


@pytest.fixture
def shop(next_day: Shop) -> Shop:
    return next_day


def listed(shop: Shop, day: datetime.date) -> list[dict[str, str]]:
    """The lines of a closed day's file, checked as a register checks them."""
    closed, content = shop.backend.close_day(day), shop.backend.file_of(day)
    assert content is not None
    return reconcile.read(content, closed.envelope, shop.trust.resolve)


def totals(shop: Shop, day: datetime.date) -> dict[str, int]:
    """The totals in a closed day's file, by currency."""
    content = shop.backend.file_of(day)
    assert content is not None
    lines = csv.DictReader(io.StringIO(content.decode()))
    return {line["currency"]: int(line["amount_minor"]) for line in lines if line["kind"] == "total"}


def test_a_day_lists_every_effect_once_and_its_totals_add_up(shop: Shop) -> None:
    first, second, third = paid(shop), paid(shop, 800, "JPY"), paid(shop)
    shop.open()
    shop.backend.reverse(first)
    refunded(shop, third, 250)
    day = day_of(shop)
    shop.time += DAY_S
    effects = {(line["intent"], line["kind"], int(line["amount_minor"])) for line in listed(shop, day)}
    assert effects == {
        (first.hex(), "payment", 1250), (first.hex(), "reversal", -1250), (second.hex(), "payment", 800),
        (third.hex(), "payment", 1250), (third.hex(), "refund", -250),
    }  # fmt: skip
    assert len(listed(shop, day)) == 5
    assert totals(shop, day) == {"EUR": 1000, "JPY": 800}


def test_a_refund_of_another_day_is_in_that_days_file(shop: Shop) -> None:
    intent, day = paid(shop), day_of(shop)
    shop.time += DAY_S
    assert len(listed(shop, day)) == 1
    refunded(shop, intent, 250)
    next_day = day_of(shop)
    shop.time += DAY_S
    (line,) = listed(shop, next_day)
    assert (line["kind"], line["number"], line["amount_minor"]) == ("refund", "1", "-250")
    assert totals(shop, next_day) == {"EUR": -250}


def test_days_that_nobody_closed_are_in_the_next_file(shop: Shop) -> None:
    early = day_of(shop)
    paid(shop)
    shop.time += 2 * DAY_S
    paid(shop)
    late = day_of(shop)
    shop.time += DAY_S
    assert len(listed(shop, late)) == 2
    with pytest.raises(CallError, match="day_closed"):
        shop.backend.close_day(early)
    assert shop.backend.file_of(early) is None


def test_a_day_that_is_not_over_is_not_closed(shop: Shop) -> None:
    with pytest.raises(CallError, match="day_open"):
        shop.backend.close_day(day_of(shop))
    with pytest.raises(CallError, match="day_open"):
        shop.backend.close_day(datetime.date.max)


def test_a_day_is_closed_once_and_its_file_stays_byte_for_byte(shop: Shop) -> None:
    intent, day = paid(shop), day_of(shop)
    shop.time += DAY_S
    closed, content = shop.backend.close_day(day), shop.backend.file_of(day)
    refunded(shop, intent, 1)
    shop.restart_backend()
    assert (shop.backend.close_day(day), shop.backend.file_of(day)) == (closed, content)


def test_a_closed_days_word_is_believed_after_the_key_that_signed_it_was_revoked(shop: Shop) -> None:
    paid(shop)
    day = day_of(shop)
    shop.time += DAY_S
    closed, content = shop.backend.close_day(day), shop.backend.file_of(day)
    assert content is not None
    key = ec.generate_private_key(ec.SECP256R1())
    only_new = Trust({key_id(key.public_key()): key.public_key()})
    again = Backend(shop.store, key, Terminals(shop.registrations), shop.policy, lambda: shop.time).close_day(day)
    (line,) = reconcile.read(content, again.envelope, only_new.resolve)
    assert line["kind"] == "payment"
    before = schema.verify(closed.envelope, Reconciliation, shop.trust.resolve)[1]
    assert schema.verify(again.envelope, Reconciliation, only_new.resolve)[1] == before


def test_a_clock_that_goes_back_books_nothing_into_a_closed_day(shop: Shop) -> None:
    day = day_of(shop)
    shop.time += DAY_S
    closed, content = shop.backend.close_day(day), shop.backend.file_of(day)
    shop.time -= DAY_S
    intent = paid(shop)
    refunded(shop, intent, 250)
    assert shop.backend.file_of(day) == content
    shop.time += 2 * DAY_S
    assert len(listed(shop, day + datetime.timedelta(days=1))) == 2
    assert closed.lines == 0


@pytest.mark.parametrize("damage", ["a line less", "an amount", "another day's word", "a stranger's word"])
def test_a_file_that_is_not_the_signed_one_is_refused(shop: Shop, damage: str) -> None:
    paid(shop)
    day = day_of(shop)
    shop.time += DAY_S
    closed, content = shop.backend.close_day(day), shop.backend.file_of(day)
    assert content is not None
    envelope = closed.envelope
    if damage == "a line less":
        content = b"\n".join(line for line in content.split(b"\n") if not line.startswith(b"payment"))
    if damage == "an amount":
        content = content.replace(b"1250", b"1251")
    if damage == "another day's word":
        shop.time += DAY_S
        envelope = shop.backend.close_day(day + datetime.timedelta(days=1)).envelope
    if damage == "a stranger's word":
        word = schema.verify(envelope, Reconciliation, shop.trust.resolve)[1]
        envelope = authorize.sign(word, shop.till.element)
    with pytest.raises(PaymentError):
        reconcile.read(content, envelope, shop.trust.resolve)


def test_payments_at_the_moment_of_closing_are_in_exactly_one_file(shop: Shop) -> None:
    """The one who judges is ten seconds behind the one who closes."""
    other = Store(shop.database)
    for _ in range(4):
        midnight = end_of(day_of(shop))
        shop.time = midnight - 10
        accepted, day = shop.open(), day_of(shop)
        authorization = shop.till.authorize(accepted, shop.mandate, shop.time)
        closer = Backend(other, shop.key, Terminals(shop.registrations), shop.policy, lambda now=midnight: now)  # type: ignore[misc]

        def close(closer: Backend = closer, day: datetime.date = day) -> bytes:
            return closer.close_day(day).digest

        receipt, _ = at_once((Delivery(shop.backend, authorization), close))
        assert shop.read(receipt).outcome == "approved"
        shop.time = midnight + 2 * DAY_S
        files = [listed(shop, day), listed(shop, day_of(shop) - datetime.timedelta(days=1))]
        assert [line["intent"] for lines in files for line in lines] == [accepted.intent.id.hex()]
    other.close()
