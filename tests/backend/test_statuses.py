"""What terminals say of themselves: only the newest counts, whoever carries it, and a will ends its own connection."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from firmware.payment.errors import PaymentError
from hil.backend import fleet_store
from hil.backend.fleet import Fleet
from hil.backend.fleet_store import Heard
from hil.backend.fleet_view import SILENT_S
from hil.backend.installation import Installation
from hil.backend.shop import START, Shop
from hil.backend.tables import STATUSES
from hil.backend.terminals import Terminals
from tests.backend.fleet import fleet, request, status

FIRST, SECOND = bytes(16), bytes([1] * 16)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def known(shop: Shop) -> Heard:
    return shop.store.transact(lambda ledger: fleet_store.heard(ledger.connection))["till-1"]


def test_the_newest_of_one_connection_counts_and_an_older_one_changes_nothing(shop: Shop) -> None:
    of = fleet(shop)
    assert of.take_status("till-1", status(shop, sequence=2, people=5))
    for sequence in (1, 2):
        assert not of.take_status("till-1", status(shop, sequence=sequence, people=9))
    assert known(shop).status.people == 5


def test_a_status_of_an_earlier_connection_played_again_changes_nothing(shop: Shop) -> None:
    of, old = fleet(shop), status(shop, sequence=7, people=1)
    of.take_status("till-1", old)
    shop.time += 60
    assert of.take_status("till-1", status(shop, connection=SECOND, people=2))
    assert not of.take_status("till-1", old)
    assert known(shop).status.people == 2


def test_a_will_ends_its_own_connection_and_no_other(shop: Shop) -> None:
    of = fleet(shop)
    will, birth = status(shop, sequence=0, presence="offline", people=0), status(shop)
    of.take_status("till-1", birth)
    assert of.take_status("till-1", will)
    assert (known(shop).presence, known(shop).status.people) == ("offline", 3)
    assert of.take_status("till-1", status(shop, sequence=2)), "back on the same connection"
    assert known(shop).presence == "online"
    shop.time += 60
    of.take_status("till-1", status(shop, connection=SECOND))
    assert not of.take_status("till-1", will), "of the connection before"
    assert known(shop).presence == "online"


def test_a_will_of_a_connection_nobody_saw_begin_is_believed(shop: Shop) -> None:
    of = fleet(shop)
    of.take_status("till-1", status(shop))
    shop.time += 60
    assert of.take_status("till-1", status(shop, connection=SECOND, sequence=0, presence="offline"))
    assert known(shop).presence == "offline"


def test_a_lie_left_at_the_broker_is_nobodys(shop: Shop) -> None:
    of = fleet(shop)
    with pytest.raises(PaymentError, match="kid_topic_mismatch"):
        of.take_status("till-2", status(shop))
    shop.terminals["till-1"], shop.till = shop.till, shop.terminals["till-2"]
    with pytest.raises(PaymentError, match="kid_topic_mismatch"):
        of.take_status("till-1", status(shop))
    with pytest.raises(PaymentError, match="malformed"):
        of.take_status("till-2", request(shop.till.element, "till-2"))


def test_a_status_from_the_future_does_not_shut_out_what_comes_after(shop: Shop) -> None:
    with pytest.raises(PaymentError, match="future"):
        fleet(shop).take_status("till-1", status(shop, issued_at=shop.time + 31))
    assert fleet(shop).take_status("till-1", status(shop))


def test_a_terminal_that_trusts_a_newer_key_set_than_ours_is_told_of_in_the_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    ours = Installation(shop.key, b"", Terminals(shop.registrations), shop.policy, version=5)
    backend = Fleet(shop.store, ours, lambda: shop.time)
    backend.take_status("till-1", status(shop, key_set=5))
    assert not caplog.records
    backend.take_status("till-1", status(shop, key_set=6, sequence=2))
    assert "till-1 says it has key set 6" in caplog.text


def test_a_replayed_question_or_status_does_not_hide_that_a_terminal_fell_silent(shop: Shop) -> None:
    said, question = status(shop), request(shop.till.element)
    fleet(shop).take_status("till-1", said)
    shop.time += SILENT_S + 1
    fleet(shop).beacon("till-1", question)
    fleet(shop).take_status("till-1", said)
    assert known(shop).heard_at == START


def test_in_whatever_order_statuses_come_the_newest_is_left(shop: Shop) -> None:
    of, said = fleet(shop), []
    for connection in (FIRST, SECOND):
        said += [status(shop, connection=connection, sequence=number) for number in (1, 2)]
        shop.time += 10
    for order in itertools.permutations(said):
        for envelope in order:
            of.take_status("till-1", envelope)
        assert (known(shop).status.connection, known(shop).status.sequence) == (SECOND, 2)
        shop.store.transact(lambda ledger: ledger.connection.execute(delete(STATUSES)))
