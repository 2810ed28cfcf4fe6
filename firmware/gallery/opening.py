"""Opening a gallery: a new file laid out, an old one brought to this layout, everybody unsealed into locked memory."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from drivers.secure_element.interface import (
    EpochEndedError,
    SecureElement,
    SecureElementError,
    SecureElementGoneError,
)
from firmware.gallery.epochs import Wrapping, first_epoch
from firmware.gallery.errors import GalleryError
from firmware.gallery.held import MAX_PEOPLE, Held
from firmware.gallery.memory import MemoryLockError, SecretRows
from firmware.gallery.migrations import migrate
from firmware.gallery.people import Seeds
from firmware.gallery.sealed import KEYS_BYTES, DamagedError, Record
from firmware.gallery.store import SCHEMA, SCHEMA_VERSION, Store

_UNKNOWN = Record((), "", b"", b"", 0, 0, 0, 0)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say what it means that something does not open. Raises GalleryError, SecureElementGoneError."""
    try:
        with whole(path):
            yield
    except SecureElementGoneError:
        raise
    except EpochEndedError as error:
        raise GalleryError(
            "gallery_erased",
            f"{path}: is from before an erasure, whose key was destroyed for good ({error}); "
            "put the file aside and enrol again.",
        ) from error
    except SecureElementError as error:
        raise GalleryError(
            "gallery_locked_out", f"{path}: does not open, as if sealed by another secure element: {error}"
        ) from error
    except MemoryLockError as error:
        raise GalleryError("gallery_memory", f"{path}: {error}.") from error


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """What was altered in the file is its damage. Raises GalleryError `gallery_damaged`."""
    try:
        yield
    except DamagedError as error:
        raise GalleryError("gallery_damaged", f"{path}: a record was altered: {error}.") from error


def wrapping(store: Store, element: SecureElement) -> Wrapping:
    """The wrapping key in force. Raises SecureElementError; GalleryError, DamagedError: the file names none."""
    row = store.one("SELECT number, sealed FROM epochs ORDER BY number DESC LIMIT 1")
    if row is None:
        raise DamagedError("no epoch is named")
    return Wrapping.open(element, *row)


def prepare(store: Store, element: SecureElement, networks: bytes, scratch: SecretRows) -> int:
    """Lay out a new file, or bring an old one to this layout; then end epochs that a dead process left.

    Returns:
        The epoch in force.
    """
    if store.version == 0:
        epoch = first_epoch(element)
        element.prepare_epoch(epoch)
        new = Wrapping.new(element, epoch)
        with store.transaction("there is no gallery") as db:
            for statement in SCHEMA:
                db.execute(statement)
            db.execute("INSERT INTO epochs VALUES (?, ?)", (epoch, new.sealed))
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif store.version != SCHEMA_VERSION:
        migrate(store, element, networks, scratch)
    epoch = wrapping(store, element).epoch  # it opens: only then may others end
    element.end_epochs_before(epoch)
    return epoch


def load(
    store: Store, key: Wrapping, networks: bytes, cells: SecretRows, scratch: SecretRows
) -> Generator[Held, None, None]:
    """Unseal everybody, in order of enrolment. Raises DamagedError, GalleryError, MemoryLockError."""
    people = store.rows("SELECT id, person, record, wrapped FROM people JOIN keys USING (id) ORDER BY id")
    sealed = store.rows("SELECT id, purpose, sealed FROM templates ORDER BY id, purpose")
    with closing(people), closing(sealed), Seeds.opened(store, key) as seeds:
        ahead = next(sealed, None)
        for number, person, record, wrapped in people:
            if len(cells.rows) == MAX_PEOPLE:
                raise DamagedError(f"there are more than {MAX_PEOPLE} people")
            held = Held(number, person, cells.take(), _UNKNOWN)
            keys = key.unwrap(wrapped, "key", person)
            if len(keys) != KEYS_BYTES:
                raise DamagedError(f"the keys of {person} have {len(keys)} bytes")
            held.cell(cells)["key"][0] = np.frombuffer(keys, np.uint8)
            vault = held.vault(cells)
            held.record = vault.open_record(record)
            if held.record.networks != networks:
                raise GalleryError(
                    "gallery_version",
                    f"the templates of {person} were made by other networks than this version's and cannot be "
                    "compared: put the gallery's file aside and enrol again.",
                )
            purposes = []
            while ahead is not None and ahead[0] == number:
                if ahead[1] not in seeds:
                    raise DamagedError(f"no rotation for {ahead[1]}")
                vault.open_templates(ahead[2], held.record.payer, ahead[1], seeds.of(ahead[1]), scratch)
                purposes.append(ahead[1])
                ahead = next(sealed, None)
            if sorted(purposes) != sorted(held.record.purposes):
                raise DamagedError(f"the templates of {person} are not those of their record")
            yield held
