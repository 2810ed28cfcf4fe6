"""The software secure element: what it keeps, what it refuses, what it says."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from drivers.plugins import SECURE_ELEMENTS, load
from drivers.secure_element import key_file
from drivers.secure_element.interface import MAX_EPOCHS, Capability, SecureElement, SecureElementError
from drivers.secure_element.key_file import MAX_FILE_BYTES
from drivers.secure_element.software import create, open_secure_element
from tests.secure_element.contract import Bench, SecureElementContract

Options = dict[str, str | int | float | bool]
PASSPHRASE = b"a passphrase of the test"


@pytest.fixture(autouse=True)
def _cheap_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_file, "SCRYPT_N", 2**4)


@pytest.fixture
def files(tmp_path: Path) -> Options:
    """Options of a new key file."""
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_bytes(PASSPHRASE + b"\n")
    create(tmp_path / "device.key", PASSPHRASE)
    return {"path": str(tmp_path / "device.key"), "passphrase_file": str(passphrase)}


class Files:
    """Two key files in a folder."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder, self._options = folder, options

    def open(self) -> SecureElement:
        return open_secure_element(self._options)

    def other(self) -> SecureElement:
        return create(self._folder / "other.key", PASSPHRASE)


class TestSoftware(SecureElementContract):
    """The contract, over a key file."""

    @pytest.fixture
    def bench(self, tmp_path: Path, files: Options) -> Bench:
        return Files(tmp_path, files)


def test_it_is_found_by_its_name(files: Options) -> None:
    assert load(SECURE_ELEMENTS, "software")(files).public_key == open_secure_element(files).public_key


def test_it_claims_no_capability(files: Options) -> None:
    assert open_secure_element(files).capabilities == frozenset()


def test_files_are_for_their_owner_only(files: Options) -> None:
    assert Path(str(files["path"])).stat().st_mode & 0o777 == 0o600
    for name in ("path", "passphrase_file"):
        Path(str(files[name])).chmod(0o640)
        with pytest.raises(SecureElementError, match="chmod 600"):
            open_secure_element(files)
        Path(str(files[name])).chmod(0o600)


def test_a_wrong_passphrase_says_so(files: Options) -> None:
    Path(str(files["passphrase_file"])).write_bytes(b"another")
    with pytest.raises(SecureElementError, match=r"passphrase in .* is wrong or the file is damaged"):
        open_secure_element(files)


@pytest.mark.parametrize("at", [0, 20, 35, 60, -1])
def test_a_damaged_file_never_opens(files: Options, at: int) -> None:
    path = Path(str(files["path"]))
    blob = bytearray(path.read_bytes())
    blob[at] ^= 1
    path.write_bytes(blob)
    with pytest.raises(SecureElementError, match=r"damaged|not a Tessera key file"):
        open_secure_element(files)


