"""Who asks the backend for the time gets it for the nonce asked with; a stranger gets nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.secure_element.interface import SecureElement
from firmware.payment import authorize, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import NO_ID, Beacon, BeaconRequest, Decline
from hil.backend.fleet import Fleet
from hil.backend.installation import Installation
from hil.backend.shop import Shop
from hil.backend.simulator import new_element

NONCE = bytes(range(32))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def fleet(shop: Shop) -> Fleet:
    return Fleet(shop.store, Installation(shop.key, b"", shop.registrations, shop.policy), lambda: shop.time)


def request(element: SecureElement, terminal: str = "till-1") -> bytes:
    return authorize.sign(BeaconRequest(terminal=terminal, nonce=NONCE, counter=0, waiting=0), element)


def test_a_beacon_repeats_the_nonce_and_says_time_and_the_last_counter_seen(shop: Shop) -> None:
    assert shop.code(shop.authorized()) == "approved"
    shop.time += 7
    sealed = fleet(shop).beacon("till-1", request(shop.till.element))
    beacon = schema.verify(sealed, Beacon, shop.trust.resolve)[1]
    assert (beacon.terminal, beacon.nonce, beacon.time, beacon.counter) == ("till-1", NONCE, shop.time, 1)


def test_who_has_no_allowance_may_do_nothing_offline(shop: Shop) -> None:
    sealed = fleet(shop).beacon("till-1", request(shop.till.element))
    allowance = schema.verify(sealed, Beacon, shop.trust.resolve)[1].allowance
    assert (allowance.id, allowance.expires_at) == (NO_ID, shop.time)
    assert (allowance.payment_minor, allowance.payer_minor, allowance.terminal_minor) == (0, 0, 0)


def test_a_stranger_another_terminal_or_another_message_gets_no_beacon(shop: Shop) -> None:
    element, other = shop.till.element, shop.terminals["till-2"].element
    decline = Decline(intent=NO_ID, intent_hash=NONCE, terminal="till-1", counter=1, issued_at=shop.time, reason="flat")
    asked = {
        "unknown_key": ("till-1", request(new_element())),
        "kid_topic_mismatch": ("till-1", request(other)),
        "terminal_mismatch": ("till-1", request(element, "till-2")),
        "topic_identity": ("till-9", request(element, "till-9")),
        "malformed": ("till-1", authorize.sign(decline, element)),
    }
    for code, (topic, envelope) in asked.items():
        with pytest.raises(PaymentError) as refused:
            fleet(shop).beacon(topic, envelope)
        assert refused.value.code == code


def test_a_revoked_key_gets_no_beacon(shop: Shop) -> None:
    shop.register_again(revoked=True)
    with pytest.raises(PaymentError, match="revoked"):
        fleet(shop).beacon("till-1", request(shop.till.element))
