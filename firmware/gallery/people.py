"""One person's rows in the store, written whole, and the rotations their templates are turned by."""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from firmware.gallery.epochs import Wrapping
from firmware.gallery.memory import SecretRows
from firmware.gallery.sealed import Cell, Record, Vault
from firmware.gallery.store import Store
from firmware.gallery.transform import SEED_BYTES, Transform


class Seeds:
    """The seeds of rotations while something is sealed or opened; `changed` ones are not in the store yet."""

    def __init__(self, known: dict[str, bytes]) -> None:
        self._seeds, self._transforms = known, dict[str, Transform]()
        self.changed: set[str] = set()

    @classmethod
    @contextmanager
    def opened(cls, store: Store, wrapping: Wrapping) -> Iterator["Seeds"]:
        """Those in the store, forgotten at the end. Raises DamagedError, GalleryError."""
        rows = list(store.rows("SELECT purpose, wrapped FROM transforms"))
        seeds = cls({purpose: wrapping.unwrap(wrapped, "transform", purpose) for purpose, wrapped in rows})
        try:
            yield seeds
        finally:
            for transform in seeds._transforms.values():
                transform.close()

    def __contains__(self, purpose: str) -> bool:
        return purpose in self._seeds

    def of(self, purpose: str) -> Transform:
        """The rotation of a purpose; the first time there is none, a new one is drawn."""
        if purpose not in self._seeds:
            self.renew(purpose)
        if purpose not in self._transforms:
            self._transforms[purpose] = Transform(self._seeds[purpose], purpose)
        return self._transforms[purpose]

    def renew(self, purpose: str) -> None:
        """Draw a new seed."""
        self._seeds[purpose] = secrets.token_bytes(SEED_BYTES)
        self._transforms.pop(purpose, None)
        self.changed.add(purpose)

    def write(self, db: sqlite3.Connection, wrapping: Wrapping, *, every: bool) -> None:
        """Wrap and store those that are new, or every one."""
        purposes: Iterable[str] = self._seeds if every else self.changed
        db.executemany(
            "INSERT OR REPLACE INTO transforms VALUES (?, ?)",
            [(purpose, wrapping.wrap(self._seeds[purpose], "transform", purpose)) for purpose in purposes],
        )


def insert(
    db: sqlite3.Connection, wrapping: Wrapping, seeds: Seeds, person: str, cell: Cell, record: Record, consent: bytes,
    scratch: SecretRows,
) -> int:  # fmt: skip
    """Write all rows of a person whose key and templates stand in `cell`; returns their number."""
    vault = Vault(person, cell)
    added = db.execute(
        "INSERT INTO people (person, record, consent) VALUES (?, ?, ?)",
        (person, vault.record(record), vault.consent(consent, record.payer)),
    )
    number = int(added.lastrowid or 0)
    db.execute("INSERT INTO keys VALUES (?, ?)", (number, wrapping.wrap(cell["key"][0].data, "key", person)))
    write_templates(db, vault, number, record.payer, record.purposes, seeds, scratch)
    return number


def write_templates(
    db: sqlite3.Connection, vault: Vault, number: int, payer: str, purposes: Iterable[str], seeds: Seeds,
    scratch: SecretRows,
) -> None:  # fmt: skip
    """Seal the templates in a vault's cell for each of `purposes`, in place of those that are there."""
    db.executemany(
        "INSERT OR REPLACE INTO templates VALUES (?, ?, ?)",
        [(number, purpose, vault.templates(payer, purpose, seeds.of(purpose), scratch)) for purpose in purposes],
    )


def read_secrets(db: sqlite3.Connection, vault: Vault, number: int, payer: str) -> dict[str, bytes]:
    """The secrets of a person, by purpose. Raises DamagedError."""
    rows = db.execute("SELECT purpose, sealed FROM secrets WHERE id = ?", (number,)).fetchall()
    return {purpose: vault.open_secret(sealed, payer, purpose) for purpose, sealed in rows}


def write_secrets(
    db: sqlite3.Connection, vault: Vault, number: int, payer: str, secrets_by_purpose: Mapping[str, bytes]
) -> None:
    """Seal each, in place of the one that is there."""
    rows = [(number, purpose, vault.secret(one, payer, purpose)) for purpose, one in secrets_by_purpose.items()]
    db.executemany("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?)", rows)
