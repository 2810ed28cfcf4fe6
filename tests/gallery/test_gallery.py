"""The gallery: what is stolen opens nowhere else, what is withdrawn is gone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from drivers.secure_element.interface import SecureElement, SecureElementGoneError
from drivers.secure_element.software import SoftwareSecureElement, in_memory
from firmware.gallery.gallery import Enrolled, Gallery, GalleryError
from firmware.gallery.held import DAY_S, LONGEST_UNSEEN_S
from firmware.gallery.people import Seeds
from firmware.gallery.sealed import seal
from firmware.vision.templates import TEMPLATE_SHAPE, TemplateError
from tests.gallery.people import CONSENT, NETWORKS, NOW, UNTIL, enrol, is_whole, opened, templates

BOTH = ("payment", "door")


@pytest.fixture
def element() -> SecureElement:
    return in_memory()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path, element: SecureElement) -> Iterator[Gallery]:
    gallery = opened(path, element)
    yield gallery
    gallery.close()


def refused(code: str) -> "pytest.RaisesExc[GalleryError]":
    return pytest.raises(GalleryError, check=lambda error: error.code == code)


def receipt(_: Enrolled) -> bytes:
    return b"receipt"


def stored(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in path.parent.glob("gallery.db*"))


def altered(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement, values).rowcount > 0


def test_enrolled_person_survives_a_restart(gallery: Gallery, path: Path, element: SecureElement) -> None:
    person = enrol(gallery)
    before = gallery.people()[0]
    key = before.audit_key
    gallery.close()
    again = opened(path, element)
    found = again.find("payer-1", "payment", NOW)
    assert found is not None
    assert (found.person, found.consent, found.mandate) == (person, CONSENT + b"\1", bytes([1]) * 16)
    assert (found.enrolled_at, found.last_seen, found.retain_until, found.disputes) == (NOW, NOW, UNTIL, 0)
    assert found.audit_key == key
    np.testing.assert_allclose(found.templates, templates(1), atol=1e-6)
    again.close()


def test_missing_template_stays_missing(gallery: Gallery, path: Path, element: SecureElement) -> None:
    flat = templates(1)
    flat[1] = 0
    gallery.enrol(
        consent=b"", purposes=BOTH, payer="flat", mandate=b"m", templates=flat, retain_until=UNTIL, now=NOW
    )  # fmt: skip
    gallery.close()
    again = opened(path, element)
    assert not again.people()[0].templates[1].any()
    assert again.people()[0].templates[0].all()
    again.close()


def test_nothing_of_a_person_lies_in_the_files_in_clear(gallery: Gallery, path: Path) -> None:
    person = enrol(gallery)
    while_open = stored(path)
    gallery.close()
    for written in (while_open, stored(path)):
        assert templates(1).astype("<f4").tobytes()[:16] not in written
        assert b"Lovelace" not in written
        assert b"payer-1" not in written
        assert person.encode() in written


def test_two_purposes_of_one_face_are_different_numbers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed: list[bytes] = []

    def watched(key: AESGCM, plaintext: bytes | memoryview, names: bytes) -> bytes:
        sealed.append(bytes(plaintext))
        return seal(key, plaintext, names)

    monkeypatch.setattr("firmware.gallery.sealed.seal", watched)
    gallery = opened(path, in_memory())
    enrol(gallery, purposes=BOTH)
    payment, door = (np.frombuffer(one, "<f4").reshape(-1, 128) for one in sealed if len(one) == 3072)
    for turned in (payment, door):
        assert np.abs(np.sum(turned * templates(1).reshape(-1, 128), axis=1)).max() < 0.5
    assert np.abs(np.sum(payment * door, axis=1)).max() < 0.5
    gallery.close()


def test_stolen_gallery_does_not_open_with_another_element(gallery: Gallery, path: Path) -> None:
    enrol(gallery)
    gallery.close()
    with refused("gallery_locked_out"):
        opened(path, in_memory())


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE people SET record = (SELECT record FROM people WHERE id = 1) WHERE id = 2",
        "UPDATE keys SET wrapped = (SELECT wrapped FROM keys WHERE id = 1) WHERE id = 2",
        "UPDATE templates SET sealed = (SELECT sealed FROM templates WHERE id = 1 AND purpose = 'payment')"
        " WHERE id = 2",
        "UPDATE templates SET sealed = (SELECT sealed FROM templates WHERE id = 1 AND purpose = 'payment')"
        " WHERE id = 1 AND purpose = 'door'",
        "UPDATE people SET person = person || '0' WHERE id = 1",
        "DELETE FROM templates WHERE id = 1 AND purpose = 'door'",
        "DELETE FROM transforms WHERE purpose = 'door'",
        "UPDATE transforms SET wrapped = (SELECT wrapped FROM transforms WHERE purpose = 'payment')"
        " WHERE purpose = 'door'",
        "UPDATE epochs SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) AS BLOB)",
    ],
)
def test_what_was_moved_to_another_person_or_purpose_does_not_open(
    gallery: Gallery, path: Path, element: SecureElement, swap: str
) -> None:
    enrol(gallery, 1, BOTH)
    enrol(gallery, 2)
    gallery.close()
    altered(path, swap)
    with pytest.raises(GalleryError) as caught:
        opened(path, element)
    assert caught.value.code in ("gallery_damaged", "gallery_locked_out")


def test_somebody_elses_whole_row_does_not_open_under_another_name(
    gallery: Gallery, path: Path, element: SecureElement
) -> None:
    """Key and all: the name is bound into the key's wrapping."""
    one, _ = enrol(gallery, 1), enrol(gallery, 2)
    gallery.close()
    altered(path, "UPDATE people SET person = 'x' WHERE id = 2")
    altered(path, "UPDATE people SET person = CASE person WHEN 'x' THEN ? ELSE 'y' END", one)
    with refused("gallery_damaged"):
        opened(path, element)


