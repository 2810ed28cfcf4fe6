"""The outbox's file: its layout, how it is opened and brought up to date, and its transactions.

Rules kept here:
- Every change is on disk when its transaction returns (WAL, synchronous=FULL), or did not happen.
- One process holds the file; a damaged one is named and kept, never repaired.
- A layout is changed in one transaction, from the last one only; an older or newer file is refused.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware.payment.errors import OutboxError

LAYOUT = 2
FIRST_LAYOUT = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES ('counter', 0), ('time_floor', 0);
CREATE TABLE intents (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE outbox (
    counter INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('authorization', 'decline')),
    intent BLOB NOT NULL UNIQUE REFERENCES intents (id),
    envelope BLOB NOT NULL,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    audit BLOB NOT NULL,
    outcome TEXT CHECK (outcome IN ('approved', 'declined', 'rejected')),
    code TEXT,
    receipt BLOB,
    CHECK ((outcome IS NULL) = (receipt IS NULL) AND (outcome IS NULL) = (code IS NULL)),
    CHECK (outcome IS NULL OR outcome = 'rejected' OR (outcome = 'approved') = (kind = 'authorization'))
) STRICT;
CREATE INDEX unsettled ON outbox (counter) WHERE outcome IS NULL;
CREATE TRIGGER written_once BEFORE UPDATE OF counter, kind, intent, envelope, digest, audit ON outbox
    BEGIN SELECT RAISE(ABORT, 'an envelope is written once'); END;
CREATE TRIGGER settled_once BEFORE UPDATE ON outbox WHEN OLD.outcome IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a receipt is final'); END;
"""
# tick, counted: the hardware counter's value this file booked last, and had it count; -1 before it has met one;
# reserved: what was taken offline
SECOND_LAYOUT = """
INSERT INTO meta VALUES ('tick', -1), ('counted', -1), ('put_back', 0);
CREATE TABLE reserved (
    intent BLOB PRIMARY KEY CHECK (length(intent) = 16),
    allowance BLOB NOT NULL CHECK (length(allowance) = 16),
    payer TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0)
) STRICT;
CREATE TRIGGER reserved_once BEFORE UPDATE ON reserved BEGIN SELECT RAISE(ABORT, 'a reservation stays'); END;
"""
PRAGMAS = (
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
)


class OutboxFile:
    """SQLite, held exclusively: one process, one thread."""

    def __init__(self, path: Path) -> None:
        """Open, check and, where new or of the last layout, lay out.

        Raises:
            OutboxError: it cannot be opened, is damaged, of an unknown layout, or held by another process.
        """
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise OutboxError(f"{path}: cannot be opened: {error.strerror}") from error
        with self.errors():
            self._db = sqlite3.connect(path, timeout=2.0, isolation_level=None)
            try:
                self._prepare()
            except (sqlite3.Error, OutboxError):
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file. What was committed stays."""
        self._db.close()

    def number(self, name: str) -> int:
        """The value of `name` in `meta`."""
        with self.errors():
            return int(self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it returns. Raises OutboxError: nothing."""
        with self.errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """To read from. Raises OutboxError."""
        with self.errors():
            yield self._db

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite says into an OutboxError that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OutboxError(f"{self._path}: locked; another process holds it, end that one first") from error
            raise OutboxError(f"{self._path}: {error}; free disk space, check it is writable, try again") from error
        except sqlite3.Error as error:
            raise OutboxError(f"{self._path}: {error}; keep the file, it may hold unsettled payments") from error

    def _prepare(self) -> None:
        for pragma in PRAGMAS:
            self._db.execute(f"PRAGMA {pragma}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        missing = {0: FIRST_LAYOUT + SECOND_LAYOUT, 1: SECOND_LAYOUT, LAYOUT: ""}
        if version not in missing:
            raise OutboxError(f"{self._path}: has layout {version}, this software knows {LAYOUT} and brings 1 up to it")
        fault = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            raise OutboxError(
                f"{self._path}: damaged ({fault.splitlines()[-1]}); keep the file, it may hold unsettled payments"
            )
        if missing[version]:
            self._db.executescript(f"BEGIN IMMEDIATE; {missing[version]} PRAGMA user_version = {LAYOUT}; COMMIT;")
