"""The tables on both databases: as declared, brought up from before, and never from a newer program's."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from hil.backend import database as module
from hil.backend.database import HEAD, Database, StoreError
from hil.backend.store import Store
from hil.backend.tables import METADATA

# the schema of the first backend, before tables had a version
BEFORE = (Path(__file__).parent / "first_tables.sql").read_text()


def test_the_migrations_make_exactly_the_tables_that_are_declared(database: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    opened = Database(database)
    assert opened.transact(differences) == []
    opened.close()


def test_the_newest_revision_is_the_one_the_program_wants() -> None:
    assert ScriptDirectory(str(module._SCRIPTS)).get_heads() == [HEAD]


def test_a_store_from_before_tables_had_a_version_keeps_what_it_knows(tmp_path: Path) -> None:
    path = tmp_path / "backend.db"
    old = sqlite3.connect(path)
    old.executescript(BEFORE)
    old.execute("INSERT INTO terminals VALUES ('till-1', 41, 1)")
    old.execute("INSERT INTO intents VALUES (x'01', x'02', x'03', 'approved', '')")
    old.execute("INSERT INTO payments VALUES (x'01', x'04', 'payer-7', 1250, 'EUR')")
    old.execute("INSERT INTO answers VALUES ('till-1', x'05', x'06')")
    old.commit()
    old.close()
    for _ in range(2):
        store = Store(path)
        assert store.transact(lambda ledger: ledger.last_counter("till-1")) == 41
        assert store.transact(lambda ledger: ledger.answer("till-1", b"\5")) == b"\6"
        assert [payment.amount_minor for payment in store.transact(lambda ledger: ledger.payments())] == [1250]
        store.close()


def test_an_intent_that_is_answered_and_paid_is_carried_over_to_todays_tables(database: str) -> None:
    raw = module._engine(database)
    with raw.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(module._SCRIPTS))
        command.upgrade(config, "0002")
        first = {"id": b"\1", "digest": b"\2", "envelope": b"\3", "state": "approved", "code": ""}
        connection.execute(text("INSERT INTO intents VALUES (:id, :digest, :envelope, :state, :code)"), first)
        connection.execute(text("INSERT INTO payments VALUES (:id, :digest, 'payer-7', 1250, 'EUR', 1)"), first)
    raw.dispose()
    store = Store(database)
    state = text("SELECT state, code, reference FROM intents")
    assert store._database.transact(lambda connection: connection.execute(state).one()) == ("approved", "", "")
    assert [payment.amount_minor for payment in store.transact(lambda ledger: ledger.payments())] == [1250]
    with pytest.raises(StoreError, match="closed once"):
        store.transact(lambda ledger: ledger.close_intent(b"\1", "rejected", "amount"))
    for change in ("UPDATE payments SET amount_minor = 1", "DELETE FROM payments"):
        with pytest.raises(StoreError, match="what is booked stays"):
            store._database.transact(lambda connection, change=change: connection.execute(text(change)))  # type: ignore[misc]
    store.close()


def test_an_intent_is_closed_once_whatever_the_program_says(database: str) -> None:
    store = Store(database)
    store._database.transact(
        lambda connection: connection.execute(
            text("INSERT INTO intents (id, digest, envelope) VALUES ('\\x01', '\\x02', '\\x03')")
            if store._database.kind == "postgresql"
            else text("INSERT INTO intents (id, digest, envelope) VALUES (x'01', x'02', x'03')")
        )
    )
    store.transact(lambda ledger: ledger.close_intent(b"\1", "rejected", "amount"))
    with pytest.raises(StoreError, match="closed once"):
        store.transact(lambda ledger: ledger.close_intent(b"\1", "approved", ""))
    store.close()


def test_tables_of_a_newer_program_are_refused_and_left_alone(database: str) -> None:
    opened = Database(database)
    opened.transact(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    opened.close()
    with pytest.raises(StoreError, match="newer"):
        Store(database)


@pytest.mark.parametrize("url", ["mysql://x/y", "no such thing://"])
def test_a_database_that_is_not_known_is_refused_by_name(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite|postgresql"):
        Store(url)


def test_a_database_that_is_away_is_said_so_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        Store(f"postgresql://someone:secret@/x?host={tmp_path}")
    assert "secret" not in str(refused.value)


def test_what_a_statement_wrote_is_in_no_message_of_its_failing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    store = Store(database)
    try:
        for statement in ("INSERT INTO payers VALUES (:payer), (:payer)", "INSERT INTO nowhere VALUES (:payer)"):
            with pytest.raises(StoreError) as failed:
                store.transact(lambda ledger, of=statement: ledger.connection.execute(text(of), {"payer": "payer-7"}))  # type: ignore[misc]
            assert "payer-7" not in str(failed.value)
    finally:
        store.close()
