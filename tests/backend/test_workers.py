"""Workers as processes behind mosquitto's shared subscription: killed, database and all, and nothing is lost."""

import queue
import re
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hil.backend.cluster import Cluster
from hil.backend.service import DATABASE_VARIABLE
from hil.backend.store import Store
from tests.backend.service import WAIT_S, Service, Till, until

RUN = ("-m", "firmware.cli", "backend", "run", "--config")
DYING = str(Path(__file__).parent / "standins" / "dying_worker.py")


@pytest.fixture
def on(service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Store]:
    """Let the backend use this database; returns a look into it."""

    def use(database: str) -> Store:
        monkeypatch.setenv(DATABASE_VARIABLE, database)
        return Store(database)

    return use


def paid(store: Store) -> list[str]:
    return [payment.intent.hex() for payment in store.transact(lambda ledger: ledger.payments())]


def workers(service: Service) -> dict[int, psutil.Process]:
    """The worker processes by number."""
    found = {}
    for process in psutil.Process(service.process.pid).children():
        line = process.cmdline()
        if "worker" in line:
            found[int(line[-1])] = process
    return found


@pytest.mark.parametrize(
    ("database", "moment"),
    [("postgresql", "before_commit"), ("postgresql", "after_commit"), ("sqlite", "after_commit")],
    indirect=["database"],
)
def test_a_worker_killed_between_commit_and_ack_is_given_the_message_again(
    service: Service, till: Till, on: Callable[[str], Store], database: str, moment: str
) -> None:
    """The till sends once and never again: what comes back is the broker's doing, since nothing was acknowledged."""
    store = on(database)
    service.start((DYING, moment, "--config"))
    mandate, intent = till.mandate(), till.asked()
    till.send(till.authorize(mandate))
    assert service.process.wait(WAIT_S) == -signal.SIGKILL
    assert paid(store) == ([intent] if moment == "after_commit" else [])
    assert till.came.empty()
    service.start()
    receipt = till.receipt()
    assert (receipt.outcome, receipt.intent.hex()) == ("approved", intent)
    assert paid(store) == [intent]
    store.close()


def test_two_workers_share_the_work_and_one_killed_comes_back(
    service: Service, till: Till, on: Callable[[str], Store], postgresql: Cluster
) -> None:
    store = on(postgresql.create())
    service.start(RUN, "--workers", "2")
    until(lambda: len(workers(service)) == 2, "two workers")
    mandate, intents = till.mandate(), []

    def pay() -> None:
        intents.append(till.asked())
        # as the outbox does: before a worker's first subscription the broker keeps nothing for it
        assert till.answered(till.authorize(mandate)).outcome == "approved"

    def both_answered() -> bool:
        pay()
        return set(re.findall(r'answers_total\{code="",outcome="approved",worker="(\d)"\}', service.metrics())) == {
            "1",
            "2",
        }

    until(both_answered, "one worker answers everything")
    killed = workers(service)[1]
    killed.kill()
    psutil.wait_procs([killed], WAIT_S)
    pay()
    until(lambda: len(workers(service)) == 2, "the killed worker is back")
    pay()
    assert sorted(paid(store)) == sorted(intents)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(WAIT_S) == 0
    store.close()


def test_while_the_database_is_away_nothing_is_acknowledged_and_afterwards_all_is_answered(
    service: Service, till: Till, on: Callable[[str], Store], postgresql: Cluster
) -> None:
    store = on(postgresql.create())
    service.start()
    mandate, intent = till.mandate(), till.asked()
    authorization = till.authorize(mandate)
    postgresql.kill()
    try:
        till.send(authorization)
        order = {"terminal": "till-1", "amount": "1.00", "currency": "EUR", "payer": "payer-7"}
        refused = service.register.post("/intents", json=order, timeout=WAIT_S)
        assert (refused.status_code, refused.json()["code"]) in ((503, "storage"), (503, None))
        with pytest.raises(queue.Empty):
            till.came.get_nowait()
    finally:
        postgresql.start()
    receipt = till.receipt()
    assert (receipt.outcome, receipt.intent.hex()) == ("approved", intent)
    assert paid(store) == [intent]
    store.close()
