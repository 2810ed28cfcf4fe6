"""The gallery: sealed templates in SQLite, opened only into this process's memory.

Rules kept here:
- A template and its consent are sealed with AES-256-GCM under a key of that person's own, which the secure
  element wraps. Each blob's associated data names person, purpose and payer: moved to another row it does not open.
- With a template is sealed which networks made it: those of other networks are not opened, let alone compared.
- A mandate enrols once, also after erasure.
- Erasure overwrites (`secure_delete`), empties the write-ahead log, and cannot be half done.
- Nothing that outlives the retention date is matched, and it is erased at the next look.
"""

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.secure_element.interface import SecureElement, SecureElementError
from firmware.gallery.consent import ADULT_FROM, Consent, age_at, parse_consent
from firmware.vision.templates import TemplateError, Templates, checked, from_bytes, to_bytes

SCHEMA_VERSION = 2  # 1 held one infrared template a person, without depth
_SCHEMA = """
CREATE TABLE people (
    person TEXT PRIMARY KEY, purpose TEXT NOT NULL, payer TEXT NOT NULL UNIQUE, mandate BLOB NOT NULL UNIQUE,
    enrolled_at INTEGER NOT NULL, retain_until INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL, templates BLOB NOT NULL, consent BLOB NOT NULL) STRICT;
CREATE TABLE used_mandates (mandate BLOB PRIMARY KEY) STRICT;
CREATE TABLE erasures (person TEXT PRIMARY KEY, receipt BLOB NOT NULL) STRICT;
"""


