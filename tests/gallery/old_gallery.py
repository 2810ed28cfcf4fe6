"""A gallery of version 2, written as version 2 wrote it."""

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.secure_element.interface import SecureElement
from firmware.vision.templates import to_bytes
from tests.gallery.people import CONSENT, NETWORKS, NOW, UNTIL, templates

SCHEMA = """
CREATE TABLE people (
    person TEXT PRIMARY KEY, purpose TEXT NOT NULL, payer TEXT NOT NULL UNIQUE, mandate BLOB NOT NULL UNIQUE,
    enrolled_at INTEGER NOT NULL, retain_until INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL, templates BLOB NOT NULL, consent BLOB NOT NULL) STRICT;
CREATE TABLE used_mandates (mandate BLOB PRIMARY KEY) STRICT;
CREATE TABLE erasures (person TEXT PRIMARY KEY, receipt BLOB NOT NULL) STRICT;
"""


def write_version_2(path: Path, element: SecureElement, people: int, erased: int, networks: bytes = NETWORKS) -> None:
    """People 1, 2, ... as `tests.gallery.people.enrol` enrols them; `erased` others are gone."""
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version=2;COMMIT;")
        for seed in range(1, people + 1):
            db.execute("INSERT INTO people VALUES (?,?,?,?,?,?,?,?,?)", _row(seed, element, networks))
            db.execute("INSERT INTO used_mandates VALUES (?)", (bytes([seed]) * 16,))
        for number in range(erased):
            db.execute("INSERT INTO erasures VALUES (?, ?)", (f"gone-{number}", b"receipt"))
            db.execute("INSERT INTO used_mandates VALUES (?)", (bytes([255 - number]) * 16,))


def _row(seed: int, element: SecureElement, networks: bytes) -> tuple[object, ...]:
    person, payer, key, nonce = f"{seed:016x}", f"payer-{seed}", secrets.token_bytes(32), secrets.token_bytes(12)

    def names(kind: str) -> bytes:
        return "\0".join(("tessera-gallery-2", kind, person, "payment", payer)).encode()

    def seal(kind: str, plaintext: bytes) -> bytes:
        return nonce + AESGCM(key).encrypt(nonce, plaintext, names(kind))

    return (
        person, "payment", payer, bytes([seed]) * 16, NOW, UNTIL, element.seal(key, names("key"), 1),
        seal("templates", networks + to_bytes(templates(seed))), seal("consent", CONSENT + bytes([seed])),
    )  # fmt: skip
