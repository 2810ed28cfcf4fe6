"""The disk is put back as it was before an erasure: neither face nor payment comes back.

On real backends: SoftHSM2 as a PKCS#11 token and a TPM in software, each left as it is while the disk is put back; and
on the element in software, which can promise this only while its key file is not put back too.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.secure_element import pkcs11, tpm
from drivers.secure_element.interface import Capability, SecureElement
from drivers.secure_element.software import create, in_memory, open_secure_element
from firmware.gallery.gallery import Gallery, GalleryError
from tests.gallery.people import NOW, enrol, is_whole, opened
from tests.secure_element.softhsm import soft_token
from tests.secure_element.swtpm import swtpms
from tests.secure_element.tpm_device import options_of

BOTH = ("payment", "door")


@dataclass(frozen=True)
class Terminal:
    """`disk` is all that is copied and put back; the element's hardware lies elsewhere."""

    disk: Path
    element: Callable[[], SecureElement]

    @property
    def file(self) -> Path:
        return self.disk / "gallery.db"

    def image(self) -> Path:
        """A copy of the whole disk, as anybody can make one."""
        return shutil.copytree(self.disk, self.disk.with_name("image"))

    def put_back(self) -> None:
        """The disk as it was."""
        shutil.rmtree(self.disk)
        shutil.copytree(self.disk.with_name("image"), self.disk)


