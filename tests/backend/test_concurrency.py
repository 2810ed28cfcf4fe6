"""Workers against each other on one database: whatever meets whatever, one effect, one answer, and it stays.

The barrier lets all of them go at once; the rest is up to the database, SQLite's lock or PostgreSQL's rows.
"""

import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
from sqlalchemy import create_engine, text

from hil.backend.backend import Backend
from hil.backend.cluster import Cluster
from hil.backend.shop import Shop
from hil.backend.store import Store, Transaction
from tests.backend.at_once import Delivery, at_once
from tests.backend.rekeyed import rekeyed

AT_ONCE = 4


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"), database=database)
    yield shop
    shop.close()


@pytest.fixture
def workers(shop: Shop) -> Iterator[list[Backend]]:
    """Workers with nothing in common but the database."""
    stores = [Store(shop.database) for _ in range(AT_ONCE)]
    yield [shop.worker(store) for store in stores]
    for store in stores:
        store.close()


def test_workers_that_get_the_same_authorization_at_once_give_one_answer(shop: Shop, workers: list[Backend]) -> None:
    for round_ in range(1, 6):
        envelope = shop.authorized()
        receipts = at_once([Delivery(worker, envelope) for worker in workers])
        assert len(set(receipts)) == 1
        assert len(shop.backend.payments()) == round_


def test_one_intent_authorized_twice_at_once_is_approved_once(shop: Shop, workers: list[Backend]) -> None:
    for round_ in range(1, 6):
        honest = shop.till.read(shop.authorized())
        base = 1000 * round_
        rivals = [
            shop.till.sign(msgspec.structs.replace(honest, id=bytes([round_, n] * 8), counter=base + n))
            for n in range(AT_ONCE)
        ]
        jobs = [Delivery(*pair) for pair in zip(workers, rivals, strict=True)]
        receipts = at_once(jobs)
        outcomes = [shop.read(receipt) for receipt in receipts]
        assert [outcome.outcome for outcome in outcomes].count("approved") == 1
        assert {outcome.code for outcome in outcomes} <= {"", "intent_used", "counter_rollback"}
        assert len(shop.backend.payments()) == round_
        assert at_once(jobs) == receipts, "what was said stays said"


def test_one_authorization_id_used_by_two_terminals_at_once_counts_once(shop: Shop, workers: list[Backend]) -> None:
    """No row is common to the two: only the table's constraint stands between them."""
    other = shop.terminals["till-2"]
    mandates = {"till-1": shop.mandate, "till-2": shop.new_mandate("till-2").id}
    for round_ in range(1, 6):
        jobs = []
        for worker, terminal in zip(workers, (shop.till, other), strict=False):
            honest = terminal.read(
                terminal.authorize(shop.open(terminal=terminal.name), mandates[terminal.name], shop.time)
            )
            envelope = terminal.sign(msgspec.structs.replace(honest, id=bytes([round_]) * 16))
            jobs.append(Delivery(worker, envelope, terminal.name))
        codes = sorted(shop.read(receipt).code for receipt in at_once(jobs))
        assert codes == ["", "id_reuse"]
        assert len(shop.backend.payments()) == round_


def test_two_bodies_under_one_counter_at_once_suspend_the_terminal(shop: Shop, workers: list[Backend]) -> None:
    honest = shop.till.read(shop.authorized())
    rivals = [shop.till.sign(msgspec.structs.replace(honest, id=bytes([n]) * 16)) for n in range(2)]
    receipts = at_once([Delivery(*pair) for pair in zip(workers, rivals, strict=False)])
    assert sorted(shop.read(receipt).code for receipt in receipts) == ["", "clone_suspected"]
    assert shop.code(shop.authorized()) == "suspended"


def test_what_waited_while_a_clone_was_suspected_is_suspended(
    tmp_path_factory: pytest.TempPathFactory, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where workers wait for a row: what the one before them wrote elsewhere counts for them too."""
    shop = Shop(tmp_path_factory.mktemp("shop"), database=postgresql.create())
    honest = shop.authorized()
    assert shop.code(honest) == "approved"
    clone = shop.till.sign(msgspec.structs.replace(shop.till.read(honest), id=bytes(16)))
    later, second = shop.authorized(), Store(shop.database)
    engine = create_engine(shop.database.replace("postgresql:", "postgresql+psycopg:"))
    answered, keep = threading.Event(), Transaction.keep_answer

    def once_another_waits(ledger: Transaction, terminal: str, digest: bytes, receipt: bytes) -> None:
        keep(ledger, terminal, digest, receipt)
        if not answered.is_set():
            answered.set()
            with engine.connect() as looking:
                while not looking.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
                    looking.rollback()

    monkeypatch.setattr(Transaction, "keep_answer", once_another_waits)

    def wait_and_deliver() -> bytes:
        assert answered.wait(20)
        return shop.worker(second).handle("till-1", later)

    jobs: list[Callable[[], bytes]] = [Delivery(shop.backend, clone), wait_and_deliver]
    receipts = at_once(jobs)
    assert [shop.read(receipt).code for receipt in receipts] == ["clone_suspected", "suspended"]
    assert len(shop.backend.payments()) == 1
    engine.dispose()
    second.close()
    shop.close()


def test_what_a_retired_key_signed_is_approved_or_refused_for_good_whoever_of_two_workers_is_first(
    shop: Shop, database: str
) -> None:
    """One worker has heard of the new key, and the other not yet."""
    store = Store(database)
    for _ in range(5):
        not_yet_told, envelope = shop.worker(store), shop.authorized()
        rekeyed(shop)
        paid = len(shop.backend.payments())
        receipts = at_once([Delivery(not_yet_told, envelope), Delivery(shop.backend, envelope)])
        told, heard = (shop.read(receipt) for receipt in receipts)
        assert (told.outcome, heard.outcome) == ("approved",) * 2 or (told.code, heard.code) == ("suspended", "revoked")
        assert len(shop.backend.payments()) - paid == (told.outcome == "approved")
        assert shop.answer(envelope) == heard
    store.close()


def test_a_decline_and_an_authorization_of_one_intent_at_once_have_one_outcome(
    shop: Shop, workers: list[Backend]
) -> None:
    for _ in range(5):
        accepted = shop.open()
        first, second = shop.rivals(accepted)
        receipts = at_once([Delivery(workers[0], first), Delivery(workers[1], second)])
        outcomes = {shop.read(receipt).outcome for receipt in receipts}
        state = shop.backend.state(accepted.intent.id).state
        assert state in ("approved", "declined")
        assert outcomes == {state, "rejected"}
        assert (state == "approved") == (accepted.intent.id in {paid.intent for paid in shop.backend.payments()})
