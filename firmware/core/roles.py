"""Who of the staff may ask what: names with a passphrase, each in one role. The terminal's customers are not here.

Rules kept here:
- Of a passphrase only scrypt's output is kept. A short one is not taken (SP 800-63B-4, 3.1.1.2: 15 characters).
- After five wrong ones in a row each further try for that name waits half a minute. A try is counted on disk before
  the passphrase is looked at: kill, reboot and many connections at once gain nothing. No clock on the wall is read; a
  delay begins anew when the terminal starts.
- A name that does not exist takes as long and fails with the same words; all such names are counted together.
- The first technician is made while there is none, and the last one cannot be removed.
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware.core.errors import TerminalError
from firmware.runtime.messages import Role

FREE: Final = 5
DELAY_S: Final = 30.0
LEAST_CHARACTERS: Final = 15
MOST_NAMES: Final = 1000
COST: Final = 2**15
"""scrypt's N, with r 8 and p 3: 32 MiB and a fifth of a second (OWASP's third of five equal choices)."""
_R, _P, _MEMORY = 8, 3, 64 * 2**20

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE staff (
    name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('operator', 'technician', 'auditor')),
    salt BLOB NOT NULL CHECK (length(salt) = 16), cost INTEGER NOT NULL CHECK (cost BETWEEN 1024 AND 32768),
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE TABLE failures (name TEXT PRIMARY KEY, failed INTEGER NOT NULL CHECK (failed > 0)) STRICT;
"""
_NOBODY = ""  # key of tries for names that do not exist


class RolesError(TerminalError):
    """The staff table refused or cannot be used; `reason` is short and stable."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of the staff."""

    name: str
    role: Role


Announce = Callable[[Member], None]


def _silently(_: Member) -> None:
    """Nobody is told: while a terminal is laid out."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A passphrase as it is kept. Making and opening it takes a fifth of a second: beside the event loop."""

    salt: bytes
    cost: int
    digest: bytes

    @classmethod
    def of(cls, passphrase: str, cost: int = COST) -> "Sealed":
        """Seal it. `cost`: scrypt's N; less than `COST` is for random passphrases only.

        Raises:
            RolesError: `passphrase_short`.
        """
        if len(passphrase) < LEAST_CHARACTERS:
            raise RolesError(f"A passphrase has at least {LEAST_CHARACTERS} characters.", "passphrase_short")
        salt = secrets.token_bytes(16)
        return cls(salt, cost, stretched(passphrase, salt, cost))

    def opens(self, passphrase: str) -> bool:
        """Whether it is this one."""
        return hmac.compare_digest(stretched(passphrase, self.salt, self.cost), self.digest)


@dataclass(frozen=True, slots=True)
class Seat:
    """A login: of this name, by this passphrase."""

    name: str
    sealed: Sealed