@pytest.fixture(params=["pkcs11", "tpm"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if request.param == "pkcs11":
        with soft_token(tmp_path) as token:
            pkcs11.provision(token.options).close()
            yield Terminal(disk, lambda: pkcs11.open_secure_element(token.options))
    else:
        with swtpms() as shelf:
            options = options_of(shelf.take().tcti, disk / "element")
            tpm.provision(options).close()
            yield Terminal(disk, lambda: tpm.open_secure_element(options))


def refused(file: Path, element: SecureElement) -> str:
    with pytest.raises(GalleryError) as caught:
        opened(file, element)
    return caught.value.code


Takes = Callable[[Gallery, str], object]
TAKING: dict[str, Takes] = {
    "erasure": lambda gallery, person: gallery.erase(person, lambda _: b"receipt"),
    "withdrawal of one purpose": lambda gallery, person: gallery.withdraw(person, "payment", b"door", NOW),
    "new rotation": lambda gallery, _: gallery.reissue("payment"),
    "new sealing key": lambda gallery, _: gallery.rotate_sealing(),
}


def test_disk_from_before_an_erasure_opens_nothing(terminal: Terminal) -> None:
    with closing(terminal.element()) as element, closing(opened(terminal.file, element)) as gallery:
        ada, _ = enrol(gallery, 1, BOTH), enrol(gallery, 2)
        gallery.backup(terminal.disk / "backup.db")
    terminal.image()
    with closing(terminal.element()) as element, closing(opened(terminal.file, element)) as gallery:
        gallery.erase(ada, lambda _: b"receipt")
    terminal.put_back()
    for _ in range(2):  # nor after another start
        with closing(terminal.element()) as element:
            assert refused(terminal.file, element) == "gallery_erased"
            assert refused(terminal.disk / "backup.db", element) == "gallery_erased"


def test_terminal_goes_on_after_an_erasure_and_a_restart(terminal: Terminal) -> None:
    with closing(terminal.element()) as element, closing(opened(terminal.file, element)) as gallery:
        ada, _ = enrol(gallery, 1), enrol(gallery, 2, BOTH)
        gallery.erase(ada, lambda _: b"receipt")
    with closing(terminal.element()) as element, closing(opened(terminal.file, element)) as gallery:
        assert is_whole(gallery, 2, BOTH)
        assert gallery.erased(ada) == b"receipt"
        assert len(gallery) == 1
        enrol(gallery, 3)
        gallery.rotate_sealing()
        assert is_whole(gallery, 3)


def test_terminal_that_was_put_back_can_begin_anew(terminal: Terminal) -> None:
    """As the error says: the file put aside, everybody enrolled again."""
    with closing(terminal.element()) as element, closing(opened(terminal.file, element)) as gallery:
        ada = enrol(gallery, 1)
    terminal.image()
    with closing(terminal.element()) as element, closing(opened(terminal.file, element)) as gallery:
        gallery.erase(ada, lambda _: b"receipt")
    terminal.put_back()
    terminal.file.rename(terminal.disk / "aside.db")
    with closing(terminal.element()) as element, closing(opened(terminal.file, element)) as gallery:
        enrol(gallery, 2)
        assert is_whole(gallery, 2)


def test_backup_opens_at_the_same_terminal_until_the_next_epoch(terminal: Terminal) -> None:
    backup = terminal.disk / "backup.db"
    with closing(terminal.element()) as element:
        with closing(opened(terminal.file, element)) as gallery:
            enrol(gallery, 1, BOTH)
            gallery.backup(backup)
            enrol(gallery, 2)
        terminal.file.unlink()
        backup.rename(terminal.file)
        with closing(opened(terminal.file, element)) as gallery:
            assert is_whole(gallery, 1, BOTH)
            assert len(gallery) == 1
    assert refused(terminal.file, in_memory()) == "gallery_locked_out"


@pytest.mark.parametrize("taking", TAKING)
def test_whatever_takes_something_away_ends_older_copies(tmp_path: Path, taking: str) -> None:
    file, copy, element = tmp_path / "gallery.db", tmp_path / "copy.db", in_memory()
    with closing(opened(file, element)) as gallery:
        person = enrol(gallery, 1, BOTH)
        gallery.backup(copy)
        TAKING[taking](gallery, person)
    assert refused(copy, element) == "gallery_erased"


def test_backup_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "backup.db").write_bytes(b"precious")
    with closing(opened(tmp_path / "gallery.db", in_memory())) as gallery:
        with pytest.raises(GalleryError, match="is there already") as caught:
            gallery.backup(tmp_path / "backup.db")
        assert caught.value.code == "gallery_backup"
        with pytest.raises(GalleryError) as caught:
            gallery.backup(tmp_path / "no such folder" / "backup.db")
        assert caught.value.code == "gallery_backup"
    assert (tmp_path / "backup.db").read_bytes() == b"precious"


def test_backup_is_one_file_for_its_owner_alone(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "gallery.db", in_memory())) as gallery:
        enrol(gallery, 1)
        gallery.backup(tmp_path / "backup.db")
    assert {path.name for path in tmp_path.iterdir()} == {"gallery.db", "backup.db"}
    assert (tmp_path / "backup.db").stat().st_mode & 0o077 == 0
    rollback_journal = b"\1\1"  # not a log that has to be written to read the file
    assert (tmp_path / "backup.db").read_bytes()[18:20] == rollback_journal


def test_element_in_software_says_that_it_cannot_promise_it(tmp_path: Path) -> None:
    """Its key file lies on the same disk: put back together, both open. So it does not declare the capability."""
    (tmp_path / "passphrase").write_bytes(b"correct horse")
    (tmp_path / "passphrase").chmod(0o600)
    create(tmp_path / "element", b"correct horse").close()

    def element() -> SecureElement:
        return open_secure_element(
            {"path": str(tmp_path / "element"), "passphrase_file": str(tmp_path / "passphrase")}
        )  # fmt: skip

    with closing(opened(tmp_path / "gallery.db", element())) as gallery:
        ada = enrol(gallery, 1)
        gallery.finish()
    image = [(path, path.read_bytes()) for path in tmp_path.iterdir()]
    with closing(opened(tmp_path / "gallery.db", element())) as gallery:
        gallery.erase(ada, lambda _: b"receipt")
    for path, content in image:
        path.write_bytes(content)
    assert Capability.KEY_DESTRUCTION not in element().capabilities
    with closing(opened(tmp_path / "gallery.db", element())) as gallery:
        assert is_whole(gallery, 1)