@pytest.mark.parametrize(
    ("table", "column"), [("people", "record"), ("keys", "wrapped"), ("templates", "sealed"), ("transforms", "wrapped")]
)
@pytest.mark.parametrize("at", [0, 20, -1])
def test_flipped_bit_is_noticed(
    gallery: Gallery, path: Path, element: SecureElement, table: str, column: str, at: int
) -> None:
    enrol(gallery)
    gallery.close()
    with closing(sqlite3.connect(path)) as db:
        blob = bytearray(db.execute(f"SELECT {column} FROM {table}").fetchone()[0])
    blob[at] ^= 1
    altered(path, f"UPDATE {table} SET {column} = ?", bytes(blob))
    with refused("gallery_damaged"):
        opened(path, element)


def test_altered_consent_is_noticed_when_it_is_asked_for(gallery: Gallery, path: Path, element: SecureElement) -> None:
    enrol(gallery, 1)
    enrol(gallery, 2)
    gallery.close()
    altered(path, "UPDATE people SET consent = (SELECT consent FROM people WHERE id = 2) WHERE id = 1")
    again = opened(path, element)
    with refused("gallery_damaged"):
        again.find("payer-1", "payment", NOW)
    assert is_whole(again, 2)
    again.close()


def test_mandate_enrols_once_even_after_erasure(gallery: Gallery) -> None:
    gallery.erase(enrol(gallery), receipt)
    with refused("mandate"):
        enrol(gallery)
    assert gallery.mandate_used(bytes([1]) * 16)
    assert len(gallery) == 0


def test_what_else_was_used_enrols_nobody_again(gallery: Gallery) -> None:
    """A guardian's mandate, or the consent of somebody who withdrew within the day."""
    gallery.erase(enrol(gallery, 1, used=(b"consent",)), receipt)
    with refused("mandate"):
        enrol(gallery, 2, used=(b"guardian", b"consent"))
    assert not gallery.mandate_used(bytes([2]) * 16)
    assert not gallery.mandate_used(b"guardian")
    enrol(gallery, 2, used=(b"guardian",))


