"""Counters for what is signed, each above all before it, and whether this file is the newest there is of it.

Rules kept here:
- A file that is put back from a copy knows an old counter. Where the secure element counts, it grants the numbers:
  a batch at a time, incremented before the first of them is used, so that none is ever given twice; what is left of
  a batch at the end is a gap, and gaps are normal. Where it does not, the backend's last counter, which every intent
  and every beacon carries, is the only anchor.
- The file knows the hardware's count: it is booked, on disk, before it is incremented, and noted as counted, on disk,
  before it is used. Only where the hardware stands at what was counted is this the newest file there is.
- Where it stands at what was booked and never noted, this file may have been cut, or another one made that very count
  and signed with it: of the allowance that is in force then, all is booked as taken (`offline`).
- Where it stands anywhere else, it has counted for a newer copy of this file, which was put back, or it is another's.
  Either is noted for good.
- Counters are bounded long before they end, so that no single word uses them up: the backend takes none that lies far
  ahead of the last, and can tell the terminal of none (`messages.Told`) that it comes to in less than 2**28 such steps,
  each a message that it took.
- A file that meets a hardware for the first time does not know what it counted before, for a file that was deleted
  perhaps: there too, all of the allowance is booked as taken.
"""

import sqlite3
from collections.abc import Callable
from typing import Protocol

from firmware.payment.errors import PaymentError
from firmware.payment.messages import NO_ID
from firmware.payment.outbox_file import OutboxFile

BATCH = 1024  # counters granted by one increment in hardware, whose memory wears; 2**43 of them fit
# a billion counts of the hardware, which begins anywhere; so far a counter may jump, and from there on by so much
REACH, STEP = 2**40, 2**20
Book = Callable[[sqlite3.Connection], None]

# intent `NO_ID` stands for all that may have been taken under an allowance: no limit is above it (`messages.Sum`)
ALL_MINOR = 1_000_000_000
BOOK_ALL = "INSERT OR REPLACE INTO reserved VALUES (?, ?, '', ?)"


def far_ahead(counter: int, last: int) -> bool:
    """Whether no honest terminal whose last counter was `last` comes to `counter` next."""
    return counter > max(last, REACH) + STEP


class HardwareCounter(Protocol):
    """A count that nobody turns back; a `SecureElement` that declares `MONOTONIC_COUNTER` is one."""

    def counter(self) -> int:
        """Its value. Raises SecureElementError."""

    def advance(self) -> int:
        """Increment it and return its value. Raises SecureElementError."""


class Counting:
    """The counters of one outbox; `hardware` is None where nothing counts in hardware."""

    def __init__(self, file: OutboxFile, hardware: HardwareCounter | None) -> None:
        """Raises OutboxError; SecureElementError where the hardware cannot be read."""
        self._file, self._hardware = file, hardware
        self._granted = range(0)
        self._check(None if hardware is None else hardware.counter())

    @property
    def in_hardware(self) -> bool:
        """Whether the hardware counts."""
        return self._hardware is not None

    @property
    def put_back(self) -> bool:
        """Whether this file was once found to be an old copy."""
        return bool(self._file.number("put_back"))

    def next(self) -> int:
        """The lowest counter above all that were signed for, as far as file, backend and hardware know.

        Raises:
            OutboxError, SecureElementError: there is none to be had now.
        """
        counter = self._file.number("counter") + 1
        if self._hardware is None or counter in self._granted:
            return counter
        return self._advance(self._hardware, lambda _: None)

    def booked(self, book: Book) -> int:
        """The same, by an increment in hardware of its own; `book` is on disk before that.

        Raises:
            PaymentError: `offline`, no hardware counts; or what `book` raises: nothing is booked.
            OutboxError: the store failed; nothing is booked.
            SecureElementError: the hardware failed; what was booked stays.
        """
        if self._hardware is None:
            raise PaymentError("offline", "nothing is authorized without a connection where no hardware counts")
        return self._advance(self._hardware, book)

    def _advance(self, hardware: HardwareCounter, book: Book) -> int:
        stands = hardware.counter()
        self._check(stands)
        with self._file.transaction() as db:
            book(db)
            db.execute("UPDATE meta SET value = ? WHERE name = 'tick'", (stands + 1,))
        tick = hardware.advance()
        with self._file.transaction() as db:
            db.execute("UPDATE meta SET value = ? WHERE name = 'counted'", (stands + 1,))
        counter = max(self._file.number("counter") + 1, tick * BATCH)
        end = (tick + 1) * BATCH
        # an element younger than the terminal is behind: there the backend's counter is the anchor
        self._granted = range(counter, end if counter < end else counter + BATCH)
        return counter

    def _check(self, stands: int | None) -> None:
        """Compare what the hardware says with what was booked, and note for good if this is not the newest file."""
        if stands is None or stands == self._file.number("counted"):
            return
        booked = self._file.number("tick")
        with self._file.transaction() as db:
            db.execute("UPDATE meta SET value = ? WHERE name IN ('tick', 'counted')", (stands,))
            if booked in (-1, stands):
                db.execute(BOOK_ALL, (NO_ID, NO_ID, ALL_MINOR))
            else:
                db.execute("UPDATE meta SET value = 1 WHERE name = 'put_back'")
