"""The gallery: who is enrolled, sealed in a file, opened only into this process's locked memory.

Rules kept here:
- Templates, consent and all else of a person are sealed under a data key of that person's own. Data keys are wrapped
  under the wrapping key of the epoch, which the secure element seals (`epochs`).
- Whatever takes something away (erasure, a withdrawn purpose, a secret set anew, a new rotation or sealing key) begins
  a new epoch: all who stay are wrapped anew in the same transaction, then the old epoch ends in the secure element. A
  copy of the file from before opens no more, on this terminal or any other.
- A person may have a secret for a purpose, which is sealed with all else of theirs and goes with the purpose.
- Cut short anywhere, the gallery is as before or as after; an epoch that still had to end does so at the next opening.
- With a template is kept which networks made it: those of other networks are not matched.
- What enrolled somebody once (mandates, a consent) enrols nobody again, also after erasure.
- Nothing that outlives its retention, or three years without contact, is matched.
- No law is known here: consent is bytes.

Within an epoch an older copy of the whole file opens: it lacks who was enrolled since.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np
from msgspec.structs import replace

from drivers.secure_element.interface import SecureElement, SecureElementError
from firmware.gallery import opening
from firmware.gallery.epochs import Wrapping
from firmware.gallery.errors import GalleryError
from firmware.gallery.held import DAY_S, MAX_PEOPLE, Enrolled, Held
from firmware.gallery.memory import MemoryLockError, SecretRows
from firmware.gallery.people import Seeds, insert, read_secrets, write_secrets, write_templates
from firmware.gallery.sealed import DTYPE, KEY_BYTES, KEYS_BYTES, DamagedError, Record, Vault
from firmware.gallery.store import Store
from firmware.vision.templates import Templates, checked

__all__ = ["DAY_S", "MAX_PEOPLE", "Enrolled", "Gallery", "GalleryError"]

Change = Callable[[sqlite3.Connection, Wrapping, Seeds], None]
Announce = Callable[[Enrolled], None]

_USED = "This mandate was used before; ask for a new one."


class Gallery:
    """Who is enrolled at this terminal. One owner, in `core`."""

    def __init__(self, path: Path, element: SecureElement, networks: bytes) -> None:
        """Open or create the file and unseal everybody; `networks` is `vision.networks.template_networks`.

        Raises:
            GalleryError: `gallery_damaged`, `gallery_unusable`, `gallery_locked_out` (another secure element),
                `gallery_erased` (put back from before an erasure), `gallery_version` (another layout, or templates
                made by other networks) or `gallery_memory`.
            SecureElementGoneError: nothing was opened.
        """
        self._path, self._element, self._networks = path, element, networks
        self._by_payer: dict[str, Held] = {}
        self._by_person: dict[str, Held] = {}
        self._owed = True  # a process before this one may have owed it
        with opening.reading(self._path):
            self._cells, self._scratch = SecretRows(MAX_PEOPLE, DTYPE), SecretRows(2, DTYPE)
            self._scratch.take(), self._scratch.take()
        self._store = Store(path)
        try:
            with opening.reading(self._path):
                self._epoch = opening.prepare(self._store, element, networks, self._scratch)
                self._load()
        except (GalleryError, SecureElementError):
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._by_person)

    @property
    def epoch(self) -> int:
        """The epoch in force."""
        return self._epoch

    def close(self) -> None:
        """Zero the templates in memory and close the file. Idempotent."""
        self._cells.close()
        self._scratch.close()
        self._by_payer.clear()
        self._by_person.clear()
        self._store.close()

    def enrol(
        self, *, consent: bytes, purposes: tuple[str, ...], payer: str, mandate: bytes, templates: Templates,
        retain_until: int, now: int, used: tuple[bytes, ...] = (), announce: Announce | None = None,
    ) -> str:  # fmt: skip
        """Seal one person. Returns their random id.

        Args:
            consent: kept sealed, and given back as it is.
            purposes: what they agreed to, one or more.
            payer: the token their face is bound to.
            mandate: id of what binds it.
            templates: layout of `vision.templates`; copied into locked memory.
            retain_until: Unix seconds.
            now: Unix seconds.
            used: further ids that may enrol nobody again: a guardian's mandate, the consent.
            announce: called with the person as they will be, before it is so; what it raises passes through.

        Raises:
            GalleryError: `mandate` where it or one of `used` was used before, `already_enrolled`, `gallery_full`,
                `gallery_memory`, `gallery_write`; nobody is enrolled.
            SecureElementError: nobody is enrolled.
            TemplateError: `templates` are none.
        """
        checked(templates)
        if not purposes or len(set(purposes)) != len(purposes):
            raise ValueError(f"purposes are {purposes}")
        if payer in self._by_payer:
            raise GalleryError("already_enrolled", "This payer is enrolled already; withdraw first.")
        if len(self) >= MAX_PEOPLE:
            raise GalleryError("gallery_full", f"{MAX_PEOPLE} people are enrolled, and more are not allowed here.")
        record = Record(purposes, payer, mandate, self._networks, now, now, retain_until, 0)
        held = Held(0, secrets.token_hex(8), self._take(), record)
        try:
            cell = held.cell(self._cells)
            cell["key"][0] = np.frombuffer(secrets.token_bytes(KEYS_BYTES), np.uint8)
            cell["templates"][0] = templates
            if announce is not None:
                announce(held.told(self._cells, consent))
            held.number = self._insert(held, consent, {mandate, *used})
        except BaseException:
            self._cells.give_back(held.row)
            raise
        self._hold(held)
        return held.person

    def find(self, payer: str, purpose: str, now: int) -> Enrolled | None:
        """The person behind a claimed payer token, for this purpose, unless their retention has ended.

        Raises:
            GalleryError: `gallery_damaged` or `gallery_unusable`: their consent cannot be read.
        """
        held = self._by_payer.get(payer)
        if held is None or purpose not in held.record.purposes or now >= held.ends_at:
            return None
        return self._enrolled(held)

    def person(self, person: str) -> Enrolled | None:
        """Somebody by their id, whatever they agreed to; with an empty consent where theirs does not open.

        Raises GalleryError: `gallery_unusable`.
        """
        held = self._by_person.get(person)
        return None if held is None else self._known(held)

    def people(self, start: int = 0, count: int | None = None) -> list[Enrolled]:
        """Everybody, or `count` from `start` on, in order of enrolment. As `person`."""
        end = None if count is None else start + count
        return [self._known(held) for held in islice(self._by_person.values(), start, end)]

    def templates(self) -> Iterator[tuple[str, Templates]]:
        """Payer and templates of everybody, as in `Enrolled`."""
        return ((payer, held.templates(self._cells)) for payer, held in self._by_payer.items())

    def mandates(self) -> Iterator[bytes]:
        """The mandates of everybody enrolled."""
        return (held.record.mandate for held in self._by_person.values())

    def expired(self, now: int) -> list[str]:
        """Ids of people whose retention has ended and who must be erased."""
        return [held.person for held in self._by_person.values() if now >= held.ends_at]

    def mandate_used(self, mandate: bytes) -> bool:
        """Whether this mandate, or another id handed in as `used`, enrolled somebody before, erased or not."""
        return self._store.one("SELECT 1 FROM used WHERE id = ?", mandate) is not None

    def erased(self, person: str) -> bytes | None:
        """The receipt of somebody's erasure."""
        row = self._store.one("SELECT receipt FROM erasures WHERE person = ?", person)
        return None if row is None else bytes(row[0])

    def seen(self, person: str, now: int) -> None:
        """Note that somebody was here; written once a day at most. Raises GalleryError: `gallery_write`."""
        held = self._of(person)
        if now - held.record.last_seen >= DAY_S:
            self._write(held, replace(held.record, last_seen=now))

    def dispute(self, person: str, now: int) -> int:
        """Note that somebody was taken for this person, or this person for somebody; returns how often by now.

        Raises:
            GalleryError: `unknown_person`, `gallery_write`.
        """
        held = self._of(person)
        record = replace(held.record, disputes=held.record.disputes + 1)
        self._write(held, replace(record, last_seen=max(record.last_seen, now)))
        return held.record.disputes

    def renew(
        self, person: str, *, consent: bytes, purposes: tuple[str, ...], retain_until: int, now: int,
        used: tuple[bytes, ...] = (),
    ) -> None:  # fmt: skip
        """Put a new consent in the place of the old; purposes that are not in it any more are withdrawn.

        `used` are ids that may enrol nobody and renew nothing again.

        Raises:
            GalleryError: `unknown_person`; `mandate` where one of `used` was used before; `new_purpose` for one that
                was not agreed to at the enrolment; `gallery_write`, `gallery_epoch` and `gallery_log` as `erase`.
            SecureElementError: nothing was changed.
        """
        held = self._of(person)
        if not purposes or not set(purposes) <= set(held.record.purposes):
            raise GalleryError("new_purpose", "A purpose cannot be added: erase, and enrol anew.")
        seen = max(held.record.last_seen, now)
        record = replace(held.record, purposes=purposes, retain_until=retain_until, last_seen=seen)
        if set(purposes) == set(held.record.purposes):
            self._write(held, record, consent, used)
        else:
            self._anew(held, record, consent, used)

    def secret(self, person: str, purpose: str) -> bytes | None:
        """What was kept by `set_secret`; None where nothing was.

        Raises:
            GalleryError: `unknown_person`; `gallery_damaged`, `gallery_unusable`: it cannot be read.
        """
        held = self._of(person)
        row = self._store.one("SELECT sealed FROM secrets WHERE id = ? AND purpose = ?", held.number, purpose)
        if row is None:
            return None
        with opening.whole(self._path):
            return held.vault(self._cells).open_secret(row[0], held.record.payer, purpose)

    def set_secret(
        self, person: str, purpose: str, secret: bytes, *, used: tuple[bytes, ...] = (),
        announce: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Seal a secret for one of their purposes, for good in the place of one that was there.

        Args:
            person: whose.
            purpose: which it is for.
            secret: what is kept.
            used: ids that may set no secret, enrol nobody and renew nothing again.
            announce: called before it is so; what it raises passes through.

        Raises:
            GalleryError: `unknown_person`, `not_agreed`; `mandate` where one of `used` was used before; others as
                `erase`.
            SecureElementError: nothing was changed.
        """
        held = self._of(person)
        if purpose not in held.record.purposes:
            raise GalleryError("not_agreed", f"They are not enrolled for {purpose}.")
        if any(self.mandate_used(one) for one in used):
            raise GalleryError("mandate", _USED)
        if announce is not None:
            announce()
        self._anew(held, held.record, self._enrolled(held).consent, used, {purpose: secret})

    def note_secret(self, person: str, purpose: str, secret: bytes) -> None:
        """Write what has changed about a secret that is there, such as a count: no copy from before is ended.

        Raises:
            GalleryError: `unknown_person`, `no_secret`, `gallery_write`; it is as it was.
        """
        held = self._of(person)
        with self._store.transaction("nothing was changed") as db:
            sealed = held.vault(self._cells).secret(secret, held.record.payer, purpose)
            changed = db.execute(
                "UPDATE secrets SET sealed = ? WHERE id = ? AND purpose = ?", (sealed, held.number, purpose)
            )
            if changed.rowcount != 1:
                raise GalleryError("no_secret", f"{person} has no secret for {purpose}.")

    def withdraw(self, person: str, purpose: str, consent: bytes, now: int) -> None:
        """Drop one purpose for good; `consent` is what is left of theirs.

        Raises:
            GalleryError: `unknown_person`; `not_agreed`; `last_purpose`: erase instead; others as `erase`.
            SecureElementError: nothing was changed.
        """
        held = self._of(person)
        if purpose not in held.record.purposes:
            raise GalleryError("not_agreed", f"They are not enrolled for {purpose}.")
        left = tuple(other for other in held.record.purposes if other != purpose)
        if not left:
            raise GalleryError("last_purpose", "It is the last purpose: erase the person instead.")
        seen = max(held.record.last_seen, now)
        self._anew(held, replace(held.record, purposes=left, last_seen=seen), consent)

    def erase(self, person: str, make_receipt: Callable[[Enrolled], bytes]) -> bytes:
        """Erase a person for good and return the receipt that `make_receipt` signed; erased already, the same again.

        Raises:
            GalleryError: `unknown_person`; `gallery_write` with nothing erased; `gallery_epoch` or `gallery_log` with
                the person gone from here, but not yet from copies of the disk: ask again, or start again.
            SecureElementError: nothing was erased.
        """
        return self.erase_all([person], make_receipt)[0]

    def erase_all(self, people: Iterable[str], make_receipt: Callable[[Enrolled], bytes]) -> list[bytes]:
        """Erase several in one epoch. Returns and raises as `erase`."""
        asked, receipts, leaving = list(people), dict[str, bytes](), dict[str, Held]()
        for person in asked:
            if (receipt := self.erased(person)) is not None:
                receipts[person] = receipt
            else:
                leaving[person] = self._of(person)
        for person, held in leaving.items():
            receipts[person] = make_receipt(self._known(held))

        def change(db: sqlite3.Connection, _: Wrapping, __: Seeds) -> None:
            db.executemany("DELETE FROM people WHERE id = ?", [(held.number,) for held in leaving.values()])
            db.executemany("INSERT INTO erasures VALUES (?, ?)", [(person, receipts[person]) for person in leaving])

        if leaving:
            self._next_epoch(change, without=leaving.keys())
            for held in leaving.values():
                del self._by_payer[held.record.payer], self._by_person[held.person]
                self._cells.give_back(held.row)
        self.finish()
        return [receipts[person] for person in asked]

    def rotate_sealing(self) -> int:
        """Wrap everybody anew under a new sealing key, and end the old one. Returns the epoch. Raises as `erase`."""
        self._next_epoch(lambda *_: None)
        self.finish()
        return self._epoch

    def reissue(self, purpose: str) -> int:
        """Turn and seal all templates of a purpose anew, and end the old. Returns how many. Raises as `erase`."""
        held_for = [held for held in self._by_person.values() if purpose in held.record.purposes]

        def change(db: sqlite3.Connection, _: Wrapping, seeds: Seeds) -> None:
            if purpose in seeds:
                seeds.renew(purpose)
            for held in held_for:
                vault = held.vault(self._cells)
                write_templates(db, vault, held.number, held.record.payer, (purpose,), seeds, self._scratch)

        self._next_epoch(change)
        self.finish()
        return len(held_for)

    def finish(self) -> None:
        """What the last new epoch still owes: end those before it, and empty the log.

        Raises:
            GalleryError: `gallery_epoch`, `gallery_log`: ask again later; `gallery_unusable`: start again.
        """
        if not self._owed:
            return
        if self._in_file() != self._epoch:
            # else an epoch would be ended, or made anew, that the file is not in or is in
            text = f"{self._path}: holds another state than this process; start the terminal again."
            raise GalleryError("gallery_unusable", text)
        try:
            self._element.end_epochs_before(self._epoch)
        except SecureElementError as error:
            text = f"The change is made, but the secure element still holds the key before it: {error}; ask again."
            raise GalleryError("gallery_epoch", text) from error
        self._store.empty_log()
        self._owed = False

    def backup(self, path: Path) -> None:
        """Write a copy of the file. It opens with this terminal's element only, and only until the epoch ends.

        Raises:
            GalleryError: `gallery_backup`.
        """
        self._store.backup(path)

    # -- opening ---------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        wrapping = opening.wrapping(self._store, self._element)
        held = opening.load(self._store, wrapping, self._networks, self._cells, self._scratch)
        with closing(held):
            for one in held:
                if one.record.payer in self._by_payer:
                    raise DamagedError(f"{one.person} and another have one payer")
                self._hold(one)

    def _wrapping(self) -> Wrapping:
        with opening.whole(self._path):
            return opening.wrapping(self._store, self._element)

    # -- one person ------------------------------------------------------------------------------------------------

    def _take(self) -> int:
        try:
            return self._cells.take()
        except MemoryLockError as error:
            raise GalleryError("gallery_memory", f"{error}.") from error

    def _hold(self, held: Held) -> None:
        self._by_payer[held.record.payer] = self._by_person[held.person] = held

    def _of(self, person: str) -> Held:
        if (held := self._by_person.get(person)) is None:
            raise GalleryError("unknown_person", f"Nobody is enrolled as {person}; see `tessera people list`.")
        return held

    def _enrolled(self, held: Held) -> Enrolled:
        row = self._store.one("SELECT consent FROM people WHERE id = ?", held.number)
        vault = held.vault(self._cells)
        with opening.whole(self._path):
            consent = vault.open_consent(b"" if row is None else row[0], held.record.payer)
        return held.told(self._cells, consent)

    def _known(self, held: Held) -> Enrolled:
        """As `_enrolled`; of whom no consent can be read any more may still be seen, and must be erased."""
        try:
            return self._enrolled(held)
        except GalleryError as error:
            if error.code != "gallery_damaged":
                raise
            return held.told(self._cells, b"")

    def _insert(self, held: Held, consent: bytes, used: Iterable[bytes]) -> int:
        wrapping = self._wrapping()
        with (
            opening.whole(self._path),
            Seeds.opened(self._store, wrapping) as seeds,
            self._store.transaction("nobody was enrolled") as db,
        ):
            _use_up(db, used)
            number = insert(
                db, wrapping, seeds, held.person, held.cell(self._cells), held.record, consent, self._scratch
            )
            seeds.write(db, wrapping, every=False)
        return number

    def _write(self, held: Held, record: Record, consent: bytes | None = None, used: Iterable[bytes] = ()) -> None:
        """Replace a person's record, and their consent if there is a new one."""
        with self._store.transaction("nothing was changed") as db:
            _use_up(db, used)
            _update(db, held.number, held.vault(self._cells), record, consent)
        held.record = record

    # -- everybody -------------------------------------------------------------------------------------------------

    def _anew(
        self,
        held: Held,
        record: Record,
        consent: bytes,
        used: Iterable[bytes] = (),
        secrets_set: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Write a person anew, in a new epoch and under a new data key, without the purposes that `record` lacks.

        Under the old one their blobs of before would open, put back one by one from a copy of the file.
        """
        anew = Held(held.number, held.person, self._take(), record)
        try:
            cell = anew.cell(self._cells)
            cell[:] = held.cell(self._cells)
            cell["key"][0, :KEY_BYTES] = np.frombuffer(secrets.token_bytes(KEY_BYTES), np.uint8)

            def change(db: sqlite3.Connection, _: Wrapping, seeds: Seeds) -> None:
                _use_up(db, used)
                vault = anew.vault(self._cells)
                known = read_secrets(db, held.vault(self._cells), held.number, record.payer) | dict(secrets_set)
                db.execute("DELETE FROM templates WHERE id = ?", (held.number,))
                db.execute("DELETE FROM secrets WHERE id = ?", (held.number,))
                write_templates(db, vault, held.number, record.payer, record.purposes, seeds, self._scratch)
                kept = {purpose: secret for purpose, secret in known.items() if purpose in record.purposes}
                write_secrets(db, vault, held.number, record.payer, kept)
                _update(db, held.number, vault, record, consent)

            self._next_epoch(change, anew=anew)
            held.cell(self._cells)["key"], held.record = cell["key"], record
        finally:
            self._cells.give_back(anew.row)
        self.finish()

    def _next_epoch(self, change: Change, without: Iterable[str] = (), anew: Held | None = None) -> None:
        """Make a change, and wrap the keys of all who stay anew, in one transaction; `finish` ends the old epoch.

        `anew` stands for the one of its name, with other keys.

        The key of the new epoch is in the element before the transaction, and the old one there until after it:
        whichever side of the commit the power fails on, what the file names can be opened.
        """
        self.finish()  # never more than two epochs
        epoch = self._epoch + 1
        self._element.prepare_epoch(epoch)
        old, new = self._wrapping(), Wrapping.new(self._element, epoch)
        leaving = set(without)
        staying = [held for held in self._by_person.values() if held.person not in leaving]
        if anew is not None:
            staying = [anew if held.person == anew.person else held for held in staying]
        self._owed = True  # also where the disk fails: what it took of the commit must leave the log before another try
        try:
            with (
                opening.whole(self._path),
                Seeds.opened(self._store, old) as seeds,
                self._store.transaction("nothing was changed") as db,
            ):
                change(db, new, seeds)
                seeds.write(db, new, every=True)
                db.executemany("UPDATE keys SET wrapped = ? WHERE id = ?", self._wrapped(staying, new))
                db.execute("DELETE FROM epochs")
                db.execute("INSERT INTO epochs VALUES (?, ?)", (epoch, new.sealed))
        except GalleryError:
            if self._in_file() != epoch:
                raise
            # reported as failed, yet it is so: the file decides
        self._epoch = epoch

    def _in_file(self) -> int:
        """The epoch that the file is in."""
        row = self._store.one("SELECT number FROM epochs ORDER BY number DESC LIMIT 1")
        if row is None:
            raise GalleryError("gallery_damaged", f"{self._path}: it names no epoch.")
        return int(row[0])

    def _wrapped(self, people: Iterable[Held], wrapping: Wrapping) -> Iterator[tuple[bytes, int]]:
        keys = self._cells.rows["key"]
        for held in people:
            yield wrapping.wrap(keys[held.row].data, "key", held.person), held.number


def _use_up(db: sqlite3.Connection, used: Iterable[bytes]) -> None:
    """Remember what may be used once. Raises GalleryError `mandate`, which ends the transaction."""
    try:
        db.executemany("INSERT INTO used VALUES (?)", [(one,) for one in set(used)])
    except sqlite3.IntegrityError as error:
        raise GalleryError("mandate", _USED) from error


def _update(db: sqlite3.Connection, number: int, vault: Vault, record: Record, consent: bytes | None) -> None:
    db.execute("UPDATE people SET record = ? WHERE id = ?", (vault.record(record), number))
    if consent is not None:
        db.execute("UPDATE people SET consent = ? WHERE id = ?", (vault.consent(consent, record.payer), number))
