"""`tessera backend move`: what a SQLite store holds, taken over to PostgreSQL as a whole.

Rules kept here:
- A store that somebody has open is not moved. Whoever opens it meanwhile loses nothing by it, for:
- From the first step on nobody works on the old store any more, not even a worker that has it open: its tables get
  other names. Otherwise one intent could be approved in both.
- What arrives is compared with what was sent, row by row, in the transaction that writes it.
- Cut off at any instant, it goes on where it is run again, and the old store is never opened again by itself.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import Connection, MetaData, Table, func, insert, select, text

from hil.backend.database import MOVED, Database, StoreError, revision_of, unmigrated
from hil.backend.service import DATABASE_VARIABLE
from hil.backend.tables import METADATA

ASIDE = "moved_"
AT_ONCE = 1_000

Row = tuple[Any, ...]


def move(
    store: Annotated[Path, typer.Argument(help="The SQLite store to leave.")],
    database: Annotated[str, typer.Option(envvar=DATABASE_VARIABLE, help="postgresql://..., empty.")],
) -> None:
    """Move a SQLite store to an empty PostgreSQL; end the backend first."""
    refuse_used(store)
    rows = take_over(store, database)
    Console().print(f"{rows} rows moved; {store} is out of use and can be kept as a record")


def refuse_used(store: Path) -> None:
    """Raise StoreError where another process has the store open, or it is none."""
    if not store.is_file():
        raise StoreError(f"{store}: no such store")
    with closing(sqlite3.connect(store, timeout=0)) as connection:
        try:
            # only for whoever is alone there; the next one to open it sets it back
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            in_use = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            why = "a backend has it open: end that first" if in_use else str(error)
            raise StoreError(f"{store}: {why}") from error


def take_over(store: Path, url: str) -> int:
    """Move everything; returns how many rows.

    Raises:
        StoreError: there is no such store, the destination is no PostgreSQL, holds something else, or is away.
    """
    if not store.is_file():
        raise StoreError(f"{store}: no such store")
    if unmigrated(url).kind != "postgresql":
        raise StoreError("a store is moved to PostgreSQL")
    destination = Database(url)
    try:
        source = unmigrated(str(store))
        try:
            if source.transact(revision_of) != MOVED:
                destination.transact(_be_empty)
                Database(str(store)).close()  # brings its tables up to date
                source.transact(_set_aside)
            return source.transact(lambda old: destination.transact(lambda new: _copy(old, new)))
        finally:
            source.close()
    finally:
        destination.close()


def _be_empty(new: Connection) -> None:
    full = [table.name for table in METADATA.sorted_tables if _count(new, table)]
    if full:
        raise StoreError(f"the destination is not empty: {', '.join(full)}")


def _set_aside(old: Connection) -> None:
    """Take every table from whoever uses it, and say so where the version stands."""
    for table in METADATA.sorted_tables:
        old.execute(text(f"ALTER TABLE {table.name} RENAME TO {ASIDE}{table.name}"))
    old.execute(text("UPDATE alembic_version SET version_num = :moved"), {"moved": MOVED})


def _copy(old: Connection, new: Connection) -> int:
    """Fill `new`, or find that it was filled before; all its tables hold the same as those of `old` then."""
    fill = not any(_count(new, table) for table in METADATA.sorted_tables)
    total = 0
    for table in METADATA.sorted_tables:
        aside = table.to_metadata(MetaData(), name=f"{ASIDE}{table.name}")
        for rows in _batches(old, aside) if fill else ():
            new.execute(insert(table), [dict(zip(table.columns.keys(), row, strict=True)) for row in rows])
        if _fingerprint(_batches(old, aside)) != _fingerprint(_batches(new, table)):
            raise StoreError(f"the destination holds something else in {table.name}; it is left as it was")
        total += _count(new, table)
    return total


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _batches(connection: Connection, table: Table) -> Iterator[list[Row]]:
    """The rows in the order of their keys: a table whose rows follow each other takes them in no other."""
    found = connection.execute(select(table).order_by(*table.primary_key).execution_options(yield_per=AT_ONCE))
    for rows in found.partitions():
        yield [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]


def _fingerprint(batches: Iterable[list[Row]]) -> int:
    """A number that another row, a row less or a row more changes, whatever their order."""
    return sum(int.from_bytes(hashlib.sha256(repr(row).encode()).digest(), "big") for rows in batches for row in rows)