def test_second_enrolment_of_a_payer_is_refused(gallery: Gallery) -> None:
    enrol(gallery)
    with refused("already_enrolled"):
        enrol(gallery)


def test_template_is_found_for_its_purposes_and_until_its_retention_ends(gallery: Gallery) -> None:
    person = enrol(gallery)
    assert gallery.find("payer-1", "door", NOW) is None
    assert gallery.find("payer-1", "payment", UNTIL - 1) is not None
    assert gallery.find("payer-1", "payment", UNTIL) is None
    assert gallery.expired(UNTIL - 1) == []
    assert gallery.expired(UNTIL) == [person]
    enrol(gallery, 2, BOTH)
    assert gallery.find("payer-2", "door", NOW) is not None


def test_who_was_not_seen_for_three_years_is_gone(gallery: Gallery, path: Path, element: SecureElement) -> None:
    person = gallery.enrol(
        consent=b"", purposes=("door",), payer="p", mandate=b"m", templates=templates(1),
        retain_until=NOW + 5 * LONGEST_UNSEEN_S, now=NOW,
    )  # fmt: skip
    assert gallery.find("p", "door", NOW + LONGEST_UNSEEN_S) is None
    later = NOW + LONGEST_UNSEEN_S - 1
    assert gallery.find("p", "door", later) is not None
    gallery.seen(person, later)
    gallery.close()
    again = opened(path, element)
    assert again.find("p", "door", later + LONGEST_UNSEEN_S - 1) is not None
    assert again.expired(later + LONGEST_UNSEEN_S) == [person]
    again.close()


def test_being_seen_is_written_once_a_day(gallery: Gallery) -> None:
    person = enrol(gallery)
    gallery.seen(person, NOW + DAY_S - 1)
    assert gallery.people()[0].last_seen == NOW
    gallery.seen(person, NOW + DAY_S)
    assert gallery.people()[0].last_seen == NOW + DAY_S
    gallery.seen(person, NOW - 5)  # a clock that was set back
    assert gallery.people()[0].last_seen == NOW + DAY_S


def test_disputes_are_counted_and_kept(gallery: Gallery, path: Path, element: SecureElement) -> None:
    person = enrol(gallery)
    assert [gallery.dispute(person, NOW), gallery.dispute(person, NOW)] == [1, 2]
    gallery.close()
    again = opened(path, element)
    assert again.people()[0].disputes == 2
    again.close()


def test_erasure_leaves_nothing_on_disk_or_in_memory(gallery: Gallery, path: Path) -> None:
    person = enrol(gallery, 1, BOTH)
    enrol(gallery, 2)
    erased = gallery.people()[0]
    gallery.finish()
    gallery._store.empty_log()
    blobs = [bytes(row[0]) for row in gallery._store.rows(
        "SELECT record FROM people WHERE id = 1 UNION SELECT consent FROM people WHERE id = 1"
        " UNION SELECT wrapped FROM keys UNION SELECT sealed FROM templates WHERE id = 1"
    )]  # fmt: skip
    assert len(blobs) == 6
    assert all(blob[-32:] in stored(path) for blob in blobs)
    assert gallery.erase(person, receipt) == b"receipt"
    assert gallery.erased(person) == b"receipt"
    assert not [blob for blob in blobs if blob[:32] in stored(path) or blob[-32:] in stored(path)]
    assert not erased.templates.any()
    assert not gallery._cells.rows["key"][0].any()
    assert gallery.find("payer-1", "payment", NOW) is None
    assert is_whole(gallery, 2)


def test_everybody_else_stays_after_an_erasure(gallery: Gallery, path: Path, element: SecureElement) -> None:
    people = [enrol(gallery, seed, BOTH) for seed in range(1, 8)]
    gallery.erase(people[2], receipt)
    told = gallery.erase_all([people[4], people[2], people[5], people[4]], lambda one: one.payer.encode())
    assert told == [b"payer-5", b"receipt", b"payer-6", b"payer-5"]
    enrol(gallery, 9)
    for _ in range(2):
        assert [is_whole(gallery, seed, BOTH) for seed in (1, 2, 4, 7)] == [True] * 4
        assert is_whole(gallery, 9)
        assert len(gallery) == 5
        gallery.close()
        gallery = opened(path, element)
    gallery.close()


