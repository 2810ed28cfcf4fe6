"""Another key for a shop's terminal."""

from firmware.payment.trust import key_id, load_public_key
from hil.backend.keys import registration
from hil.backend.shop import Shop
from hil.backend.simulator import new_element


def rekeyed(shop: Shop) -> None:
    """Let till-1 go on with a new key, on the same outbox; the old one is retired."""
    till, before = shop.till, shop.registrations[0]
    retired, till.element = till.kid.hex(), new_element()
    till.kid = key_id(load_public_key(till.element.public_key))
    again = registration("till-1", till.merchant, before.profile, till.element.public_key)
    shop.register_again(public_key=again.public_key, retired=(*before.retired, retired))
