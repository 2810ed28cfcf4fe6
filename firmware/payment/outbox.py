"""The one durable store of `core`: which intents were opened, what was signed for them, what the backend said.

Rules kept here:
- One intent, at most one envelope, authorization or decline: `UNIQUE` over the intent, not a flag in memory.
- Counter, envelope and use of the intent are one transaction, on disk (WAL, synchronous=FULL) before `core` hands
  the envelope to `link`. An error on the way leaves nothing behind, not even a used counter.
- A file that is put back from a copy knows an old counter. Where the secure element counts, it grants the numbers:
  a batch at a time, incremented before the first of them is used, so that none is ever given twice; what is left of
  a batch at the end is a gap, and gaps are normal. Where it does not, the backend's last counter, which every intent
  carries, is the only anchor: after a start nothing is authorized before an intent has come, and of what a dead
  process left only that is declined which is too young for an old copy.
- A row is settled by a verified signed receipt and by nothing else; a broker's acknowledgement is not durable.
- Settled rows, audit records with them, leave once their intent lies below the time floor, where it would be refused
  as expired anyway. Until there is an audit log of its own, a commitment can be opened for minutes, not for years.

Why order: the backend accepts only a counter above the last it saw, which refuses every replay without a window of
seen counters to keep and size. Sent freely, a late resend of 7 after 8 would be refused with the replays. So only
the head, the lowest unsettled row, is ever sent, again and again until its receipt comes; 8 is not on the wire
while 7 has no answer. A resend of 7 is then either new to the backend, and the highest, or known byte for byte, and
answered with the same receipt. Whatever comes out of order is not from this outbox. A lost receipt delays
the next payment's delivery; that is the price, and "unknown, do not retry" already names it to the customer.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

from firmware.payment.errors import OutboxError, PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import Outcome
from firmware.payment.receipt import check_binds, verify_receipt
from firmware.payment.trust import Trust

Kind = Literal["authorization", "decline"]
Make = Callable[[int], bytes]  # counter -> signed envelope
BATCH = 1024  # counters granted by one increment in hardware, whose memory wears; 2**43 of them fit

SCHEMA_VERSION = 1
SCHEMA = """
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


class Entry(msgspec.Struct, frozen=True):
    """An envelope that waits for its receipt."""

    kind: Kind
    intent: bytes
    envelope: bytes


class OpenIntent(msgspec.Struct, frozen=True):
    """An intent that was opened and has neither authorization nor decline; `digest` as in `AcceptedIntent`."""

    id: bytes
    digest: bytes


class Settled(msgspec.Struct, frozen=True):
    """What the backend finally said about an intent; `code` is empty unless rejected."""

    kind: Kind
    intent: bytes
    outcome: Outcome
    code: str