def test_erasing_twice_gives_the_same_receipt_and_one_epoch(gallery: Gallery) -> None:
    person = enrol(gallery)
    gallery.erase(person, lambda _: b"first")
    epoch = gallery.epoch
    assert gallery.erase(person, lambda _: b"second") == b"first"
    assert gallery.epoch == epoch


def test_erasing_a_stranger_is_refused(gallery: Gallery) -> None:
    with refused("unknown_person"):
        gallery.erase("0" * 16, receipt)


def test_erasure_whose_receipt_cannot_be_signed_erases_nothing(gallery: Gallery) -> None:
    person = enrol(gallery)

    def no_key(_: object) -> bytes:
        raise GalleryError("test", "the key is gone")

    with refused("test"):
        gallery.erase(person, no_key)
    assert is_whole(gallery, 1)


class Fails:
    """An element that is gone once `after` is asked."""

    def __init__(self, element: SoftwareSecureElement, after: str) -> None:
        self._element, self._after, self.gone = element, after, False

    def __getattr__(self, name: str) -> object:
        self.gone |= name == self._after
        if self.gone:
            raise SecureElementGoneError(f"{name}: the token was pulled out")
        return getattr(self._element, name)


@pytest.mark.parametrize("at", ["prepare_epoch", "seal", "unseal"])
def test_element_that_goes_before_the_commit_loses_nobody(path: Path, at: str) -> None:
    element = in_memory()
    gallery = opened(path, element)
    person = enrol(gallery)
    gallery._element = Fails(element, at)  # type: ignore[assignment]
    with pytest.raises(SecureElementGoneError):
        gallery.erase(person, receipt)
    assert gallery.erased(person) is None
    gallery.close()
    again = opened(path, element)
    assert is_whole(again, 1)
    again.close()


def test_element_that_goes_before_the_old_epoch_ended_still_owes_it(path: Path) -> None:
    element = in_memory()
    gallery = opened(path, element)
    enrol(gallery, 2)
    person = enrol(gallery)
    gallery._element = Fails(element, "end_epochs_before")  # type: ignore[assignment]
    gallery._owed = False
    with refused("gallery_epoch"):
        gallery.erase(person, receipt)
    assert gallery.find("payer-1", "payment", NOW) is None
    element.seal(b"", b"", 1)  # still stands
    gallery.close()
    again = opened(path, element)
    with pytest.raises(Exception, match="epoch 1 has ended"):
        element.seal(b"", b"", 1)
    assert is_whole(again, 2)
    assert again.erased(person) == b"receipt"
    again.close()


def test_withdrawn_purpose_is_gone_for_good_and_the_other_stays(
    gallery: Gallery, path: Path, element: SecureElement
) -> None:
    person, epoch = enrol(gallery, 1, BOTH), gallery.epoch
    with refused("not_agreed"):
        gallery.withdraw(person, "parking", b"", NOW)
    gallery.withdraw(person, "payment", b"door only", NOW + 5)
    assert gallery.epoch == epoch + 1
    for _ in range(2):
        assert gallery.find("payer-1", "payment", NOW) is None
        found = gallery.find("payer-1", "door", NOW)
        assert found is not None
        assert (found.consent, found.purposes, found.last_seen) == (b"door only", ("door",), NOW + 5)
        np.testing.assert_allclose(found.templates, templates(1), atol=1e-6)
        gallery.close()
        gallery = opened(path, element)
    with refused("last_purpose"):
        gallery.withdraw(person, "door", b"", NOW)
    gallery.close()


