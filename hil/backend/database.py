"""A database by URL: SQLite on one machine, PostgreSQL for many workers. The same statements run on both.

Rules kept here:
- What a transaction wrote is on disk when it returns (`synchronous=FULL`; PostgreSQL's default).
- One writer at a time on SQLite; on PostgreSQL each statement sees what is committed, and rows are locked in one
  order everywhere: terminal, intent, payer.
- A transaction that another worker's got in the way of is run again from its start. So is one whose commit was
  cut off: whatever it did, its first statement then finds the answer.
- Whatever the driver raises is a `StoreError`: who works on goes on as before, or waits until it is back.
- What went wrong is said without what was being written: no statement's parameters, no row, no password.
- The tables are brought up to date by whoever comes first, under a lock; a database of a newer version is refused.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from firmware.payment.errors import PaymentError

T = TypeVar("T")
ATTEMPTS = 5
BUSY_S = 5.0
HEAD = "0005"
FIRST = "0001"
MOVED = "moved"  # in place of a version: another database has taken over
_MIGRATING = 0x7E55E7A  # the name of PostgreSQL's lock: any number, the same for all workers
# changes no row and waits for nobody; refused where nothing may be written, as on a standby
_TOUCH = text("UPDATE terminals SET counter = counter WHERE 1 = 0")
_SCRIPTS = Path(__file__).parent / "migrations"


class StoreError(PaymentError):
    """The database cannot be used now; nothing was half-done. Its code is `storage`.

    `away`: nobody answers where it should be, or not well; it may come.
    """

    def __init__(self, text: str, *, away: bool = False) -> None:
        super().__init__("storage", text)
        self.away = away


class Database:
    """An open database, its tables up to date.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`; a path is a SQLite file.
        make: make the tables where there are none.

    Raises:
        StoreError: no such kind of database, it does not answer or takes no tables, or it is of a newer version; or
            there are no tables and none are to be made.
    """

    def __init__(self, url: str, *, make: bool = True) -> None:
        self._open(url)
        if not make:
            self._check_there()
        self.transact(_migrate)

    def _open(self, url: str) -> None:
        self._engine = _engine(url)
        self.kind = self._engine.dialect.name

    def _check_there(self) -> None:
        name = self._engine.url.database or ""
        # to connect would make the file
        if (self.kind == "sqlite" and not Path(name).exists()) or not self.transact(_has_tables):
            raise StoreError(f"{name}: no backend has kept anything there")

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def answers(self) -> bool:
        """Whether it is there now, and takes what is written."""
        try:
            with self._engine.begin() as connection:
                connection.execute(_TOUCH)
        except DBAPIError:
            return False
        return True

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction, all or nothing; it may be called again from its start.

        Raises:
            StoreError: the database is away or cannot be used, or `ATTEMPTS` transactions in a row were in its way.
        """
        failed: DBAPIError | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.02) * 2**attempt)  # noqa: S311, only to step aside
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                failed = error
        # a password may stand in the query too
        away = self.kind == "postgresql" and isinstance(failed, OperationalError)
        raise StoreError(f"{self._engine.url.set(query={})!r}: {_first_line(failed)}", away=away) from failed


def unmigrated(url: str) -> Database:
    """Open a database as it is, of whatever version. Raises StoreError where it is no kind that is known."""
    database = Database.__new__(Database)
    database._open(url)
    return database


def _has_tables(connection: Connection) -> bool:
    return revision_of(connection) is not None or inspect(connection).has_table("payments")


def revision_of(connection: Connection) -> str | None:
    """The version of its tables; None where they have none."""
    return MigrationContext.configure(connection).get_current_revision()


def _first_line(failed: DBAPIError | None) -> str:
    """What the driver says; below its first line PostgreSQL quotes the row."""
    return str(failed.orig).partition("\n")[0] if failed is not None else ""


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    except ArgumentError as error:
        raise StoreError("the database's URL cannot be read; sqlite:///FILE or postgresql://...") from error
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        engine = create_engine(
            parsed, hide_parameters=True, connect_args={"timeout": BUSY_S, "check_same_thread": False}
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if kind == "postgresql":
        # a connection that died with the server is found out by the first attempt, which costs the others nothing
        there = parsed.set(drivername="postgresql+psycopg")
        return create_engine(there, hide_parameters=True, isolation_level="READ COMMITTED")
    raise StoreError(f"{kind}: not a kind of database that is known; sqlite or postgresql")


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # None: the driver begins no transaction by itself
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _MIGRATING})
    revision = revision_of(connection)
    if revision == HEAD:
        return
    if revision == MOVED:
        raise StoreError("this store was moved to another database, which is the one to use")
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    if revision is None and inspect(connection).has_table("payments"):
        # made before tables had a version
        command.stamp(config, FIRST)
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise StoreError(f"the tables are of version {revision}, newer than this program's {HEAD}") from error
