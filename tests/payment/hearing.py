"""What a terminal hears when it asks for the time, without the asking."""

from firmware.payment.messages import Beacon
from hil.backend.fleet import nothing
from hil.backend.shop import Shop


def hears(shop: Shop) -> None:
    """The backend of a shop tells till-1 the time and the last counter it saw."""
    counter = shop.store.transact(lambda ledger: ledger.last_counter("till-1"))
    allowance = nothing(shop.time)
    beacon = Beacon(terminal="till-1", nonce=bytes(32), time=shop.time, counter=counter, allowance=allowance)
    shop.till.outbox.heard(beacon)