def test_renewed_consent_moves_the_retention_and_adds_no_purpose(
    gallery: Gallery, path: Path, element: SecureElement
) -> None:
    person, epoch = enrol(gallery, 1, BOTH), gallery.epoch
    gallery.renew(person, consent=b"again", purposes=BOTH, retain_until=UNTIL + 99, now=NOW + 7)
    assert gallery.epoch == epoch
    with refused("new_purpose"):
        gallery.renew(person, consent=b"more", purposes=(*BOTH, "parking"), retain_until=UNTIL, now=NOW)
    gallery.renew(person, consent=b"less", purposes=("door",), retain_until=UNTIL + 99, now=NOW + 8)
    assert gallery.epoch == epoch + 1
    gallery.close()
    again = opened(path, element)
    found = again.people()[0]
    assert (found.consent, found.purposes, found.retain_until) == (b"less", ("door",), UNTIL + 99)
    again.close()


def test_rotated_sealing_key_opens_everybody_and_the_old_one_nothing(
    gallery: Gallery, path: Path, element: SecureElement
) -> None:
    enrol(gallery, 1)
    before = gallery.epoch
    assert gallery.rotate_sealing() == before + 1
    with pytest.raises(Exception, match="has ended"):
        element.seal(b"", b"", before)
    gallery.close()
    again = opened(path, element)
    assert is_whole(again, 1)
    again.close()


def test_reissued_templates_match_as_before_and_are_other_bytes(
    gallery: Gallery, path: Path, element: SecureElement
) -> None:
    enrol(gallery, 1, BOTH)
    enrol(gallery, 2, ("door",))

    def seeds() -> dict[str, bytes]:
        wrapping = gallery._wrapping()
        rows = gallery._store.rows("SELECT purpose, wrapped FROM transforms")
        return {purpose: wrapping.unwrap(wrapped, "transform", purpose) for purpose, wrapped in rows}

    before = seeds()
    assert gallery.reissue("payment") == 1
    after = seeds()
    assert after["payment"] != before["payment"]
    assert after["door"] == before["door"]
    for _ in range(8):  # rounding does not add up
        gallery.reissue("payment")
        gallery.close()
        gallery = opened(path, element)
    assert is_whole(gallery, 1, BOTH)
    assert is_whole(gallery, 2, ("door",))
    gallery.close()


def test_purpose_that_nobody_has_is_reissued_without_effect(gallery: Gallery) -> None:
    enrol(gallery, 1)
    assert gallery.reissue("door") == 0
    assert is_whole(gallery, 1)


def test_people_are_listed_in_order_and_by_page(gallery: Gallery) -> None:
    people = [enrol(gallery, seed) for seed in range(1, 6)]
    assert [one.person for one in gallery.people()] == people
    assert [one.person for one in gallery.people(1, 2)] == people[1:3]
    assert [one.person for one in gallery.people(4, 10)] == people[4:]
    assert list(gallery.mandates()) == [bytes([seed]) * 16 for seed in range(1, 6)]
    found = gallery.person(people[3])
    assert found is not None
    assert found.payer == "payer-4"
    assert gallery.person("nobody") is None


def test_handed_out_templates_cannot_be_written_to(gallery: Gallery) -> None:
    enrol(gallery)
    with pytest.raises(ValueError, match="read-only"):
        gallery.people()[0].templates[:] = 0


def test_full_disk_enrols_nobody_and_loses_nobody(path: Path, element: SecureElement) -> None:
    gallery = opened(path, element)
    enrol(gallery, 1)
    db = gallery._store._db
    db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")
    with refused("gallery_write"):
        for seed in range(2, 60):
            enrol(gallery, seed)
    enrolled, used = len(gallery), gallery._cells.rows["key"].any(axis=1).sum()
    assert used == enrolled
    gallery.close()
    again = opened(path, element)
    assert len(again) == enrolled
    again.close()


def test_two_owners_at_once_are_refused(gallery: Gallery, path: Path, element: SecureElement) -> None:
    with refused("gallery_unusable"):
        opened(path, element)


