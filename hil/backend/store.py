"""What the backend remembers: SQLite, every answer in one transaction.

Rules kept here:
- Exactly once is a constraint of the tables: one effect per intent, one body per counter and per authorization id.
- The answer to a message is stored in the transaction that has its effect, so a resend gets the same bytes.
- One connection behind one lock: the MQTT thread and the register's threads take turns.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from firmware.payment import cose, schema
from firmware.payment.messages import Authorization, Intent, Mandate
from hil.backend.verify import Issued, Standing

SCHEMA = """
CREATE TABLE IF NOT EXISTS terminals (
    id TEXT PRIMARY KEY, counter INTEGER NOT NULL DEFAULT 0, suspended INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS intents (
    id BLOB PRIMARY KEY, digest BLOB NOT NULL UNIQUE, envelope BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'declined', 'rejected')),
    code TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TRIGGER IF NOT EXISTS closed_once BEFORE UPDATE ON intents WHEN OLD.state <> 'open'
    BEGIN SELECT RAISE(ABORT, 'an intent is closed once'); END;
CREATE TABLE IF NOT EXISTS mandates (id BLOB PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counters (
    terminal TEXT NOT NULL, counter INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (terminal, counter)
) STRICT;
CREATE TABLE IF NOT EXISTS authorizations (id BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS payments (
    intent BLOB PRIMARY KEY REFERENCES intents (id), authorization BLOB NOT NULL UNIQUE,
    payer TEXT NOT NULL, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    terminal TEXT NOT NULL, digest BLOB NOT NULL, receipt BLOB NOT NULL, PRIMARY KEY (terminal, digest)
) STRICT;
"""


class Payment(msgspec.Struct, frozen=True):
    """An effect: this payer was charged, for this intent."""

    intent: bytes
    authorization: bytes
    payer: str
    amount_minor: int
    currency: str


class Store:
    """Read and write only inside `transaction`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on disk when it returns."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def answer(self, terminal: str, digest: bytes) -> bytes | None:
        """Return the receipt these bytes were given before."""
        found = self._one("SELECT receipt FROM answers WHERE terminal = ? AND digest = ?", terminal, digest)
        return None if found is None else bytes(found[0])

    def keep_answer(self, terminal: str, digest: bytes, receipt: bytes) -> None:
        """Remember the receipt of these bytes."""
        self._db.execute("INSERT INTO answers VALUES (?, ?, ?)", (terminal, digest, receipt))

    def standing(self, terminal: str, counter: int, authorization: bytes | None) -> Standing:
        """Return what is known of a terminal, a counter and an authorization's id."""
        row = self._one("SELECT suspended, counter FROM terminals WHERE id = ?", terminal) or (0, 0)
        seen = self._one("SELECT 1 FROM counters WHERE terminal = ? AND counter = ?", terminal, counter)
        used = self._one("SELECT 1 FROM authorizations WHERE id = ?", authorization)
        return Standing(bool(row[0]), row[1], seen is not None, used is not None)

    def advance(self, terminal: str, counter: int, digest: bytes) -> None:
        """Note a counter above all before it."""
        self._db.execute("INSERT INTO counters VALUES (?, ?, ?)", (terminal, counter, digest))
        self._db.execute(
            "INSERT INTO terminals (id, counter) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET counter = ?2",
            (terminal, counter),
        )

    def suspend(self, terminal: str) -> None:
        """Take nothing more from this terminal."""
        self._db.execute("UPDATE terminals SET suspended = 1 WHERE id = ?", (terminal,))

    def last_counter(self, terminal: str) -> int:
        """Return the highest counter seen, 0 for none."""
        found = self._one("SELECT counter FROM terminals WHERE id = ?", terminal)
        return 0 if found is None else int(found[0])

    def keep_intent(self, intent: Intent, digest: bytes, envelope: bytes) -> None:
        """Remember an intent as open."""
        self._db.execute("INSERT INTO intents (id, digest, envelope) VALUES (?, ?, ?)", (intent.id, digest, envelope))

    def issued(self, intent: bytes) -> Issued | None:
        """Return an intent of ours."""
        found = self._one("SELECT envelope, digest, state FROM intents WHERE id = ?", intent)
        return None if found is None else Issued(_payload(found[0], Intent), found[1], found[2] == "open")

    def intent_state(self, intent: bytes) -> tuple[str, str]:
        """Return (state, code) of an intent of ours: code is why it was rejected or declined."""
        found = self._one("SELECT state, code FROM intents WHERE id = ?", intent)
        return ("unknown", "") if found is None else (str(found[0]), str(found[1]))

    def close_intent(self, intent: bytes, state: str, code: str) -> None:
        """Close an open intent, once."""
        self._db.execute("UPDATE intents SET state = ?, code = ? WHERE id = ?", (state, code, intent))

    def keep_authorization(self, message: Authorization, digest: bytes) -> None:
        """Note the id of an authorization that is no replay."""
        self._db.execute("INSERT INTO authorizations VALUES (?, ?)", (message.id, digest))

    def pay(self, message: Authorization) -> None:
        """Have the effect. The table refuses a second one for the same intent."""
        row = (message.intent, message.id, message.payer, message.amount_minor, message.currency)
        self._db.execute("INSERT INTO payments VALUES (?, ?, ?, ?, ?)", row)

    def payments(self) -> list[Payment]:
        """Return every effect."""
        return [Payment(*row) for row in self._db.execute("SELECT * FROM payments ORDER BY rowid")]

    def keep_mandate(self, mandate: Mandate, envelope: bytes) -> None:
        """Remember a mandate."""
        self._db.execute("INSERT INTO mandates VALUES (?, ?)", (mandate.id, envelope))

    def mandate(self, mandate: bytes) -> Mandate | None:
        """Return a mandate of ours."""
        found = self._one("SELECT envelope FROM mandates WHERE id = ?", mandate)
        return None if found is None else _payload(found[0], Mandate)

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return found


def _payload(envelope: bytes, kind: type[schema.M]) -> schema.M:
    """Read an envelope of our own making, which the store kept."""
    return schema.decode(cose.peek(envelope), kind)