class Outbox:
    """SQLite behind it, held exclusively: one process, one thread."""

    def __init__(self, path: Path, advance: Callable[[], int] | None = None) -> None:
        """Open or lay out the file.

        Args:
            path: of the file.
            advance: increments a counter in hardware that nobody turns back and returns its value; None where there
                is none. Called at the first signature after a start, and once a batch.

        Raises:
            OutboxError: the file cannot be opened, is damaged, of another version, or held by another process.
        """
        self._path, self._advance = path, advance
        self._granted = range(0)
        self._backend_spoke = False
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise OutboxError(f"{path}: cannot be opened: {error.strerror}") from error
        with self._errors():
            self._db = sqlite3.connect(path, timeout=2.0, isolation_level=None)
            try:
                self._prepare()
                self._time_floor = self._meta("time_floor")
            except (sqlite3.Error, OutboxError):
                self._db.close()
                raise

    def __enter__(self) -> "Outbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What was committed stays."""
        self._db.close()

    @property
    def time_floor(self) -> int:
        """Latest time the backend signed in an intent opened here, whole seconds since 1970."""
        return self._time_floor

    def open_intent(self, accepted: AcceptedIntent) -> None:
        """Note that this intent is being served; from now on it is answered or `interrupted`.

        Raises:
            PaymentError: `intent_used`, it was opened before.
            OutboxError: the store failed; the intent is not open.
        """
        intent = accepted.intent
        with self._transaction() as db:
            try:
                db.execute("INSERT INTO intents VALUES (?, ?, ?)", (intent.id, accepted.digest, intent.expires_at))
            except sqlite3.IntegrityError as error:
                raise PaymentError("intent_used", "this intent was served before") from error
            raise_to = "UPDATE meta SET value = max(value, ?) WHERE name = ?"
            db.execute(raise_to, (intent.counter, "counter"))
            db.execute(raise_to, (intent.issued_at, "time_floor"))
            floor = self._meta("time_floor")
            settled = "SELECT intent FROM outbox JOIN intents ON intent = id WHERE outcome NOT NULL AND expires_at < ?"
            gone = db.execute(settled, (floor,)).fetchall()
            db.executemany("DELETE FROM outbox WHERE intent = ?", gone)
            db.executemany("DELETE FROM intents WHERE id = ?", gone)
        self._time_floor, self._backend_spoke = floor, True

    def authorize(self, intent: bytes, make: Make, audit: bytes) -> bytes:
        """Sign and keep the one authorization of an open intent. Returns the envelope.

        Args:
            intent: the intent's id.
            make: signs, given the counter; what it raises passes through and leaves nothing behind.
            audit: the local record the evidence commits to; it never leaves the terminal.

        Raises:
            PaymentError: `intent_used`, it was answered before; `unknown_intent`, it was never opened, or no intent
                was since the start and no hardware counts.
            OutboxError: the store failed; nothing was authorized.
            SecureElementError: the hardware counter failed; nothing was authorized.
        """
        return self._answer("authorization", intent, make, audit)

    def decline(self, intent: bytes, make: Make, audit: bytes = b"") -> bytes:
        """Sign and keep the one decline of an open intent. Arguments and errors as in `authorize`."""
        return self._answer("decline", intent, make, audit)

    def head(self) -> Entry | None:
        """Return the one envelope to send now: the oldest without a receipt, or None."""
        with self._errors():
            row = self._db.execute(
                "SELECT kind, intent, envelope FROM outbox WHERE outcome IS NULL ORDER BY counter LIMIT 1"
            ).fetchone()
        return None if row is None else Entry(*row)

    def waiting(self) -> int:
        """Return how many envelopes have no receipt yet."""
        with self._errors():
            return int(self._db.execute("SELECT count(*) FROM outbox WHERE outcome IS NULL").fetchone()[0])

    def interrupted(self, now: int) -> list[OpenIntent]:
        """Return the intents that are open: at start, those a dead process left. Decline each.

        Those that have expired at `now`, seconds since 1970, wait until the counter is anchored: in a file put back
        from a copy, its counter has been used since, and signed for once more would look like a clone's.
        """
        with self._errors():
            rows = self._db.execute(
                "SELECT id, digest FROM intents WHERE id NOT IN (SELECT intent FROM outbox)"
                " AND (? OR expires_at > ?) ORDER BY rowid",
                (self._is_anchored, now),
            ).fetchall()
        return [OpenIntent(*row) for row in rows]

    def settle(self, envelope: bytes, trust: Trust, terminal: str) -> Settled:
        """Verify a receipt from the wire and release what it answers. The same again gives the same.

        Raises:
            PaymentError: `receipt` or an envelope code; nothing is released.
            OutboxError: the store failed; the receipt will come again.
        """
        receipt = verify_receipt(envelope, trust, terminal)
        with self._transaction() as db:
            row = db.execute(
                "SELECT kind, intent, outcome, code FROM outbox WHERE digest = ?", (receipt.digest,)
            ).fetchone()
            if row is None:
                raise PaymentError("receipt", "the receipt answers nothing that was sent from here")
            kind, intent, outcome, code = row
            check_binds(receipt, kind, intent)
            if outcome is not None and (outcome, code) != (receipt.outcome, receipt.code):
                raise PaymentError("receipt", f"the receipt says {receipt.outcome}, an earlier one {outcome}")
            if outcome is None:
                db.execute(
                    "UPDATE outbox SET outcome = ?, code = ?, receipt = ? WHERE digest = ?",
                    (receipt.outcome, receipt.code, envelope, receipt.digest),
                )
        return Settled(kind, intent, receipt.outcome, receipt.code)

    def _answer(self, kind: Kind, intent: bytes, make: Make, audit: bytes) -> bytes:
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM outbox WHERE intent = ?", (intent,)).fetchone():
                raise PaymentError("intent_used", "this intent was answered before")
            if not db.execute("SELECT 1 FROM intents WHERE id = ?", (intent,)).fetchone():
                raise PaymentError("unknown_intent", "this intent was never opened")
            if kind == "authorization" and not self._is_anchored:
                raise PaymentError("unknown_intent", "nothing is authorized before an intent has come since the start")
            counter = self._next_counter()
            db.execute("UPDATE meta SET value = ? WHERE name = 'counter'", (counter,))
            envelope = make(counter)
            db.execute(
                "INSERT INTO outbox (counter, kind, intent, envelope, digest, audit) VALUES (?, ?, ?, ?, ?, ?)",
                (counter, kind, intent, envelope, hashlib.sha256(envelope).digest(), audit),
            )
        return envelope

    @property
    def _is_anchored(self) -> bool:
        """Whether the counter is known to lie above all that were signed for."""
        return self._backend_spoke or self._advance is not None

    def _next_counter(self) -> int:
        """The lowest above all that were signed for, as far as this file, the backend and the hardware know."""
        counter = self._meta("counter") + 1
        if self._advance is not None and counter not in self._granted:
            tick = self._advance()
            counter, end = max(counter, tick * BATCH), (tick + 1) * BATCH
            # an element younger than the terminal is behind: there the backend's counter is the anchor
            self._granted = range(counter, end if counter < end else counter + BATCH)
        return counter

    def _meta(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def _prepare(self) -> None:
        """Lock, check and, where new, lay out the file."""
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            self._db.execute(f"PRAGMA {pragma}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise OutboxError(f"{self._path}: has layout {version}, this software knows {SCHEMA_VERSION}")
        fault = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            raise OutboxError(
                f"{self._path}: damaged ({fault.splitlines()[-1]}); keep the file, it may hold unsettled payments"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it returns."""
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OutboxError(f"{self._path}: locked; another process holds it, end that one first") from error
            raise OutboxError(f"{self._path}: {error}; free disk space, check it is writable, try again") from error
        except sqlite3.Error as error:
            raise OutboxError(f"{self._path}: {error}; keep the file, it may hold unsettled payments") from error