class Roles:
    """SQLite behind it; one owner, in `core`, in one thread."""

    def __init__(self, path: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Open or create the file. `clock_s`: a clock that nobody sets, seconds.

        Raises:
            RolesError: `roles`, it cannot be opened, is damaged or of another version.
        """
        self._path, self._clock_s = path, clock_s
        self._nobody = Sealed(secrets.token_bytes(16), COST, bytes(32))
        with self._errors():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=2.0, isolation_level=None)
            try:
                self._prepare()
            except (sqlite3.Error, RolesError):
                self._db.close()
                raise
        self._until_s = dict.fromkeys(self._failed, clock_s() + DELAY_S)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def staff(self) -> list[Member]:
        """Everybody, by name."""
        return sorted(self._staff.values(), key=lambda member: member.name)

    def role(self, seat: Seat | None) -> Role | None:
        """The role of whoever logged in so; None once they were removed, whoever has their name by now."""
        if seat is None or self._sealed.get(seat.name) is not seat.sealed:
            return None
        return self._staff[seat.name].role

    @property
    def vacant(self) -> bool:
        """Whether there is no technician."""
        return not self._technicians()

    def first(self, name: str, sealed: Sealed, announce: Announce = _silently) -> None:
        """Make the first technician. Raises RolesError `roles_exist` where there is a technician; else as `add`."""
        if not self.vacant:
            raise RolesError("There is a technician already; who can add others.", "roles_exist")
        self.add(name, "technician", sealed, announce)

    def add(self, name: str, role: Role, sealed: Sealed, announce: Announce = _silently) -> None:
        """Add somebody. `announce` is called before it is done; what it raises passes through, and nothing is done.

        Raises:
            RolesError: `role_name` (taken, or too many), or `roles`.
        """
        if name in self._staff or len(self._staff) >= MOST_NAMES:
            raise RolesError(f"There is a {name} already, or there are too many names.", "role_name")
        member = Member(name, role)
        announce(member)
        with self._errors():
            row = (name, role, sealed.salt, sealed.cost, sealed.digest)
            self._db.execute("INSERT INTO staff VALUES (?, ?, ?, ?, ?)", row)
        self._staff[name], self._sealed[name] = member, sealed

    def remove(self, name: str, announce: Announce = _silently) -> None:
        """Remove somebody; connections in their name may ask for nothing from now on. `announce` as in `add`.

        Raises:
            RolesError: `role_name` (there is no such name), `role_last` or `roles`.
        """
        member = self._staff.get(name)
        if member is None:
            raise RolesError(f"There is no {name}; see `tessera roles list`.", "role_name")
        if self._technicians() == [name]:
            raise RolesError(f"{name} is the last technician; add another first.", "role_last")
        announce(member)
        with self._errors():
            self._db.execute("DELETE FROM staff WHERE name = ?", (name,))
        del self._staff[name], self._sealed[name]
        self._forget(name)

    async def login(self, name: str, passphrase: str) -> Seat:
        """Whether it is them: what `role` knows them by.

        Raises:
            RolesError: `login` (wrong), `login_wait` (too many wrong ones: wait), `roles`.
        """
        key, sealed = self._key(name), self._sealed.get(name, self._nobody)
        if self._failed.get(key, 0) >= FREE and (wait_s := self._until_s[key] - self._clock_s()) > 0:
            raise RolesError(f"Too many wrong passphrases; try again in {wait_s:.0f} s.", "login_wait")
        self._count(key)
        right = await asyncio.to_thread(sealed.opens, passphrase)
        if not right or self._sealed.get(name) is not sealed:  # removed meanwhile
            self._until_s[key] = self._clock_s() + DELAY_S
            raise RolesError("Name or passphrase is wrong.", "login")
        self._forget(key)
        return Seat(name, sealed)

    def failed(self, name: str) -> tuple[str, int]:
        """Wrong passphrases in a row, and of whom: an empty name where nobody has it."""
        key = self._key(name)
        return key, self._failed.get(key, 0)

    def _key(self, name: str) -> str:
        return name if name in self._staff else _NOBODY

    def _technicians(self) -> list[str]:
        return [member.name for member in self._staff.values() if member.role == "technician"]

    def _count(self, key: str) -> None:
        failed = min(self._failed.get(key, 0) + 1, 2**31)
        with self._errors():
            self._db.execute(
                "INSERT INTO failures VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET failed = excluded.failed",
                (key, failed),
            )
        self._failed[key], self._until_s[key] = failed, self._clock_s() + DELAY_S

    def _forget(self, key: str) -> None:
        with self._errors():
            self._db.execute("DELETE FROM failures WHERE name = ?", (key,))
        self._failed.pop(key, None)
        self._until_s.pop(key, None)

    def _prepare(self) -> None:
        """Check and, where new, lay out the file; take what is in it."""
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise RolesError(f"{self._path}: has layout {version}, this software knows {SCHEMA_VERSION}", "roles")
        if (fault := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise RolesError(f"{self._path}: damaged ({fault.splitlines()[-1]}); restore a backup", "roles")
        rows = self._db.execute("SELECT name, role, salt, cost, digest FROM staff").fetchall()
        self._staff = {name: Member(name, role) for name, role, *_ in rows}
        self._sealed = {name: Sealed(*kept) for name, _, *kept in rows}
        self._failed: dict[str, int] = dict(self._db.execute("SELECT name, failed FROM failures").fetchall())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise RolesError(
                f"{self._path}: staff cannot be checked: {error}; free disk space, check who else uses it", "roles"
            ) from error


def stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    """What scrypt makes of it, 32 bytes; `cost` is its N."""
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=cost, r=_R, p=_P, maxmem=_MEMORY, dklen=32)
