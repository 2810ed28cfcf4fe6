"""The gallery's file: SQLite, whose rows mean nothing without their keys.

Rules kept here:
- One owner: the file is held exclusively.
- What is committed is on the disk (write-ahead log, synchronous=FULL), the file's name with it.
- What is deleted is overwritten (`secure_delete`), and in the log too once `empty_log` has returned.

    epochs          the one epoch in force and its wrapping key, sealed by the secure element
    transforms      the seed of each purpose's rotation, wrapped
    keys            each person's data key, wrapped; small and apart, so that wrapping all anew is quick
    people          a random name, a sealed record and a sealed consent
    templates       by person and purpose, turned and sealed
    secrets         by person and purpose, where they have one (a PIN's verifier), sealed
    used            mandates and consents that enrolled somebody, also of people who are gone
    erasures        signed receipts
"""

import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firmware.gallery.errors import GalleryError

SCHEMA_VERSION = 4
SECRETS = (
    "CREATE TABLE secrets (id INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, purpose TEXT NOT NULL,"
    " sealed BLOB NOT NULL, PRIMARY KEY (id, purpose)) STRICT"
)
SCHEMA = (
    "CREATE TABLE epochs (number INTEGER PRIMARY KEY CHECK (number > 0), sealed BLOB NOT NULL) STRICT",
    "CREATE TABLE transforms (purpose TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT",
    "CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, person TEXT NOT NULL UNIQUE,"
    " record BLOB NOT NULL, consent BLOB NOT NULL) STRICT",
    "CREATE TABLE keys (id INTEGER PRIMARY KEY REFERENCES people ON DELETE CASCADE, wrapped BLOB NOT NULL) STRICT",
    "CREATE TABLE templates (id INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, purpose TEXT NOT NULL,"
    " sealed BLOB NOT NULL, PRIMARY KEY (id, purpose)) STRICT",
    SECRETS,
    "CREATE TABLE used (id BLOB PRIMARY KEY) STRICT",
    "CREATE TABLE erasures (person TEXT PRIMARY KEY, receipt BLOB NOT NULL) STRICT",
)
PRAGMAS = (
    "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON",
)  # fmt: skip

Row = tuple[Any, ...]


class Store:
    """The open file.

    Raises:
        GalleryError: `gallery_unusable` (its owner, the disk, another process), `gallery_damaged`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._errors():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            sync_folder(path)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
            try:
                for pragma in PRAGMAS:
                    self._db.execute(f"PRAGMA {pragma}")
                self.version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("ROLLBACK")  # holds the lock from now on
            except sqlite3.Error:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file. Idempotent; what was committed stays."""
        self._db.close()

    def rows(self, query: str, *values: object) -> Generator[Row, None, None]:
        """What a query finds, one by one; to be closed before the store is. Raises as the class does."""
        with self._errors():
            yield from self._db.execute(query, values)

    def one(self, query: str, *values: object) -> Row | None:
        """The first row a query finds. Raises as the class does."""
        with self._errors():
            row: Row | None = self._db.execute(query, values).fetchone()
        return row

    @contextmanager
    def transaction(self, failed: str) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it returns; the error says what has `failed`.

        Raises:
            GalleryError: `gallery_write`, with nothing changed.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise GalleryError("gallery_write", f"{self._path}: {error}; {failed}.") from error

    def empty_log(self) -> None:
        """Bring all into the file and take what was deleted out of the log. Raises GalleryError: `gallery_log`."""
        try:
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise GalleryError("gallery_log", f"{self._path}: {error}; old blobs are left in the log.") from error
        if busy:
            raise GalleryError("gallery_log", f"{self._path}: in use; old blobs are left in the log.")

    def backup(self, to: Path) -> None:
        """Write a consistent copy, whole or not at all. Raises GalleryError: `gallery_backup`."""
        beside = to.with_name(to.name + ".new")
        try:
            if to.exists():
                raise GalleryError("gallery_backup", f"{to}: is there already; choose another name.")
            beside.unlink(missing_ok=True)
            os.close(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            copy = sqlite3.connect(beside, isolation_level=None)
            try:
                self._db.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            finally:
                copy.close()
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.rename(to)
            sync_folder(to)
        except (OSError, sqlite3.Error) as error:
            raise GalleryError("gallery_backup", f"{to}: {error}; there is no backup.") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            text = f"{self._path}: {error}; check its owner, the space on disk and that nobody else has it open."
            raise GalleryError("gallery_unusable", text) from error
        except sqlite3.Error as error:
            raise GalleryError(
                "gallery_damaged", f"{self._path}: {error}; restore a backup of this terminal."
            ) from error


def sync_folder(path: Path) -> None:
    """Put the name of a file on the disk. Raises OSError."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