def test_gallery_begun_anew_goes_on_in_the_elements_epoch(path: Path, element: SecureElement) -> None:
    for epoch in range(2, 12):
        element.prepare_epoch(epoch)
        element.end_epochs_before(epoch)
    gallery = opened(path, element)
    assert gallery.epoch == 11
    enrol(gallery)
    gallery.close()
    again = opened(path, element)
    assert is_whole(again, 1)
    again.close()


def test_file_that_is_no_database_is_one_clear_error(path: Path, element: SecureElement) -> None:
    path.write_bytes(b"not a database" * 100)
    with refused("gallery_damaged"):
        opened(path, element)


def test_templates_that_other_networks_made_are_refused_with_what_to_do(
    gallery: Gallery, path: Path, element: SecureElement
) -> None:
    person = enrol(gallery)
    gallery.close()
    with pytest.raises(GalleryError, match=rf"{person} were made by other networks .*enrol again") as refusal:
        Gallery(path, element, bytes(32))
    assert refusal.value.code == "gallery_version"
    Gallery(path, element, NETWORKS).close()


@pytest.mark.parametrize("bad", [np.zeros(TEMPLATE_SHAPE, np.float32), np.ones(128, np.float32)])
def test_what_is_no_template_is_not_enrolled(gallery: Gallery, bad: NDArray[np.float32]) -> None:
    with pytest.raises(TemplateError):
        gallery.enrol(
            consent=b"", purposes=("door",), payer="p", mandate=b"m", templates=bad, retain_until=UNTIL, now=NOW
        )
    assert len(gallery) == 0


def test_who_hears_of_an_enrolment_first_can_forbid_it(gallery: Gallery) -> None:
    """As the audit log does where it cannot write."""
    heard: list[tuple[str, tuple[str, ...], bytes, bytes]] = []

    def announce(one: Enrolled) -> None:
        heard.append((one.person, one.purposes, one.consent, one.audit_key))
        assert len(gallery) == 0
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        gallery.enrol(
            consent=b"c", purposes=BOTH, payer="p", mandate=b"m", templates=templates(1), retain_until=UNTIL, now=NOW,
            announce=announce,
        )  # fmt: skip
    assert [(purposes, consent) for _, purposes, consent, _ in heard] == [(BOTH, b"c")]
    assert len(gallery) == 0
    assert not gallery.mandate_used(b"m")
    assert not gallery._cells.rows.view(np.uint8).any()


def test_announced_person_is_the_one_enrolled(gallery: Gallery) -> None:
    heard: list[Enrolled] = []
    person = gallery.enrol(
        consent=b"c", purposes=BOTH, payer="p", mandate=b"m", templates=templates(1), retain_until=UNTIL, now=NOW,
        announce=heard.append,
    )  # fmt: skip
    enrolled = gallery.people()[0]
    assert (heard[0].person, heard[0].audit_key) == (person, enrolled.audit_key)
    assert enrolled.audit_key != gallery._cells.rows["key"][0].tobytes()


def test_paper_of_a_renewal_is_used_once(gallery: Gallery) -> None:
    person = enrol(gallery, 1, BOTH)

    def renew(purposes: tuple[str, ...], consent: bytes) -> None:
        gallery.renew(person, consent=consent, purposes=purposes, retain_until=UNTIL, now=NOW, used=(b"paper",))

    renew(BOTH, b"again")
    for purposes in (BOTH, ("door",)):
        with refused("mandate"):
            renew(purposes, b"once more")
    with refused("mandate"):
        enrol(gallery, 2, used=(b"paper",))
    found = gallery.people()[0]
    assert (found.consent, found.purposes) == (b"again", BOTH)


def test_templates_of_everybody_are_those_of_each(gallery: Gallery) -> None:
    for seed in (1, 2):
        enrol(gallery, seed)
    assert [payer for payer, _ in gallery.templates()] == ["payer-1", "payer-2"]
    for seed, (_, one) in enumerate(gallery.templates(), start=1):
        np.testing.assert_allclose(one, templates(seed), atol=1e-6)
        assert not one.flags.writeable


