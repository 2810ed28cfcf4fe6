"""Payments and what is given back of them, at a shop."""

import datetime

from firmware.payment.money import Amount
from hil.backend.calls import call
from hil.backend.orders import Refund
from hil.backend.shop import Shop
from hil.backend.store import Store


def paid(shop: Shop, minor: int = 1250, currency: str = "EUR") -> bytes:
    """The intent of a payment that was approved."""
    accepted = shop.open(minor, currency)
    assert shop.answer(shop.till.authorize(accepted, shop.mandate, shop.time)).outcome == "approved"
    return accepted.intent.id


def refunded(shop: Shop, intent: bytes, minor: int, key: str = "", store: Store | None = None) -> Refund:
    """Give a part back, under a key of its own where none is given; by another worker where its store is given."""
    key = key or f"{intent.hex()}-{shop.backend.state(intent).given_back_minor}"
    worker = shop.worker(store) if store else shop.backend
    return worker.refund(intent, Amount(minor, "EUR"), call(key, intent.hex(), minor))


def day_of(shop: Shop) -> datetime.date:
    """The day it is at the shop."""
    return datetime.datetime.fromtimestamp(shop.time, datetime.timezone.utc).date()


def times_paid(shop: Shop, intent: bytes) -> int:
    """How often this intent was paid."""
    return [payment.intent for payment in shop.backend.payments()].count(intent)
