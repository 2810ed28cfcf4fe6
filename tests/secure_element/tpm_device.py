"""A terminal's TPM and its folder, as the tests of the TPM need them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.secure_element.interface import SecureElement
from drivers.secure_element.tpm import TpmSecureElement, open_secure_element, provision
from tests.secure_element.swtpm import Shelf, Swtpm, swtpms


def options_of(tcti: str, folder: Path) -> dict[str, str | int | float | bool]:
    """A terminal's configuration of this element."""
    return {"tcti": tcti, "folder": str(folder)}


@dataclass
class Device:
    """A provisioned TPM, switched on, and its folder."""

    tpm: Swtpm
    folder: Path
    shelf: Shelf

    def open(self, pcrs: str = "7") -> TpmSecureElement:
        """As after a restart."""
        return open_secure_element(options_of(self.tpm.tcti, self.folder) | {"pcrs": pcrs})

    def other(self) -> SecureElement:
        """Another device."""
        return provision(options_of(self.shelf.take().tcti, self.folder.parent / "other"))

    def copy(self) -> Path:
        """Copy the whole disk."""
        return shutil.copytree(self.folder, self.folder.parent / "image")

    def put_back(self, image: Path) -> None:
        """Put the copy in the disk's place."""
        shutil.rmtree(self.folder)
        shutil.copytree(image, self.folder)


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The state of a TPM that was provisioned and switched off, and its folder: made once, copied for each test."""
    made = tmp_path_factory.mktemp("provisioned")
    with swtpms() as shelf:
        tpm = shelf.take()
        provision(options_of(tpm.tcti, made / "element")).close()
        tpm.kill()
        shutil.copytree(tpm.folder, made / "tpm", ignore=shutil.ignore_patterns("tpm", "tpm.ctrl"))
    return made / "tpm", made / "element"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """TPMs, stopped at the end."""
    with swtpms() as shelf:
        yield shelf


@pytest.fixture
def bench(provisioned: tuple[Path, Path], shelf: Shelf, tmp_path: Path) -> Device:
    """A device of its own for this test."""
    state, folder = provisioned
    shutil.copytree(folder, tmp_path / "element")
    return Device(shelf.take(like=state), tmp_path / "element", shelf)