def test_more_people_than_a_terminal_holds_are_refused(
    path: Path, element: SecureElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware.gallery.gallery.MAX_PEOPLE", 2)
    gallery = opened(path, element)
    people = [enrol(gallery, 1), enrol(gallery, 2)]
    with refused("gallery_full"):
        enrol(gallery, 3)
    gallery.erase(people[0], receipt)
    enrol(gallery, 3)
    gallery.close()
    monkeypatch.setattr("firmware.gallery.opening.MAX_PEOPLE", 1)
    with refused("gallery_damaged"):
        opened(path, element)


def test_full_disk_erases_nobody_until_there_is_space_again(path: Path, element: SecureElement) -> None:
    gallery = opened(path, element)
    people = [enrol(gallery, seed) for seed in range(1, 30)]
    db = gallery._store._db
    db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")
    with refused("gallery_write"):
        gallery.erase(people[0], lambda _: bytes(200_000))
    assert gallery.erased(people[0]) is None
    assert all(is_whole(gallery, seed) for seed in range(1, 30))
    db.execute("PRAGMA max_page_count=1000000")
    gallery.erase(people[0], receipt)
    gallery.close()
    again = opened(path, element)
    assert [is_whole(again, seed) for seed in range(1, 30)] == [False] + [True] * 28
    again.close()


def test_nothing_more_is_taken_away_while_an_old_epoch_still_stands(path: Path) -> None:
    """Else keys would pile up in an element that cannot destroy them."""
    element = in_memory()
    gallery = opened(path, element)
    people = [enrol(gallery, seed) for seed in (1, 2)]
    gallery.finish()
    gallery._element = Fails(element, "end_epochs_before")  # type: ignore[assignment]
    with refused("gallery_epoch"):
        gallery.erase(people[0], receipt)
    with refused("gallery_epoch"):
        gallery.erase(people[1], receipt)
    assert is_whole(gallery, 2)
    assert gallery.erased(people[1]) is None
    gallery._element = element
    gallery.erase(people[1], receipt)
    assert len(gallery) == 0
    gallery.close()


def test_file_with_one_payer_twice_is_refused(gallery: Gallery, path: Path, element: SecureElement) -> None:
    enrol(gallery)
    gallery._by_payer.clear()  # as no gallery does
    gallery.enrol(
        consent=b"", purposes=("door",), payer="payer-1", mandate=b"other", templates=templates(2), retain_until=UNTIL,
        now=NOW,
    )  # fmt: skip
    gallery.close()
    with refused("gallery_damaged"):
        opened(path, element)


def test_turned_templates_do_not_stay_in_memory(gallery: Gallery, path: Path, element: SecureElement) -> None:
    enrol(gallery, 1, BOTH)
    gallery.reissue("door")
    assert not gallery._scratch.rows.view(np.uint8).any()
    gallery.close()
    again = opened(path, element)
    assert not again._scratch.rows.view(np.uint8).any()
    again.close()


def test_who_withdraws_a_purpose_goes_on_under_the_same_name_in_the_log(path: Path, element: SecureElement) -> None:
    gallery = opened(path, element)
    person = enrol(gallery, 1, ("payment", "door"))
    key = gallery.people()[0].audit_key
    gallery.withdraw(person, "payment", b"only the door", NOW)
    assert gallery.people()[0].audit_key == key
    gallery.close()
    again = opened(path, element)
    assert again.people()[0].audit_key == key
    assert again.find(again.people()[0].payer, "door", NOW) is not None
    again.close()


@pytest.mark.parametrize("narrowed", ["withdrawn", "renewed"])
def test_withdrawn_purpose_does_not_come_back_row_by_row_from_an_older_copy(
    path: Path, element: SecureElement, narrowed: str
) -> None:
    gallery = opened(path, element)
    person = enrol(gallery, 1, ("payment", "door"))
    gallery.backup(path.with_name("old.db"))
    if narrowed == "withdrawn":
        gallery.withdraw(person, "payment", b"only the door", NOW)
    else:
        gallery.renew(person, consent=b"only the door", purposes=("door",), retain_until=NOW + 9 * DAY_S, now=NOW)
    gallery.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ATTACH ? AS old", (str(path.with_name("old.db")),))
        db.execute("UPDATE people SET record = old.people.record, consent = old.people.consent FROM old.people")
        db.execute("INSERT OR REPLACE INTO templates SELECT * FROM old.templates")
    with refused("gallery_damaged"):
        opened(path, element)


def test_who_has_no_readable_consent_any_more_is_matched_no_more_yet_seen_and_erased(
    path: Path, element: SecureElement
) -> None:
    gallery = opened(path, element)
    damaged, other = enrol(gallery, 1), enrol(gallery, 2)
    gallery.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE people SET consent = zeroblob(60) WHERE person = ?", (damaged,))
    gallery = opened(path, element)
    payer = next(one.payer for one in gallery.people() if one.person == damaged)
    with refused("gallery_damaged"):
        gallery.find(payer, "payment", NOW)
    assert gallery.erase_all([other, damaged], lambda _: b"receipt") == [b"receipt"] * 2
    assert len(gallery) == 0
    gallery.close()


@pytest.mark.parametrize("statement", ["DELETE FROM epochs", "UPDATE transforms SET wrapped = x'00'"])
def test_file_that_is_altered_under_an_open_gallery_is_damage_and_changes_nothing(
    gallery: Gallery, statement: str
) -> None:
    person = enrol(gallery, 1)
    gallery._store._db.execute(statement)
    for change in (lambda: enrol(gallery, 2), lambda: gallery.erase(person, receipt), gallery.rotate_sealing):
        with refused("gallery_damaged"):
            change()
    assert len(gallery) == 1
    assert gallery.erased(person) is None


def test_rotations_are_forgotten_when_the_work_is_done(gallery: Gallery) -> None:
    enrol(gallery, 1)
    with Seeds.opened(gallery._store, gallery._wrapping()) as seeds:
        rotations = seeds.of("payment")._rotations
        assert rotations.any()
    assert not rotations.any()


class Misreports:
    """A connection whose next COMMIT is reported as failed: `done` says whether it is."""

    def __init__(self, db: sqlite3.Connection, done: bool) -> None:
        self._db, self._done, self.armed = db, done, True

    def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
        if query == "COMMIT" and self.armed:
            self.armed = False
            self._db.execute("COMMIT" if self._done else "ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")
        return self._db.execute(query, *values)

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)