def test_a_file_cut_short_missing_or_grown_is_refused(files: Options) -> None:
    path = Path(str(files["path"]))
    blob = path.read_bytes()
    for wrong, reason in (
        (blob[:-1], "damaged"),
        (blob[:40], "not a Tessera key file"),
        (b"TESSERA-SE1" + blob[11:], "not a Tessera key file"),
        (blob + bytes(MAX_FILE_BYTES), "larger than"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(SecureElementError, match=reason):
            open_secure_element(files)
    path.unlink()
    with pytest.raises(SecureElementError, match="cannot be read"):
        open_secure_element(files)


def test_an_old_key_is_never_replaced(files: Options) -> None:
    with pytest.raises(SecureElementError, match="not replaced"):
        create(Path(str(files["path"])), PASSPHRASE)


@pytest.mark.parametrize("options", [{}, {"path": "x"}, {"path": 1, "passphrase_file": "y"}])
def test_wrong_options_name_the_key(options: Options) -> None:
    with pytest.raises(SecureElementError, match=r"secure_element\.options"):
        open_secure_element(options)


def test_an_unknown_option_and_an_empty_passphrase_are_refused(tmp_path: Path, files: Options) -> None:
    with pytest.raises(SecureElementError, match="unknown field"):
        open_secure_element(files | {"pin": "1"})
    with pytest.raises(SecureElementError, match="empty"):
        create(tmp_path / "other.key", b"")
    assert not (tmp_path / "other.key").exists()


def test_restored_copy_of_the_file_opens_what_had_ended_and_nothing_else_is_claimed(files: Options) -> None:
    element = open_secure_element(files)
    sealed = element.seal(b"template", b"", 1)
    before = Path(str(files["path"])).read_bytes()
    element.prepare_epoch(2)
    element.end_epochs_before(2)
    assert Capability.KEY_DESTRUCTION not in element.capabilities
    Path(str(files["path"])).write_bytes(before)
    assert open_secure_element(files).unseal(sealed, b"", 1) == b"template"


def test_keys_of_ended_epochs_leave_the_file(files: Options) -> None:
    element = open_secure_element(files)
    size = Path(str(files["path"])).stat().st_size
    for epoch in range(2, 6):
        element.prepare_epoch(epoch)
        element.end_epochs_before(epoch)
    assert Path(str(files["path"])).stat().st_size == size


def test_no_more_epochs_in_force_than_the_limit(files: Options) -> None:
    element = open_secure_element(files)
    for epoch in range(2, MAX_EPOCHS + 1):
        element.prepare_epoch(epoch)
    with pytest.raises(SecureElementError, match="in force"):
        element.prepare_epoch(MAX_EPOCHS + 1)
    element.prepare_identity()
    again = open_secure_element(files)
    again.end_epochs_before(MAX_EPOCHS)
    again.prepare_epoch(MAX_EPOCHS + 1)


def test_a_second_owner_does_not_overwrite_what_the_first_wrote(files: Options) -> None:
    first, second = open_secure_element(files), open_secure_element(files)
    first.prepare_epoch(2)
    with pytest.raises(SecureElementError, match="another process changed it"):
        second.prepare_identity()
    assert open_secure_element(files).unseal(first.seal(b"x", b"", 2), b"", 2) == b"x"


CHANGES: dict[str, Callable[[SecureElement], object]] = {
    "prepare_epoch": lambda element: element.prepare_epoch(3),
    "end_epochs_before": lambda element: element.end_epochs_before(2),
    "prepare_identity": lambda element: element.prepare_identity(),
    "adopt_identity": lambda element: element.adopt_identity(),
}


class KilledError(BaseException):
    """What stands for kill -9: nothing after it runs."""


@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_every_step_the_file_holds_the_old_state_or_the_new(
    files: Options, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = open_secure_element(files)
    element.prepare_epoch(2)
    if change == "adopt_identity":
        element.prepare_identity()
    path = Path(str(files["path"]))
    old = path.read_bytes()
    ends = set()
    for killed_before in count():
        path.write_bytes(old)
        element = open_secure_element(files)
        before = _told(element)
        calls = iter(range(100))

        def dies(name: str, calls: Iterator[int] = calls, last: int = killed_before) -> Callable[..., Any]:
            real = getattr(os, name)

            def call(*args: Any, **rest: Any) -> Any:
                if next(calls) >= last:
                    raise KilledError
                return real(*args, **rest)

            return call

        with monkeypatch.context() as patch:
            for name in ("unlink", "open", "write", "fsync", "replace", "close"):
                patch.setattr(os, name, dies(name))
            try:
                CHANGES[change](element)
                finished = True
            except KilledError:
                finished = False
        after = _told(open_secure_element(files))
        ends.add(after)
        assert len(ends | {before}) <= 2
        CHANGES[change](open_secure_element(files)) if after == before else None
        if finished:
            assert after != before
            break
    assert killed_before >= 4
    assert len(ends) == 2


def test_what_the_disk_did_not_take_does_not_count(files: Options) -> None:
    element = open_secure_element(files)
    element.prepare_epoch(2)
    element.prepare_identity()
    told, path = _told(element), Path(str(files["path"]))
    key = path.read_bytes()
    path.unlink()
    path.mkdir()
    for change in (CHANGES[name] for name in CHANGES if name != "prepare_identity"):  # one waits already
        with pytest.raises(SecureElementError):
            change(element)
    assert _told(element) == told
    path.rmdir()
    path.touch(0o600)
    path.write_bytes(key)
    element.adopt_identity()
    assert open_secure_element(files).public_key == element.public_key != told[0]


def test_a_new_file_is_on_the_disk_before_it_takes_the_name_and_its_name_before_it_counts(
    files: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = open_secure_element(files)
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        done.append("name")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    element.prepare_epoch(2)
    assert done == [f"{Path(str(files['path'])).stat().st_size} bytes", "name", "folder"]


def _told(element: SecureElement) -> tuple[bytes, bool, tuple[int, ...]]:
    """Identity, whether one waits, epochs in force."""
    epochs = []
    for epoch in (1, 2, 3):
        with suppress(SecureElementError):
            element.seal(b"", b"", epoch)
            epochs.append(epoch)
    waits = True
    try:
        element.prove_identity(b"")
    except SecureElementError:
        waits = False
    return element.public_key, waits, tuple(epochs)
