"""What only one person knows is sealed with all else of theirs, and goes where they and its purpose go."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from drivers.secure_element.software import in_memory
from firmware.gallery.gallery import Gallery, GalleryError
from tests.gallery.people import CONSENT, NOW, UNTIL, enrol, is_whole, opened

SECRET = b"known to ada alone, and to nobody besides"
BOTH = ("payment", "door")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    with closing(opened(path, in_memory())) as made:
        yield made


def code(call: Callable[[], object]) -> str:
    with pytest.raises(GalleryError) as caught:
        call()
    return caught.value.code


def everything(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in path.parent.glob("gallery.db*"))


def row(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        return bytes(db.execute("SELECT sealed FROM secrets").fetchone()[0])


def put_back(path: Path, sealed: bytes) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE secrets SET sealed = ?", (sealed,))


def test_secret_is_there_again_after_a_restart_and_nowhere_in_the_clear(path: Path) -> None:
    element = in_memory()
    with closing(opened(path, element)) as gallery:
        person = enrol(gallery)
        assert gallery.secret(person, "payment") is None
        gallery.set_secret(person, "payment", SECRET)
        assert SECRET not in everything(path)
    with closing(opened(path, element)) as gallery:
        assert gallery.secret(person, "payment") == SECRET
        assert is_whole(gallery, 1)


def test_secret_of_one_person_opens_for_no_other(path: Path) -> None:
    element = in_memory()
    with closing(opened(path, element)) as gallery:
        first, second = enrol(gallery, 1), enrol(gallery, 2)
        for person in (first, second):
            gallery.set_secret(person, "payment", SECRET + person.encode())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE id = 1) WHERE id = 2")
    with closing(opened(path, element)) as gallery:
        assert gallery.secret(first, "payment") == SECRET + first.encode()
        assert code(lambda: gallery.secret(second, "payment")) == "gallery_damaged"


def test_secret_that_was_replaced_does_not_open_again(path: Path) -> None:
    element = in_memory()
    with closing(opened(path, element)) as gallery:
        person = enrol(gallery)
        gallery.set_secret(person, "payment", b"the old one")
    old = row(path)
    with closing(opened(path, element)) as gallery:
        gallery.set_secret(person, "payment", b"the new one")
        assert old not in everything(path)
    put_back(path, old)
    with closing(opened(path, element)) as gallery:
        assert code(lambda: gallery.secret(person, "payment")) == "gallery_damaged"


def test_copy_of_the_file_from_before_a_secret_was_replaced_does_not_open(path: Path) -> None:
    element = in_memory()
    with closing(opened(path, element)) as gallery:
        person = enrol(gallery)
        gallery.set_secret(person, "payment", b"the old one")
        gallery.backup(path.with_name("copy.db"))
        gallery.set_secret(person, "payment", b"the new one")
    assert code(lambda: opened(path.with_name("copy.db"), element)) == "gallery_erased"


def test_noting_changes_what_is_there_and_makes_nothing(path: Path) -> None:
    element = in_memory()
    with closing(opened(path, element)) as gallery:
        person, epoch = enrol(gallery), gallery.epoch
        assert code(lambda: gallery.note_secret(person, "payment", SECRET)) == "no_secret"
        assert gallery.secret(person, "payment") is None
        gallery.set_secret(person, "payment", SECRET)
        assert gallery.epoch == epoch + 1
        gallery.note_secret(person, "payment", b"counted")
        assert gallery.epoch == epoch + 1
    with closing(opened(path, element)) as gallery:
        assert gallery.secret(person, "payment") == b"counted"


def test_secret_goes_with_the_person(gallery: Gallery, path: Path) -> None:
    person = enrol(gallery)
    enrol(gallery, 2)
    gallery.set_secret(person, "payment", SECRET)
    gallery.erase(person, lambda _: b"receipt")
    assert code(lambda: gallery.secret(person, "payment")) == "unknown_person"
    gallery.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM secrets").fetchone() == (0,)


def test_secret_goes_with_its_purpose(gallery: Gallery) -> None:
    person = enrol(gallery, purposes=BOTH)
    gallery.set_secret(person, "payment", SECRET)
    gallery.withdraw(person, "payment", CONSENT, NOW)
    assert gallery.secret(person, "payment") is None
    assert code(lambda: gallery.set_secret(person, "payment", SECRET)) == "not_agreed"


def test_secret_stays_where_another_purpose_goes(path: Path) -> None:
    element = in_memory()
    with closing(opened(path, element)) as gallery:
        person = enrol(gallery, purposes=BOTH)
        gallery.set_secret(person, "payment", SECRET)
        gallery.withdraw(person, "door", CONSENT, NOW)
    with closing(opened(path, element)) as gallery:
        assert gallery.secret(person, "payment") == SECRET


def test_secret_stays_through_renewal_and_rotation(gallery: Gallery) -> None:
    person = enrol(gallery)
    gallery.set_secret(person, "payment", SECRET)
    gallery.renew(person, consent=CONSENT + b"\x01", purposes=("payment",), retain_until=UNTIL, now=NOW)
    gallery.rotate_sealing()
    gallery.reissue("payment")
    assert gallery.secret(person, "payment") == SECRET
    assert is_whole(gallery, 1)


def test_what_was_used_once_sets_no_secret(gallery: Gallery) -> None:
    person, mandate = enrol(gallery), bytes([77]) * 16
    gallery.set_secret(person, "payment", SECRET, used=(mandate,))
    told: list[str] = []

    def again() -> None:
        gallery.set_secret(person, "payment", b"another", used=(mandate,), announce=lambda: told.append("announced"))

    assert code(again) == "mandate"
    assert told == [], "nothing is announced that is not done"
    assert gallery.secret(person, "payment") == SECRET


def test_who_cannot_be_told_beforehand_gets_no_secret(gallery: Gallery) -> None:
    person = enrol(gallery)

    def refuse() -> None:
        raise GalleryError("told", "the log is full")

    assert code(lambda: gallery.set_secret(person, "payment", SECRET, used=(bytes(16),), announce=refuse)) == "told"
    assert gallery.secret(person, "payment") is None
    assert not gallery.mandate_used(bytes(16))


def test_full_disk_keeps_the_old_secret(gallery: Gallery, path: Path) -> None:
    person = enrol(gallery)
    gallery.set_secret(person, "payment", SECRET)
    db = gallery._store._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    assert code(lambda: gallery.set_secret(person, "payment", bytes(100_000))) == "gallery_write"
    assert code(lambda: gallery.note_secret(person, "payment", bytes(100_000))) == "gallery_write"
    assert gallery.secret(person, "payment") == SECRET
