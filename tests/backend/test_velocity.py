"""How much one payer may have approved within a time: counted over all terminals, and when workers count at once."""

from collections.abc import Iterator

import msgspec
import pytest

from firmware.payment.money import Amount
from hil.backend.policy import DEMO, Velocity
from hil.backend.shop import PAYER, Shop
from hil.backend.store import Store
from tests.backend.at_once import Delivery, at_once

HOUR_S = 3600
LIMITS = (
    Velocity(window_s=HOUR_S, payments=3),
    Velocity(window_s=24 * HOUR_S, payments=100, amount_minor={"EUR": 5000}),
)


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Shop]:
    policy = msgspec.structs.replace(DEMO, velocity=LIMITS)
    shop = Shop(tmp_path_factory.mktemp("shop"), policy, database=database)
    yield shop
    shop.close()


def pay(shop: Shop, minor: int, terminal: str = "till-1", currency: str = "EUR", payer: str = PAYER) -> str:
    """One honest payment; returns its code."""
    _, envelope = shop.backend.issue_intent(terminal, Amount(minor, currency), payer)
    till = shop.terminals[terminal]
    accepted = till.open(envelope, shop.time)
    return shop.code(till.authorize(accepted, shop.new_mandate(terminal, payer).id, shop.time), terminal)


def test_a_payer_is_stopped_at_the_limit_at_whatever_terminal_and_nobody_else_is(shop: Shop) -> None:
    assert [pay(shop, 100), pay(shop, 100, "till-2"), pay(shop, 100)] == ["approved"] * 3
    assert pay(shop, 100, "till-2") == "velocity"
    assert pay(shop, 100, payer="payer-8") == "approved"
    assert len(shop.backend.payments()) == 4
    shop.time += HOUR_S
    assert pay(shop, 100) == "approved", "an hour later what was paid has left the window"


def test_the_amount_is_limited_by_currency(shop: Shop) -> None:
    assert [pay(shop, 4000), pay(shop, 1001), pay(shop, 1000)] == ["approved", "velocity", "approved"]
    assert pay(shop, 9000, currency="JPY") == "approved"


def test_a_refused_payment_is_final_and_counts_for_nothing(shop: Shop) -> None:
    accepted = shop.open(5001)
    envelope = shop.till.authorize(accepted, shop.mandate, shop.time)
    assert shop.code(envelope) == "velocity"
    view = shop.backend.state(accepted.intent.id)
    assert (view.state, view.code) == ("rejected", "velocity")
    assert pay(shop, 5000) == "approved"
    assert shop.code(envelope) == "velocity"


def test_two_terminals_that_pay_at_once_do_not_pay_the_last_of_an_allowance_twice(shop: Shop) -> None:
    stores = [Store(shop.database) for _ in range(2)]
    workers = [shop.worker(store) for store in stores]
    mandates = {name: shop.new_mandate(name).id for name in shop.terminals}
    for _ in range(4):
        assert pay(shop, 4000) == "approved"
        deliveries = []
        for worker, (name, till) in zip(workers, shop.terminals.items(), strict=True):
            accepted = shop.open(900, terminal=name)
            deliveries.append(Delivery(worker, till.authorize(accepted, mandates[name], shop.time), name))
        codes = sorted(shop.read(receipt).code for receipt in at_once(deliveries))
        assert codes == ["", "velocity"]
        shop.time += 24 * HOUR_S
    for store in stores:
        store.close()
