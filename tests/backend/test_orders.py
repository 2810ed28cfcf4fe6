"""What a register does with an order: one end each, whoever is first, and what was told stays told."""

import pytest

from firmware.payment import schema
from firmware.payment.messages import Cancellation
from hil.backend.backend import INTENT_TTL_S
from hil.backend.shop import Shop
from hil.backend.store import Store
from tests.backend.at_once import Delivery, at_once
from tests.backend.books import times_paid


@pytest.fixture
def shop(next_day: Shop) -> Shop:
    return next_day


def test_an_order_taken_back_is_never_paid_whatever_the_terminal_signs(shop: Shop) -> None:
    accepted = shop.open()
    view, envelope = shop.backend.cancel(accepted.intent.id)
    assert view.state == "cancelled"
    assert envelope is not None
    told = schema.verify(envelope, Cancellation, shop.trust.resolve)[1]
    assert (told.intent, told.intent_hash, told.terminal) == (accepted.intent.id, accepted.digest, "till-1")
    for answer in shop.rivals(accepted):
        assert shop.code(answer) == "cancelled"
    assert times_paid(shop, accepted.intent.id) == 0
    assert shop.backend.state(accepted.intent.id).state == "cancelled"


def test_an_order_is_taken_back_once_and_says_so_again(shop: Shop) -> None:
    intent = shop.open().intent.id
    for _ in range(2):
        view, envelope = shop.backend.cancel(intent)
        assert view.state == "cancelled"
        assert envelope is not None, "the terminal may not have heard it"


def test_what_is_paid_cannot_be_taken_back(shop: Shop) -> None:
    accepted = shop.open()
    shop.answer(shop.till.authorize(accepted, shop.mandate, shop.time))
    view, envelope = shop.backend.cancel(accepted.intent.id)
    assert (view.state, envelope) == ("approved", None)
    assert times_paid(shop, accepted.intent.id) == 1


def test_what_is_past_its_time_expires_and_is_not_cancelled(shop: Shop) -> None:
    intent = shop.open().intent.id
    shop.time += INTENT_TTL_S
    view, envelope = shop.backend.cancel(intent)
    assert (view.state, envelope) == ("expired", None)


def test_taking_back_what_nobody_asked_for_is_unknown(shop: Shop) -> None:
    view, envelope = shop.backend.cancel(bytes(16))
    assert (view.state, envelope) == ("unknown", None)


@pytest.mark.parametrize("looked", [True, False])
def test_what_comes_for_an_expired_order_leaves_it_expired(shop: Shop, looked: bool) -> None:
    for n in range(2):
        accepted = shop.open()
        answer = shop.rivals(accepted)[n]
        shop.time += INTENT_TTL_S
        if looked:
            assert shop.backend.state(accepted.intent.id).state == "expired"
        assert shop.code(answer) == ("expired", "declined")[n]
        assert shop.backend.state(accepted.intent.id).state == "expired"
    assert times_paid(shop, accepted.intent.id) == 0


def test_a_clock_that_goes_back_opens_no_order_that_was_told_to_have_expired(shop: Shop) -> None:
    accepted = shop.open()
    authorization = shop.till.authorize(accepted, shop.mandate, shop.time)
    shop.time += INTENT_TTL_S
    assert shop.backend.state(accepted.intent.id).state == "expired"
    shop.time -= INTENT_TTL_S
    assert shop.code(authorization) == "expired"
    assert times_paid(shop, accepted.intent.id) == 0


def test_a_cancellation_and_an_authorization_at_once_have_one_outcome(shop: Shop) -> None:
    stores = [Store(shop.database) for _ in range(2)]
    workers = [shop.worker(store) for store in stores]
    for _ in range(5):
        accepted = shop.open()
        authorization = shop.till.authorize(accepted, shop.mandate, shop.time)

        def take_back(intent: bytes = accepted.intent.id) -> bytes:
            return workers[1].cancel(intent)[0].state.encode()

        receipt, state = at_once((Delivery(workers[0], authorization), take_back))
        code = shop.read(receipt).code
        assert (state, code) in ((b"cancelled", "cancelled"), (b"approved", ""))
        assert shop.backend.state(accepted.intent.id).state == state.decode()
        assert times_paid(shop, accepted.intent.id) == (state == b"approved")
    for store in stores:
        store.close()
