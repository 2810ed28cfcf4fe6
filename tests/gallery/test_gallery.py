"""The gallery: what is stolen opens nowhere else, what is withdrawn is gone."""

import datetime
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.secure_element.interface import SecureElement
from drivers.secure_element.software import create
from firmware.gallery.consent import Consent
from firmware.gallery.gallery import Gallery, GalleryError
from firmware.vision.templates import TEMPLATE_SHAPE, TemplateError

NOW = 1_790_000_000
CONSENT = Consent("Ada Lovelace", "payment", "ab" * 32, 10, datetime.date(1990, 1, 1), NOW)
NETWORKS = bytes(range(32))


def templates(seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=TEMPLATE_SHAPE).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def element(tmp_path_factory: pytest.TempPathFactory) -> SecureElement:
    return create(tmp_path_factory.mktemp("key") / "element", b"correct horse")


@pytest.fixture
def gallery(tmp_path: Path, element: SecureElement) -> Iterator[Gallery]:
    gallery = Gallery(tmp_path / "gallery.db", element, NETWORKS)
    yield gallery
    gallery.close()


def refused(code: str) -> "pytest.RaisesExc[GalleryError]":
    return pytest.raises(GalleryError, check=lambda error: error.code == code)


def enrol(gallery: Gallery, seed: int = 1) -> str:
    return gallery.enrol(CONSENT, f"payer-{seed}", bytes([seed]) * 16, templates(seed), NOW)


def test_enrolled_person_survives_a_restart(gallery: Gallery, tmp_path: Path, element: SecureElement) -> None:
    person = enrol(gallery)
    gallery.close()
    again = Gallery(tmp_path / "gallery.db", element, NETWORKS)
    found = again.find("payer-1", "payment", NOW)
    assert found is not None
    assert found.person == person
    assert found.consent == CONSENT
    np.testing.assert_array_equal(found.templates, templates(1))
    again.close()


def test_no_template_name_or_key_lies_in_the_files_in_clear(gallery: Gallery, tmp_path: Path) -> None:
    enrol(gallery)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("gallery.db*"))
    assert templates(1).astype("<f4").tobytes()[:16] not in stored
    assert b"Lovelace" not in stored
    assert b"payer-1" in stored


def test_stolen_gallery_does_not_open_with_another_element(gallery: Gallery, tmp_path: Path) -> None:
    enrol(gallery)
    gallery.close()
    with refused("gallery_locked_out"):
        Gallery(tmp_path / "gallery.db", create(tmp_path / "other", b"correct horse"), NETWORKS)


def test_template_moved_to_another_payer_does_not_open(
    gallery: Gallery, tmp_path: Path, element: SecureElement
) -> None:
    enrol(gallery, 1)
    enrol(gallery, 2)
    gallery.close()
    with sqlite3.connect(tmp_path / "gallery.db") as db:
        row = db.execute("SELECT wrapped_key, templates, consent FROM people WHERE payer = 'payer-1'").fetchone()
        db.execute("UPDATE people SET wrapped_key = ?, templates = ?, consent = ? WHERE payer = 'payer-2'", row)
    with refused("gallery_locked_out"):
        Gallery(tmp_path / "gallery.db", element, NETWORKS)


def test_flipped_bit_in_a_template_is_noticed(gallery: Gallery, tmp_path: Path, element: SecureElement) -> None:
    enrol(gallery)
    gallery.close()
    with sqlite3.connect(tmp_path / "gallery.db") as db:
        (blob,) = db.execute("SELECT templates FROM people").fetchone()
        db.execute("UPDATE people SET templates = ?", (blob[:-1] + bytes([blob[-1] ^ 1]),))
    with refused("gallery_damaged"):
        Gallery(tmp_path / "gallery.db", element, NETWORKS)


def test_mandate_enrols_once_even_after_erasure(gallery: Gallery) -> None:
    gallery.erase(enrol(gallery), lambda _: b"receipt")
    with refused("mandate"):
        enrol(gallery)
    assert gallery.mandate_used(bytes([1]) * 16)


def test_second_enrolment_of_a_payer_is_refused(gallery: Gallery) -> None:
    enrol(gallery)
    with refused("already_enrolled"):
        gallery.enrol(CONSENT, "payer-1", bytes([9]) * 16, templates(9), NOW)