class GalleryError(Exception):
    """The gallery refused or cannot be used; `code` is short and stable."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """An enrolled person. `templates` has the layout of `vision.templates`, plaintext: it stays in this process."""

    person: str
    purpose: str
    payer: str
    mandate: bytes
    enrolled_at: int
    retain_until: int
    templates: Templates
    consent: Consent

    @property
    def minor(self) -> bool:
        """Whether they were under age when the templates were made: faces of children are outside every claim."""
        return age_at(self.consent.date_of_birth, self.enrolled_at) < ADULT_FROM


def _associated(person: str, purpose: str, payer: str, kind: str) -> bytes:
    return "\0".join(("tessera-gallery-2", kind, person, purpose, payer)).encode()


class Gallery:
    """Who is enrolled at this terminal. One owner, in `core`."""

    def __init__(self, path: Path, element: SecureElement, networks: bytes) -> None:
        """Open or create the database and unseal everybody; `networks` is `vision.networks.template_networks`.

        Raises:
            GalleryError: `gallery_damaged`, `gallery_locked_out` (another secure element) or `gallery_version`
                (another format, or templates made by other networks).
        """
        self._element = element
        self._networks = networks
        self._path = path
        self._log_dirty = True  # a process before this one may have owed it
        try:
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            elif version != SCHEMA_VERSION:
                raise GalleryError(
                    "gallery_version",
                    f"{path}: version {version}, this software reads {SCHEMA_VERSION}; templates of another version "
                    "cannot be compared: put the file aside and enrol again.",
                )
            rows = self._db.execute(
                "SELECT person, purpose, payer, mandate, enrolled_at, retain_until, wrapped_key, templates, consent"
                " FROM people ORDER BY rowid"
            ).fetchall()
        except (OSError, sqlite3.OperationalError) as error:
            raise GalleryError(
                "gallery_unusable", f"{path}: {error}; check its owner and the space on disk."
            ) from error
        except sqlite3.Error as error:
            raise GalleryError("gallery_damaged", f"{path}: {error}; restore a backup of this terminal.") from error
        self._people = {row[2]: self._open(*row) for row in rows}

    def __len__(self) -> int:
        return len(self._people)

    def close(self) -> None:
        """Zero the templates in memory and close the file. Idempotent."""
        for enrolled in self._people.values():
            _zero(enrolled)
        self._people.clear()
        self._db.close()

    def enrol(self, consent: Consent, payer: str, mandate: bytes, templates: Templates, now: int) -> str:
        """Seal one person. Returns the person's random id.

        Raises:
            GalleryError: `mandate` where it was used before, `already_enrolled`, or `gallery_write`.
            TemplateError: `templates` are none.
        """
        checked(templates)
        if payer in self._people:
            raise GalleryError("already_enrolled", "This payer is enrolled already; withdraw first.")
        person = secrets.token_hex(8)
        key = secrets.token_bytes(32)
        seal = self._sealer(key, person, consent.purpose, payer)
        row = (
            person, consent.purpose, payer, mandate, now, consent.retain_until,
            self._element.seal(key, _associated(person, consent.purpose, payer, "key"), 1),
            seal("templates", self._networks + to_bytes(templates)), seal("consent", consent.encoded),
        )  # fmt: skip
        enrolled = self._open(*row)  # what does not open again is not stored
        try:
            with self._transaction():
                self._db.execute("INSERT INTO used_mandates VALUES (?)", (mandate,))
                self._db.execute("INSERT INTO people VALUES (?,?,?,?,?,?,?,?,?)", row)
        except sqlite3.IntegrityError as error:
            raise GalleryError("mandate", "This mandate was used before; ask for a new one.") from error
        except sqlite3.Error as error:
            raise GalleryError("gallery_write", f"{self._path}: {error}; nothing was enrolled.") from error
        self._people[payer] = enrolled
        return person

    def mandate_used(self, mandate: bytes) -> bool:
        """Whether this mandate enrolled somebody before, erased or not."""
        return self._one("SELECT 1 FROM used_mandates WHERE mandate = ?", mandate) is not None

    def find(self, payer: str, purpose: str, now: int) -> Enrolled | None:
        """The person behind a claimed payer token, for this purpose only, unless their retention has ended."""
        enrolled = self._people.get(payer)
        if enrolled is None or enrolled.purpose != purpose or now >= enrolled.retain_until:
            return None
        return enrolled

    def people(self) -> list[Enrolled]:
        """Everybody, in order of enrolment."""
        return list(self._people.values())

    def expired(self, now: int) -> list[str]:
        """Ids of people whose retention has ended and who must be erased."""
        return [e.person for e in self._people.values() if now >= e.retain_until]

    def erase(self, person: str, make_receipt: Callable[[Enrolled], bytes]) -> bytes:
        """Erase a person and return the receipt that `make_receipt` signed; erased already, the same receipt again.

        Raises:
            GalleryError: `unknown_person`; `gallery_write` with nothing erased; `gallery_log` with the person gone
                but sealed bytes left in the write-ahead log.
        """
        done = self._one("SELECT receipt FROM erasures WHERE person = ?", person)
        if done is not None:
            self.empty_log()
            return bytes(done[0])
        enrolled = next((e for e in self._people.values() if e.person == person), None)
        if enrolled is None:
            raise GalleryError("unknown_person", f"Nobody is enrolled as {person}; see `tessera people list`.")
        receipt = make_receipt(enrolled)
        try:
            with self._transaction():
                self._db.execute("DELETE FROM people WHERE person = ?", (person,))
                self._db.execute("INSERT INTO erasures VALUES (?,?)", (person, receipt))
        except sqlite3.Error as error:
            raise GalleryError("gallery_write", f"{self._path}: {error}; nothing was erased.") from error
        _zero(self._people.pop(enrolled.payer))
        self._log_dirty = True
        self.empty_log()
        return receipt

    def _one(self, query: str, key: str | bytes) -> tuple[bytes, ...] | None:
        try:
            row: tuple[bytes, ...] | None = self._db.execute(query, (key,)).fetchone()
        except sqlite3.Error as error:
            raise GalleryError("gallery_unusable", f"{self._path}: {error}.") from error
        return row

    def empty_log(self) -> None:
        """Take what was deleted out of the write-ahead log too, if that is still owed.

        Raises:
            GalleryError: `gallery_log`; ask again later.
        """
        if not self._log_dirty:
            return
        try:
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise GalleryError(
                "gallery_log", f"{self._path}: {error}; erased, but sealed bytes are left in the log: erase again."
            ) from error
        if busy:
            raise GalleryError("gallery_log", f"{self._path}: in use; erased, but sealed bytes are left: erase again.")
        self._log_dirty = False

    def _transaction(self) -> "_Immediate":
        return _Immediate(self._db)

    @staticmethod
    def _sealer(key: bytes, person: str, purpose: str, payer: str) -> Callable[[str, bytes], bytes]:
        def seal(kind: str, plaintext: bytes) -> bytes:
            nonce = secrets.token_bytes(12)
            return nonce + AESGCM(key).encrypt(nonce, plaintext, _associated(person, purpose, payer, kind))

        return seal

    def _open(
        self, person: str, purpose: str, payer: str, mandate: bytes, enrolled_at: int, retain_until: int,
        wrapped_key: bytes, templates: bytes, consent: bytes,
    ) -> Enrolled:  # fmt: skip
        def unseal(kind: str, blob: bytes) -> bytes:
            return AESGCM(key).decrypt(blob[:12], blob[12:], _associated(person, purpose, payer, kind))

        try:
            key = self._element.unseal(wrapped_key, _associated(person, purpose, payer, "key"), 1)
            sealed = unseal("templates", templates)
            if not sealed.startswith(self._networks):
                raise GalleryError(
                    "gallery_version",
                    f"{self._path}: the template of {person} was made by other networks than this version's and "
                    "cannot be compared: put the file aside and enrol again.",
                )
            values = from_bytes(sealed[len(self._networks) :])
            record = parse_consent(unseal("consent", consent))
        except SecureElementError as error:
            raise GalleryError(
                "gallery_locked_out", f"{self._path}: sealed by another secure element: {error}"
            ) from error
        except (InvalidTag, TemplateError) as error:
            raise GalleryError("gallery_damaged", f"{self._path}: the record of {person} was altered.") from error
        return Enrolled(person, purpose, payer, mandate, enrolled_at, retain_until, values, record)


class _Immediate:
    """`BEGIN IMMEDIATE` ... `COMMIT`, or `ROLLBACK` on any error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _zero(enrolled: Enrolled) -> None:
    enrolled.templates[:] = 0
