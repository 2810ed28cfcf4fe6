"""Who asks the backend for the time gets it for the nonce asked with; a stranger gets nothing."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from firmware.payment import authorize, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import NO_ID, Beacon, Decline
from hil.backend.policy import DEMO, Offline
from hil.backend.shop import Shop
from hil.backend.simulator import new_element
from tests.backend.fleet import NONCE, allowance, fleet, request

FLOOR = Offline(
    currency="EUR", payment_minor=2_000, payer_minor=5_000, terminal_minor=20_000, hold_s=3_600, allowance_s=7_200
)
OFFLINE = msgspec.structs.replace(DEMO, offline=FLOOR)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


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


def test_a_terminal_that_counts_in_hardware_is_allowed_what_the_policy_says(shop: Shop) -> None:
    shop.register_again(counter=True)
    given = allowance(shop, fleet(shop, OFFLINE))
    assert (given.currency, given.exponent, given.hold_s) == ("EUR", 2, 3_600)
    assert (given.payment_minor, given.payer_minor, given.terminal_minor) == (2_000, 5_000, 20_000)
    assert given.expires_at == shop.time + 7_200
    assert given.id != NO_ID


def test_a_terminal_that_does_not_count_in_hardware_or_is_suspended_is_allowed_nothing(shop: Shop) -> None:
    assert allowance(shop, fleet(shop, OFFLINE)).id == NO_ID
    shop.register_again(counter=True)
    message = shop.till.read(shop.authorized())
    assert shop.code(shop.till.sign(message)) == "approved"
    assert shop.code(shop.till.sign(msgspec.structs.replace(message, amount_minor=1))) == "clone_suspected"
    assert allowance(shop, fleet(shop, OFFLINE)).id == NO_ID


def test_asking_again_and_again_gives_two_allowances_at_once_and_no_more(shop: Shop) -> None:
    shop.register_again(counter=True)
    of, seen = fleet(shop, OFFLINE), set()
    for _ in range(20):
        given = allowance(shop, of)
        seen.add(given.id)
        shop.time += 719
        assert given.expires_at > shop.time
    assert len(seen) == 1 + 20 * 719 // 3_600


def test_workers_of_different_policies_give_two_allowances_at_once_and_no_more(tmp_path: Path, database: str) -> None:
    """Each finds that the last given is not what its own policy says; both are asked in turn."""
    shop = Shop(tmp_path, database=database)
    try:
        shop.register_again(counter=True)
        more = msgspec.structs.replace(OFFLINE, offline=msgspec.structs.replace(FLOOR, terminal_minor=30_000))
        workers, given = (fleet(shop, OFFLINE), fleet(shop, more)), dict[bytes, int]()
        for _ in range(12):
            for worker in workers:
                told = allowance(shop, worker)
                if told.id != NO_ID:
                    given[told.id] = told.expires_at
            assert sum(expires_at > shop.time for expires_at in given.values()) <= 2
            shop.time += 719
        assert len(given) == 4, "two, and two more once those had ended"
    finally:
        shop.close()


def test_a_change_of_the_policy_is_told_once_there_is_room_for_it(shop: Shop) -> None:
    shop.register_again(counter=True)
    first = allowance(shop, fleet(shop, OFFLINE))
    shop.time += FLOOR.allowance_s // 2
    second = allowance(shop, fleet(shop, OFFLINE))
    assert second.id != first.id
    changed = msgspec.structs.replace(OFFLINE, offline=msgspec.structs.replace(FLOOR, payment_minor=1_000))
    assert allowance(shop, fleet(shop, changed)).id == NO_ID
    assert allowance(shop, fleet(shop, OFFLINE)) == second, "a worker that has not heard of it yet gives nothing new"
    shop.time = first.expires_at
    assert allowance(shop, fleet(shop, changed)).payment_minor == 1_000


def test_a_policy_that_allows_less_is_told_with_the_next_beacon(shop: Shop) -> None:
    shop.register_again(counter=True)
    first = allowance(shop, fleet(shop, OFFLINE))
    less = msgspec.structs.replace(OFFLINE, offline=msgspec.structs.replace(FLOOR, payment_minor=1_000))
    second = allowance(shop, fleet(shop, less))
    assert second.id != first.id
    assert second.payment_minor == 1_000
    assert allowance(shop, fleet(shop, less)) == second, "known as the last, though given in the same second"


@pytest.mark.parametrize("change", [{"payer_minor": 1}, {"terminal_minor": 1}, {"currency": "XXX"}])
def test_limits_that_are_none_are_no_policy(change: dict[str, object]) -> None:
    written = msgspec.to_builtins(FLOOR) | change
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, Offline)
