"""The one durable store of `core`: which intents were opened, what was signed for them, what the backend said.

Rules kept here:
- One intent, at most one envelope, authorization or decline: `UNIQUE` over the intent, not a flag in memory.
- Counter, envelope and use of the intent are one transaction, on disk before `core` hands the envelope to `link`. An
  error on the way leaves nothing behind, not even a used counter.
- Counters rise over every start and every copy that is put back (`counting`). Where no hardware counts, nothing is
  signed after a start before the backend has spoken: neither a yes nor a no. An intent speaks only where there is a
  time to say that it is not an old one.
- While the link is down only what the backend's last allowance covers is authorized (`offline`).
- A row is settled by a verified signed receipt and by nothing else; a broker's acknowledgement is not durable. Nor is
  a refusal that leaves no trace at the backend, while what it refuses still lives: it is sent again.
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
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

from drivers.secure_element.interface import SecureElementError
from firmware.payment import offline
from firmware.payment.counting import Counting, HardwareCounter
from firmware.payment.errors import PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import Allowance, Beacon, Intent, Outcome
from firmware.payment.outbox_file import OutboxFile
from firmware.payment.receipt import check_binds, check_final, verify_receipt
from firmware.payment.trust import Trust

Kind = Literal["authorization", "decline"]
Make = Callable[[int], bytes]  # counter -> signed envelope


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
    """One process, one thread."""

    def __init__(self, path: Path, hardware: HardwareCounter | None = None) -> None:
        """Open or lay out the file.

        Args:
            path: of the file.
            hardware: a counter that nobody turns back; None where there is none. Read at the start, incremented at the
                first signature after it, once a batch, and for every authorization without a connection.

        Raises:
            OutboxError: the file cannot be opened, is damaged, of another version, or held by another process.
            SecureElementError: the counter cannot be read.
        """
        self._file = OutboxFile(path)
        self._backend_spoke = False
        try:
            self._counting = Counting(self._file, hardware)
            self._time_floor = self._file.number("time_floor")
        except (PaymentError, SecureElementError):
            self._file.close()
            raise

    def __enter__(self) -> "Outbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What was committed stays."""
        self._file.close()

    @property
    def time_floor(self) -> int:
        """Latest time the backend signed, in a beacon or in an intent opened in time, whole seconds since 1970."""
        return self._time_floor

    @property
    def counter(self) -> int:
        """The last counter that was signed for, or that the backend said it saw."""
        return self._file.number("counter")

    @property
    def put_back(self) -> bool:
        """Whether this file was once put back from a copy: nothing is authorized from it without a connection."""
        return self._counting.put_back

    def withholds(self, allowance: Allowance) -> bool:
        """Whether nothing is taken of an allowance because what was taken of it before is not known here."""
        with self._file.reading() as db:
            return offline.withheld(db, allowance)

    def heard(self, beacon: Beacon) -> None:
        """Keep what a verified beacon says: no time and no counter lies below it.

        Raises:
            OutboxError: the store failed; nothing was heard.
        """
        with self._file.transaction() as db:
            _raise_to(db, "counter", beacon.counter)
            _raise_to(db, "time_floor", beacon.time)
            offline.forget(db, beacon.allowance)
        self._time_floor, self._backend_spoke = self._file.number("time_floor"), True

    def open_intent(self, accepted: AcceptedIntent, now: int | None) -> None:
        """Note that this intent is being served; from now on it is answered or `interrupted`.

        Args:
            accepted: the intent.
            now: the time it was checked by, in seconds. Where there is none it moves no floor: what says when it was
                issued is then bounded by nothing, and a stolen key could end every key set to come. Nor has the
                backend spoken then: the broker may have held it back, and its counter been used since.

        Raises:
            PaymentError: `intent_used`, it was opened before.
            OutboxError: the store failed; the intent is not open.
        """
        intent = accepted.intent
        with self._file.transaction() as db:
            try:
                db.execute("INSERT INTO intents VALUES (?, ?, ?)", (intent.id, accepted.digest, intent.expires_at))
            except sqlite3.IntegrityError as error:
                raise PaymentError("intent_used", "this intent was served before") from error
            _raise_to(db, "counter", intent.counter)
            if now is not None:
                _raise_to(db, "time_floor", min(intent.issued_at, now))
            floor = self._file.number("time_floor")
            settled = "SELECT intent FROM outbox JOIN intents ON intent = id WHERE outcome NOT NULL AND expires_at < ?"
            gone = db.execute(settled, (floor,)).fetchall()
            db.executemany("DELETE FROM outbox WHERE intent = ?", gone)
            db.executemany("DELETE FROM intents WHERE id = ?", gone)
        self._time_floor, self._backend_spoke = floor, self._backend_spoke or now is not None

    def authorize(self, intent: bytes, make: Make, audit: bytes) -> bytes:
        """Sign and keep the one authorization of an open intent. Returns the envelope.

        Args:
            intent: the intent's id.
            make: signs, given the counter; what it raises passes through and leaves nothing behind.
            audit: the local record the evidence commits to; it never leaves the terminal.

        Raises:
            PaymentError: `intent_used`, it was answered before; `unknown_intent`, it was never opened, or no hardware
                counts and the backend has not spoken since the start.
            OutboxError: the store failed; nothing was authorized.
            SecureElementError: the hardware counter failed; nothing was authorized.
        """
        return self._answer("authorization", intent, make, audit)

    def authorize_offline(self, intent: Intent, allowance: Allowance, now: int, make: Make, audit: bytes) -> bytes:
        """Sign and keep the one authorization of an open intent while the link is down. Returns the envelope.

        Args:
            intent: the intent.
            allowance: of the last beacon; what was taken of it before is known here.
            now: whole seconds since 1970.
            make: as in `authorize`.
            audit: as in `authorize`.

        Raises:
            PaymentError: `offline`, the allowance does not cover it, or nothing counts in hardware; else as in
                `authorize`.
            OutboxError, SecureElementError: as in `authorize`; what was booked of the allowance stays booked.
        """
        self._check_open(intent.id)
        offline.covers(allowance, intent, now)
        counter = self._counting.booked(lambda db: offline.reserve(db, self._counting, allowance, intent))
        return self._keep("authorization", intent.id, counter, make, audit)

    def decline(self, intent: bytes, make: Make, audit: bytes = b"") -> bytes:
        """Sign and keep the one decline of an open intent. Arguments and errors as in `authorize`."""
        return self._answer("decline", intent, make, audit)

    def head(self) -> Entry | None:
        """Return the one envelope to send now: the oldest without a receipt, or None."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT kind, intent, envelope FROM outbox WHERE outcome IS NULL ORDER BY counter LIMIT 1"
            ).fetchone()
        return None if row is None else Entry(*row)

    def waiting(self) -> int:
        """Return how many envelopes have no receipt yet."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM outbox WHERE outcome IS NULL").fetchone()[0])

    def interrupted(self) -> list[OpenIntent]:
        """Return the intents that are open: at start, those a dead process left. Decline each.

        None before the counter is anchored: in a file put back from a copy it has been used since, and signed for once
        more would look like a clone's. How old the file is it cannot know: its own floor is as old.
        """
        if not self._is_anchored:
            return []
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT id, digest FROM intents WHERE id NOT IN (SELECT intent FROM outbox) ORDER BY rowid"
            ).fetchall()
        return [OpenIntent(*row) for row in rows]

    def settle(self, envelope: bytes, trust: Trust, terminal: str) -> Settled:
        """Verify a receipt from the wire and release what it answers. The same again gives the same.

        Raises:
            PaymentError: `receipt` or an envelope code; nothing is released, and what waits is sent again.
            OutboxError: the store failed; the receipt will come again.
        """
        receipt = verify_receipt(envelope, trust, terminal)
        with self._file.transaction() as db:
            row = db.execute(
                "SELECT kind, intent, outcome, code, envelope, expires_at FROM outbox JOIN intents ON intent = id"
                " WHERE outbox.digest = ?",
                (receipt.digest,),
            ).fetchone()
            if row is None:
                raise PaymentError("receipt", "the receipt answers nothing that was sent from here")
            kind, intent, outcome, code, sent, expires_at = row
            check_binds(receipt, kind, intent)
            if outcome is not None and (outcome, code) != (receipt.outcome, receipt.code):
                raise PaymentError("receipt", f"the receipt says {receipt.outcome}, an earlier one {outcome}")
            if outcome is None:
                check_final(receipt, kind, sent, expires_at)
                db.execute(
                    "UPDATE outbox SET outcome = ?, code = ?, receipt = ? WHERE digest = ?",
                    (receipt.outcome, receipt.code, envelope, receipt.digest),
                )
        return Settled(kind, intent, receipt.outcome, receipt.code)

    def _answer(self, kind: Kind, intent: bytes, make: Make, audit: bytes) -> bytes:
        self._check_open(intent)
        return self._keep(kind, intent, self._counting.next(), make, audit)

    def _check_open(self, intent: bytes) -> None:
        with self._file.reading() as db:
            if db.execute("SELECT 1 FROM outbox WHERE intent = ?", (intent,)).fetchone():
                raise PaymentError("intent_used", "this intent was answered before")
            if not db.execute("SELECT 1 FROM intents WHERE id = ?", (intent,)).fetchone():
                raise PaymentError("unknown_intent", "this intent was never opened")
        if not self._is_anchored:
            raise PaymentError("unknown_intent", "nothing is signed before the backend has spoken since the start")

    def _keep(self, kind: Kind, intent: bytes, counter: int, make: Make, audit: bytes) -> bytes:
        with self._file.transaction() as db:
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
        return self._backend_spoke or self._counting.in_hardware


def _raise_to(db: sqlite3.Connection, name: str, value: int) -> None:
    db.execute("UPDATE meta SET value = max(value, ?) WHERE name = ?", (value, name))
