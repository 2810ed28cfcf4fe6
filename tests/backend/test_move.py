"""A store moved to PostgreSQL: nothing lost, nothing paid twice, and nobody goes on with the old one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table, text
from typer.testing import CliRunner

from hil.backend import move as module
from hil.backend.calls import CallError
from hil.backend.cluster import Cluster
from hil.backend.command import backend
from hil.backend.database import StoreError
from hil.backend.move import take_over
from hil.backend.shop import Shop
from hil.backend.store import Store
from tests.backend.books import paid, refunded


class Moving:
    """A shop with a past on SQLite, and an empty PostgreSQL."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.shop, self.old, self.url = Shop(folder), folder / "backend.db", cluster.create()
        self.paid = paid(self.shop)
        refunded(self.shop, self.paid, 250, "key-1")
        self.accepted = self.shop.open()
        self.answered = self.shop.authorized()
        self.receipt = self.shop.backend.handle("till-1", self.answered)

    def go_on(self) -> None:
        """Have the shop use the new database."""
        self.shop.store.close()
        self.shop.database = self.url
        self.shop.start_backend()


@pytest.fixture
def moving(tmp_path: Path, postgresql: Cluster) -> Iterator[Moving]:
    moving = Moving(tmp_path, postgresql)
    yield moving
    moving.shop.close()


def test_what_was_said_before_the_move_is_said_after_it(moving: Moving) -> None:
    before = moving.shop.backend.payments()
    take_over(moving.old, moving.url)
    moving.go_on()
    shop = moving.shop
    assert shop.backend.handle("till-1", moving.answered) == moving.receipt
    assert shop.backend.payments() == before
    assert shop.backend.state(moving.paid).given_back_minor == 250
    assert refunded(shop, moving.paid, 250, "key-1").number == 1, "the key is known"
    with pytest.raises(CallError, match="too_much"):
        refunded(shop, moving.paid, 1001)
    assert shop.answer(shop.till.authorize(moving.accepted, shop.mandate, shop.time)).outcome == "approved"


def test_nobody_goes_on_with_the_old_store_not_even_a_worker_that_has_it_open(moving: Moving) -> None:
    authorization = moving.shop.till.authorize(moving.shop.open(), moving.shop.mandate, moving.shop.time)
    take_over(moving.old, moving.url)
    with pytest.raises(StoreError):
        moving.shop.backend.handle("till-1", authorization)
    with pytest.raises(StoreError):
        moving.shop.backend.cancel(moving.accepted.intent.id)
    with pytest.raises(StoreError, match="moved"):
        Store(moving.old)


def test_a_destination_that_is_not_empty_is_refused_and_the_old_store_stays_in_use(moving: Moving) -> None:
    Store(moving.url).transact(lambda ledger: ledger.connection.execute(text("INSERT INTO payers VALUES ('payer-1')")))
    with pytest.raises(StoreError, match="payers"):
        take_over(moving.old, moving.url)
    paid(moving.shop)


@pytest.mark.parametrize("step", ["_set_aside", "_copy"])
def test_a_move_cut_off_goes_on_where_it_is_run_again(
    moving: Moving, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    whole: Callable[..., object] = getattr(module, step)

    def cut_off(*connections: Connection) -> None:
        whole(*connections)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, step, cut_off)
        with pytest.raises(KeyboardInterrupt):
            take_over(moving.old, moving.url)
    assert take_over(moving.old, moving.url) == take_over(moving.old, moving.url) > 0
    moving.go_on()
    assert moving.shop.backend.handle("till-1", moving.answered) == moving.receipt


def test_a_row_that_arrives_otherwise_than_it_was_sent_undoes_the_copy(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, sent = module._batches, list[str]()

    def altered(connection: Connection, table: Table) -> Iterator[list[module.Row]]:
        """The payers are others the first time they are read, when they are written to the destination."""
        sent.append(table.name)
        first = sent.count("moved_payers") == 1 and table.name == "moved_payers"
        for rows in honest(connection, table):
            yield [("payer-8",) if first else row for row in rows]

    monkeypatch.setattr(module, "_batches", altered)
    moving.shop.store.transact(lambda ledger: ledger.connection.execute(text("INSERT INTO payers VALUES ('payer-7')")))
    with pytest.raises(StoreError, match="payers"):
        take_over(moving.old, moving.url)
    assert take_over(moving.old, moving.url) > 0, "nothing of the first copy is there"


def test_a_store_that_a_backend_has_open_is_not_moved(tmp_path: Path) -> None:
    file, words = tmp_path / "backend.db", ["move", str(tmp_path / "backend.db"), "--database", "postgresql:///x"]
    store = Store(file)
    store.answers()
    said = CliRunner().invoke(backend, words)
    assert isinstance(said.exception, StoreError)
    assert "end that first" in str(said.exception)
    store.close()
    module.refuse_used(file)
    Store(file).close()


def test_a_file_that_is_no_store_is_not_moved_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "backend.toml"
    file.write_text("store = 'backend.db'" * 99)
    before = file.read_bytes()
    said = CliRunner().invoke(backend, ["move", str(file), "--database", "postgresql:///x"])
    assert isinstance(said.exception, StoreError)
    assert str(file) in str(said.exception)
    assert file.read_bytes() == before


def test_a_store_is_moved_to_postgresql_only(tmp_path: Path) -> None:
    Store(tmp_path / "backend.db").close()
    with pytest.raises(StoreError, match="PostgreSQL"):
        take_over(tmp_path / "backend.db", str(tmp_path / "other.db"))
    assert not (tmp_path / "other.db").exists()
    Store(tmp_path / "backend.db").close()


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store"):
        take_over(tmp_path / "absent.db", "postgresql:///x")
    assert not (tmp_path / "absent.db").exists()
