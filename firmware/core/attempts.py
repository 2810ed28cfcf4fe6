"""How often somebody may try: failed attempts in a row, by claimed person, and of nobody claimed.

An attempt has failed from its first frame that speaks for an attack or for another person (`core.reasons.COUNTED`) on,
whatever ends it, until the person is confirmed. NIST SP 800-63B-4 section 3.2.3 allows 5 consecutive failures, then a
delay of 30 s before each further try, and 50 in all; twice that with certified detection of presentation attacks, which
ours is not.

Rules kept here:
- A failure is on disk (synchronous=FULL) before anybody is told of it: kill, reboot and power cut do not undo it. Where
  it cannot be written, nobody is looked at any more until it could.
- No clock on the wall is read: a delay runs by the monotonic clock, and begins anew when the terminal starts.
- A person is their mandate: who is enrolled anew, under a new mandate, begins anew, and there is no other way back
  from the hard stop. Rows of mandates that are gone are dropped; the table holds no more rows than people.
- Looks that claim nobody are counted apart, for the whole terminal. They only slow looking at faces down; other ways
  to pay are never touched.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware.core.reasons import COUNTED

FREE = 5
DELAY_S = 30.0
STOP = 50
NOBODY = b""
"""Key of looks in which nobody is claimed."""

SCHEMA_VERSION = 1
# 100,000 rows are far above what one terminal holds; a table that is full takes no new row, and that refuses.
_SCHEMA = """
CREATE TABLE failures (
    who BLOB PRIMARY KEY CHECK (length(who) IN (0, 16)),
    failed INTEGER NOT NULL CHECK (failed > 0)
) STRICT;
CREATE TRIGGER bounded BEFORE INSERT ON failures
    WHEN (SELECT count(*) FROM failures WHERE who != NEW.who) >= 100000
    BEGIN SELECT RAISE(ABORT, 'the table is full'); END;
"""


class AttemptsError(Exception):
    """Failed attempts cannot be counted; the message says where and what to do. Nobody may be looked at."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands: failures in a row, seconds to wait before the next try, whether there is none."""

    failed: int
    wait_s: float
    stopped: bool

    @property
    def reason(self) -> str:
        """Why they may not be looked at now, a code of `core.reasons`; empty where they may."""
        if self.stopped:
            return "stopped"
        return "wait" if self.wait_s > 0 else ""

    @property
    def told(self) -> str:
        """In plain words, for the operator; empty where nothing has failed."""
        if self.stopped:
            return f"stopped after {self.failed} failed tries in a row: enrol anew under a new mandate"
        if not self.failed:
            return ""
        tries = f"{self.failed} failed {'try' if self.failed == 1 else 'tries'} in a row"
        return f"{tries}; the next in {self.wait_s:.0f} s" if self.wait_s > 0 else tries


class Attempts:
    """SQLite behind it; one owner, in `core`."""

    def __init__(self, path: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Open or create the file. `clock_s`: a clock that nobody sets, seconds.

        Raises:
            AttemptsError: it cannot be opened, is damaged or of another version.
        """
        self._path, self._clock_s = path, clock_s
        self._owed: set[bytes] = set()
        with self._errors():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=2.0, isolation_level=None)
            try:
                self._failed = self._prepare()
            except (sqlite3.Error, AttemptsError):
                self._db.close()
                raise
        # nobody knows how long the terminal was off
        self._until_s = dict.fromkeys(self._failed, clock_s() + DELAY_S)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def standing(self, who: bytes) -> Standing:
        """Where `who` stands: a mandate, or `NOBODY`."""
        failed = self._failed.get(who, 0)
        wait_s = max(0.0, self._until_s.get(who, 0.0) - self._clock_s()) if failed >= FREE else 0.0
        return Standing(failed, min(wait_s, DELAY_S), who != NOBODY and failed >= STOP)

    def admit(self, who: bytes) -> str:
        """Whether `who` may be looked at now: an empty string, or the reason why not.

        Raises:
            AttemptsError: a failure could not be written, and still cannot.
        """
        for owed in tuple(self._owed):
            self._write(owed)
        return self.standing(NOBODY).reason or self.standing(who).reason

    def failed(self, who: bytes) -> None:
        """Count an attempt of `who` as failed; asked once an attempt, before anything of it is told.

        Raises:
            AttemptsError: it could not be written; `admit` refuses until it could.
        """
        self._failed[who] = min(self._failed.get(who, 0) + 1, STOP)
        self.delay(who)
        self._owed.add(who)
        self._write(who)

    def delay(self, who: bytes) -> None:
        """Let the delay begin now: a failed attempt has ended."""
        self._until_s[who] = self._clock_s() + DELAY_S

    def confirmed(self, who: bytes) -> None:
        """Forget the failures of `who`: the attempt that `admit` allowed has ended well.

        Raises:
            AttemptsError: it could not be written; nothing is forgotten.
        """
        if who not in self._failed:
            return
        with self._errors():
            self._db.execute("DELETE FROM failures WHERE who = ?", (who,))
        self._drop(who)

    def keep(self, mandates: Iterable[bytes]) -> None:
        """Drop what belongs to none of these mandates: who is no longer enrolled. Raises AttemptsError."""
        for gone in self._failed.keys() - set(mandates) - {NOBODY}:
            with self._errors():
                self._db.execute("DELETE FROM failures WHERE who = ?", (gone,))
            self._drop(gone)

    def _drop(self, who: bytes) -> None:
        del self._failed[who], self._until_s[who]
        self._owed.discard(who)

    def _write(self, who: bytes) -> None:
        with self._errors():
            self._db.execute(
                "INSERT INTO failures VALUES (?, ?) ON CONFLICT (who) DO UPDATE SET failed = excluded.failed",
                (who, self._failed[who]),
            )
        self._owed.discard(who)

    def _prepare(self) -> dict[bytes, int]:
        """Check and, where new, lay out the file; returns what is in it."""
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise AttemptsError(f"{self._path}: has layout {version}, this software knows {SCHEMA_VERSION}")
        if (fault := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise AttemptsError(f"{self._path}: damaged ({fault.splitlines()[-1]}); restore a backup of this terminal")
        return dict(self._db.execute("SELECT who, failed FROM failures").fetchall())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise AttemptsError(
                f"{self._path}: failed attempts cannot be counted: {error}; free disk space, check who else uses it"
            ) from error


class Attempt:
    """One look at somebody who was admitted: failed from the first sign on, until they are confirmed."""

    def __init__(self, attempts: Attempts, who: bytes) -> None:
        self._attempts, self._who = attempts, who
        self._counted = False

    @property
    def streak(self) -> int:
        """How many have failed in a row, where this one did; 0 where it did not."""
        return self._attempts.standing(self._who).failed if self._counted else 0

    def saw(self, reason: str) -> None:
        """Take a frame's reason, before it is told to anybody. Raises AttemptsError: nothing may be told."""
        if reason in COUNTED and not self._counted:
            self._counted = True
            self._attempts.failed(self._who)

    def ended(self, *, confirmed: bool) -> None:
        """Forget the failures of who was confirmed; for others a delay begins now. Raises AttemptsError."""
        if confirmed:
            self._attempts.confirmed(self._who)
        elif self._counted:
            self._attempts.delay(self._who)