def test_template_is_found_for_its_purpose_and_until_its_retention_ends(gallery: Gallery) -> None:
    person = enrol(gallery)
    assert gallery.find("payer-1", "door", NOW) is None
    assert gallery.find("payer-1", "payment", CONSENT.retain_until - 1) is not None
    assert gallery.find("payer-1", "payment", CONSENT.retain_until) is None
    assert gallery.expired(CONSENT.retain_until) == [person]


def test_erasure_leaves_nothing_on_disk_or_in_memory(gallery: Gallery, tmp_path: Path) -> None:
    person = enrol(gallery)
    enrolled = gallery.people()[0]
    sealed = [
        bytes(part)
        for part in sqlite3.connect(tmp_path / "gallery.db")
        .execute("SELECT wrapped_key, templates, consent FROM people")
        .fetchone()
    ]
    assert gallery.erase(person, lambda _: b"receipt") == b"receipt"
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("gallery.db*"))
    assert not [part for part in sealed if part in stored or part[-32:] in stored]
    assert not enrolled.templates.any()
    assert gallery.find("payer-1", "payment", NOW) is None
    assert len(gallery) == 0


def test_erasing_twice_gives_the_same_receipt(gallery: Gallery) -> None:
    person = enrol(gallery)
    gallery.erase(person, lambda _: b"first")
    assert gallery.erase(person, lambda _: b"second") == b"first"


def test_erasing_a_stranger_is_refused(gallery: Gallery) -> None:
    with refused("unknown_person"):
        gallery.erase("0" * 16, lambda _: b"receipt")


def test_erasure_whose_receipt_cannot_be_signed_erases_nothing(gallery: Gallery) -> None:
    person = enrol(gallery)

    def no_key(_: object) -> bytes:
        raise GalleryError("test", "the key is gone")

    with refused("test"):
        gallery.erase(person, no_key)
    assert gallery.find("payer-1", "payment", NOW) is not None


def test_full_disk_enrols_nobody_and_loses_nobody(tmp_path: Path, element: SecureElement) -> None:
    gallery = Gallery(tmp_path / "gallery.db", element, NETWORKS)
    enrol(gallery, 1)
    pages = gallery._db.execute("PRAGMA page_count").fetchone()[0]
    gallery._db.execute(f"PRAGMA max_page_count={pages}")
    with refused("gallery_write"):
        for seed in range(2, 60):
            enrol(gallery, seed)
    enrolled = len(gallery)
    gallery.close()
    again = Gallery(tmp_path / "gallery.db", element, NETWORKS)
    assert len(again) == enrolled
    again.close()


def test_file_that_is_no_database_is_one_clear_error(tmp_path: Path, element: SecureElement) -> None:
    (tmp_path / "gallery.db").write_bytes(b"not a database" * 100)
    with refused("gallery_damaged"):
        Gallery(tmp_path / "gallery.db", element, NETWORKS)


def test_gallery_of_the_format_before_is_refused_with_what_to_do(tmp_path: Path, element: SecureElement) -> None:
    with sqlite3.connect(tmp_path / "gallery.db") as db:
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(GalleryError, match=r"version 1, this software reads 2; .*enrol again") as refusal:
        Gallery(tmp_path / "gallery.db", element, NETWORKS)
    assert refusal.value.code == "gallery_version"


def test_templates_that_other_networks_made_are_refused_with_what_to_do(
    gallery: Gallery, tmp_path: Path, element: SecureElement
) -> None:
    person = enrol(gallery)
    gallery.close()
    with pytest.raises(GalleryError, match=rf"{person} was made by other networks .*enrol again") as refusal:
        Gallery(tmp_path / "gallery.db", element, bytes(32))
    assert refusal.value.code == "gallery_version"
    Gallery(tmp_path / "gallery.db", element, NETWORKS).close()


@pytest.mark.parametrize("bad", [np.zeros(TEMPLATE_SHAPE, np.float32), np.ones(128, np.float32)])
def test_what_is_no_template_is_not_enrolled(gallery: Gallery, bad: NDArray[np.float32]) -> None:
    with pytest.raises(TemplateError):
        gallery.enrol(CONSENT, "payer-1", bytes([9]) * 16, bad, NOW)
    assert len(gallery) == 0


def test_templates_made_of_a_minor_are_marked_as_such_for_good(gallery: Gallery) -> None:
    """Also once they are of age: the face that was measured was a child's."""
    born = datetime.date(2009, 1, 1)  # 17 at NOW
    gallery.enrol(msgspec.structs.replace(CONSENT, date_of_birth=born), "payer-1", bytes(16), templates(1), NOW)
    enrol(gallery, 2)
    young, old = gallery.people()
    assert young.minor
    assert not old.minor
