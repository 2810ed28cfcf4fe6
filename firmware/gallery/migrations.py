"""Older galleries, brought to the present layout in one transaction: finished, or the old file as it was.

Version 1 held one infrared template a person, which nothing here can be compared with. Version 2 held a data key a
person, sealed by the secure element itself, templates that were not turned, and one purpose. Version 3 had no place for
secrets.
"""

import secrets
import sqlite3

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.secure_element.interface import SecureElement, SecureElementError
from firmware.gallery.epochs import Wrapping
from firmware.gallery.errors import GalleryError
from firmware.gallery.memory import SecretRows
from firmware.gallery.people import Seeds, insert
from firmware.gallery.sealed import KEYS_BYTES, NONCE_BYTES, Record
from firmware.gallery.store import SCHEMA, SCHEMA_VERSION, SECRETS, Row, Store
from firmware.vision.templates import TemplateError, from_bytes

EPOCH_OF_2 = 1
_TABLES_OF_2 = ("people", "used_mandates", "erasures")


def migrate(store: Store, element: SecureElement, networks: bytes, scratch: SecretRows) -> None:
    """Bring a file of version 2 or 3 to this one.

    Raises:
        GalleryError: `gallery_version`, `gallery_locked_out`, `gallery_damaged` or `gallery_write`; the file is as it
            was.
        SecureElementError: as when a file of this version does not open; the file is as it was.
    """
    if store.version == 3:
        with store.transaction("the gallery is left in its old layout") as db:
            _from_3(db, element)
        return
    if store.version != 2:
        raise GalleryError(
            "gallery_version",
            f"version {store.version}, this software reads 2, 3 and {SCHEMA_VERSION}; templates of another version "
            "cannot be compared: put the file aside and enrol again.",
        )
    try:
        with store.transaction("the gallery is left in its old layout") as db:
            _from_2(db, element, networks, scratch)
    except SecureElementError as error:
        raise GalleryError("gallery_locked_out", f"version 2, of another secure element: {error}") from error
    except (InvalidTag, TemplateError, sqlite3.IntegrityError) as error:
        raise GalleryError("gallery_damaged", f"version 2, and a record was altered: {error}") from error


def _from_3(db: sqlite3.Connection, element: SecureElement) -> None:
    for epoch, sealed in db.execute("SELECT number, sealed FROM epochs").fetchall():
        Wrapping.open(element, epoch, sealed)  # of this element, and not from before an erasure
    db.execute(SECRETS)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _from_2(db: sqlite3.Connection, element: SecureElement, networks: bytes, scratch: SecretRows) -> None:
    for table in _TABLES_OF_2:
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_2")
    for statement in SCHEMA:
        db.execute(statement)
    wrapping, seeds = Wrapping.new(element, EPOCH_OF_2), Seeds({})
    db.execute("INSERT INTO epochs VALUES (?, ?)", (wrapping.epoch, wrapping.sealed))
    old = db.execute(
        "SELECT person, purpose, payer, mandate, enrolled_at, retain_until, wrapped_key, templates, consent"
        " FROM people_2 ORDER BY rowid"
    )
    cell = scratch.rows[1:2]
    for row in old.fetchall():
        record, consent = _open_2(row, element, networks, scratch)
        insert(db, wrapping, seeds, row[0], cell, record, consent, scratch)
    cell.view(np.uint8)[:] = 0
    seeds.write(db, wrapping, every=True)
    db.execute("INSERT INTO used SELECT mandate FROM used_mandates_2")
    db.execute("INSERT INTO erasures SELECT person, receipt FROM erasures_2")
    for table in _TABLES_OF_2:
        db.execute(f"DROP TABLE {table}_2")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _open_2(row: Row, element: SecureElement, networks: bytes, scratch: SecretRows) -> tuple[Record, bytes]:
    """A person of version 2: a new data key and their templates in row 1 of `scratch`, the rest returned."""
    person, purpose, payer, mandate, enrolled_at, retain_until, wrapped_key, templates, consent = row

    def names(kind: str) -> bytes:
        return "\0".join(("tessera-gallery-2", kind, person, purpose, payer)).encode()

    key = AESGCM(element.unseal(wrapped_key, names("key"), EPOCH_OF_2))
    opened = key.decrypt(templates[:NONCE_BYTES], templates[NONCE_BYTES:], names("templates"))
    scratch.rows["templates"][1] = from_bytes(opened[len(networks) :])
    scratch.rows["key"][1] = np.frombuffer(secrets.token_bytes(KEYS_BYTES), np.uint8)
    agreed = key.decrypt(consent[:NONCE_BYTES], consent[NONCE_BYTES:], names("consent"))
    made_by = opened[: len(networks)]
    return Record((purpose,), payer, mandate, made_by, enrolled_at, enrolled_at, retain_until, 0), agreed
