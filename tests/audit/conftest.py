import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from drivers.secure_element.interface import SecureElement
from drivers.secure_element.software import create


@pytest.fixture(scope="session")
def element(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureElement]:
    """The terminal's secure element."""
    with closing(create(tmp_path_factory.mktemp("element") / "element", b"passphrase of a test")) as element:
        yield element


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the log lies."""
    return tmp_path / "audit"


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of a test does not have to survive a power cut, and waiting for it is most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
