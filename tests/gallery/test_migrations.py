"""An older gallery is brought to this layout whole, or left as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from drivers.secure_element.software import in_memory
from firmware.gallery.gallery import GalleryError
from tests.gallery.old_gallery import write_version_2
from tests.gallery.people import NETWORKS, enrol, is_whole, opened


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


def refused(path: Path, element: object) -> str:
    with pytest.raises(GalleryError) as caught:
        opened(path, element)  # type: ignore[arg-type]
    return caught.value.code


def test_everybody_of_version_2_is_there_again(tmp_path: Path) -> None:
    path, element = tmp_path / "gallery.db", in_memory()
    write_version_2(path, element, people=3, erased=2)
    for _ in range(2):
        with closing(opened(path, element)) as gallery:
            assert [is_whole(gallery, seed) for seed in (1, 2, 3)] == [True] * 3
            assert gallery.people()[0].person == f"{1:016x}"
            assert gallery.erased("gone-1") == b"receipt"
            assert gallery.mandate_used(bytes([255]) * 16)
            assert gallery.mandate_used(bytes([3]) * 16)
    assert version(path) == 4
    assert "_2" not in "".join(line for line in dump(path) if line.startswith("CREATE"))
    with closing(opened(path, element)) as gallery:
        enrol(gallery, 9)
        gallery.erase(gallery.people()[0].person, lambda _: b"receipt")
        assert is_whole(gallery, 2)


def test_old_sealed_bytes_leave_the_file(tmp_path: Path) -> None:
    path, element = tmp_path / "gallery.db", in_memory()
    write_version_2(path, element, people=2, erased=0)
    with closing(sqlite3.connect(path)) as db:
        blobs = [bytes(blob) for row in db.execute("SELECT wrapped_key, templates FROM people") for blob in row]
    with closing(opened(path, element)) as gallery:
        gallery.finish()
    left = b"".join(one.read_bytes() for one in tmp_path.glob("gallery.db*"))
    assert not [blob for blob in blobs if blob[-32:] in left]


@pytest.mark.parametrize("broken", ["template", "consent", "key"])
def test_record_that_does_not_open_leaves_the_old_file(tmp_path: Path, broken: str) -> None:
    path, element = tmp_path / "gallery.db", in_memory()
    write_version_2(path, element, people=3, erased=1)
    column = {"template": "templates", "consent": "consent", "key": "wrapped_key"}[broken]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE people SET {column} = (SELECT {column} FROM people LIMIT 1) WHERE payer = 'payer-3'")
    before = dump(path)
    assert refused(path, element) in ("gallery_damaged", "gallery_locked_out")
    assert dump(path) == before
    assert version(path) == 2


def test_old_gallery_of_another_element_is_left(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    write_version_2(path, in_memory(), people=1, erased=0)
    before = dump(path)
    assert refused(path, in_memory()) == "gallery_locked_out"
    assert dump(path) == before


def test_old_templates_of_other_networks_are_kept_and_refused(tmp_path: Path) -> None:
    path, element = tmp_path / "gallery.db", in_memory()
    write_version_2(path, element, people=1, erased=0, networks=NETWORKS[::-1])
    assert refused(path, element) == "gallery_version"


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, element = tmp_path / "gallery.db", in_memory()
    write_version_2(path, element, people=3, erased=0)
    before = dump(path)
    monkeypatch.setattr("firmware.gallery.store.PRAGMAS", ("locking_mode=EXCLUSIVE", "max_page_count=9"))
    assert refused(path, element) == "gallery_write"
    assert dump(path) == before
    monkeypatch.undo()
    with closing(opened(path, element)) as gallery:
        assert len(gallery) == 3


@pytest.mark.parametrize("other", [1, 5])
def test_gallery_of_a_layout_that_is_not_known_is_refused_with_what_to_do(tmp_path: Path, other: int) -> None:
    path = tmp_path / "gallery.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {other}")
    with pytest.raises(
        GalleryError, match=rf"version {other}, this software reads 2, 3 and 4; .*enrol again"
    ) as refusal:
        opened(path, in_memory())
    assert refusal.value.code == "gallery_version"
    assert version(path) == other


def back_to_3(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE secrets")
        db.execute("PRAGMA user_version = 3")


def test_everybody_of_version_3_is_there_again_and_may_have_a_secret(tmp_path: Path) -> None:
    path, element = tmp_path / "gallery.db", in_memory()
    with closing(opened(path, element)) as gallery:
        person = enrol(gallery)
    back_to_3(path)
    for _ in range(2):
        with closing(opened(path, element)) as gallery:
            assert is_whole(gallery, 1)
            assert gallery.secret(person, "payment") is None
    assert version(path) == 4
    with closing(opened(path, element)) as gallery:
        gallery.set_secret(person, "payment", b"known to ada")
        assert gallery.secret(person, "payment") == b"known to ada"


def test_version_3_of_another_element_is_left(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    with closing(opened(path, in_memory())) as gallery:
        enrol(gallery)
    back_to_3(path)
    before = dump(path)
    assert refused(path, in_memory()) == "gallery_locked_out"
    assert (dump(path), version(path)) == (before, 3)


def test_version_3_from_before_an_erasure_is_left(tmp_path: Path) -> None:
    path, element = tmp_path / "gallery.db", in_memory()
    with closing(opened(path, element)) as gallery:
        person = enrol(gallery)
        enrol(gallery, 2)
        gallery.backup(tmp_path / "copy.db")
        gallery.erase(person, lambda _: b"receipt")
    back_to_3(tmp_path / "copy.db")
    before = dump(tmp_path / "copy.db")
    assert refused(tmp_path / "copy.db", element) == "gallery_erased"
    assert dump(tmp_path / "copy.db") == before