@pytest.mark.parametrize("done", [True, False], ids=["it was done all the same", "it was not done"])
def test_commit_that_is_reported_as_failed_loses_nobody_and_keeps_nobody(path: Path, done: bool) -> None:
    """The file decides; the next change is in an epoch of its own."""
    element = in_memory()
    gallery = opened(path, element)
    people = [enrol(gallery, seed) for seed in (1, 2, 3)]
    before, real = gallery.epoch, gallery._store._db
    gallery._store._db = Misreports(real, done)  # type: ignore[assignment]
    if done:
        assert gallery.erase(people[0], receipt) == b"receipt"
    else:
        with refused("gallery_write"):
            gallery.erase(people[0], receipt)
    gallery._store._db = real
    assert gallery.epoch == before + done
    gallery.backup(path.with_name("image.db"))
    gallery.erase(people[1], receipt)
    assert gallery.epoch == before + done + 1
    gallery.close()
    with refused("gallery_erased"):
        opened(path.with_name("image.db"), element)
    again = opened(path, element)
    assert [is_whole(again, seed) for seed in (1, 2, 3)] == [not done, False, True]
    again.close()


def test_gallery_that_is_not_as_its_file_ends_no_epoch(gallery: Gallery, element: SecureElement) -> None:
    person = enrol(gallery)
    gallery.finish()
    gallery._epoch, gallery._owed = gallery.epoch + 1, True
    with refused("gallery_unusable"):
        gallery.erase(person, receipt)
    element.seal(b"", b"", 1)
