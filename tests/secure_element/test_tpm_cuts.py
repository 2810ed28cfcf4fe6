"""A TPM's owner that dies at any instant: `kill -9`, a power cut. The element is whole, the old or the new."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from drivers.secure_element.interface import EpochEndedError
from drivers.secure_element.tpm import TpmSecureElement, provision
from drivers.secure_element.tpm_folder import Device as DeviceFile
from drivers.secure_element.tpm_folder import Folder, Sealed
from drivers.secure_element.tpm_link import Tpm
from drivers.secure_element.tpm_objects import IDENTITIES, is_complete
from tests.secure_element.contract import verifies
from tests.secure_element.swtpm import Shelf, Swtpm
from tests.secure_element.tpm_device import Device, bench, options_of, provisioned, shelf

__all__ = ["bench", "provisioned", "shelf"]


LASTING = frozenset({"evict_control", "nv_define_space", "nv_increment", "nv_write"})


class CutError(BaseException):
    """The power went."""


@contextmanager
def cut_after(number: int, commands: frozenset[str] | None = None) -> Iterator[None]:
    """Let so many `commands` (None: of any kind) and file writes through, and nothing at all after them."""
    left, ask, write = [number], Tpm.ask, Folder.write

    def count() -> None:
        if left[0] == 0:
            raise CutError
        left[0] -= 1

    def counted_ask(tpm: Tpm, command: str, *arguments: Any, **keywords: Any) -> Any:
        try:
            if commands is None or command in commands or left[0] == 0:
                count()
        except CutError:
            disconnect(tpm)
            raise
        return ask(tpm, command, *arguments, **keywords)

    def counted_write(folder: Folder, file: DeviceFile | Sealed) -> None:
        count()
        write(folder, file)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Tpm, "ask", counted_ask)
        patched.setattr(Folder, "write", counted_write)
        yield


def disconnect(tpm: Tpm) -> None:
    """What the kernel does for a dead process: the connection goes, sessions and objects stay."""
    if tpm._esapi is not None:
        tpm._esapi.close()
        tpm._esapi = None


def cut_everywhere(
    device: Device, work: Callable[[TpmSecureElement], None], commands: frozenset[str] | None = None
) -> Iterator[TpmSecureElement]:
    """Do `work` again and again, cut one step later each time, until it ends; yield the element opened after each."""
    ended, number = False, 0
    while not ended:
        element = device.open()
        with cut_after(number, commands):
            try:
                work(element)
                ended = True
            except CutError:
                number += 1
            disconnect(element._tpm)
            element.close()
        after = device.open()
        yield after
        after.close()


def test_a_new_identity_cut_short_anywhere_leaves_the_old_or_the_new(bench: Device) -> None:
    element = bench.open()
    in_force, waits = element.public_key, element.prepare_identity()
    element.close()
    adopted = 0

    def change(element: TpmSecureElement) -> None:
        element.adopt_identity()
        element.prepare_identity()

    for after in cut_everywhere(bench, change):
        held = [place for place in IDENTITIES if after._tpm.holds(place)]
        assert len(held) == (1 if after._identity._waiting is None else 2), "a key that nobody knows is left"
        if after.public_key != in_force:
            assert after.public_key == waits, "no third key"
            adopted += 1
        message = b"%d" % adopted
        assert verifies(after.public_key, after.sign(message), message)
        in_force, waits = after.public_key, after.prepare_identity()
        assert verifies(waits, after.prove_identity(message), message)
        assert waits != in_force
    assert adopted > 1


def test_an_epoch_change_cut_short_anywhere_loses_nothing_committed(bench: Device) -> None:
    """As the gallery does it: what it committed to last opens, whichever step was the last."""
    element = bench.open()
    committed = (1, element.seal(b"1", b"", 1))
    element.close()

    def change(element: TpmSecureElement) -> None:
        nonlocal committed
        number = committed[0] + 1
        element.prepare_epoch(number)
        committed = (number, element.seal(b"%d" % number, b"", number))
        element.end_epochs_before(number)

    for after in cut_everywhere(bench, change, LASTING):
        epoch, sealed = committed
        after.end_epochs_before(epoch)
        assert after.unseal(sealed, b"", epoch) == b"%d" % epoch
        if epoch > 1:
            with pytest.raises(EpochEndedError):
                after.seal(b"", b"", epoch - 1)
    assert committed[0] >= 3


def test_making_an_element_cut_short_after_any_lasting_change_can_be_asked_again(shelf: Shelf, tmp_path: Path) -> None:
    device, number = Device(shelf.take(), tmp_path / "element", shelf), 0
    while not holds_element(device.tpm):
        with suppress(CutError), cut_after(number, LASTING):
            provision(options_of(device.tpm.tcti, device.folder)).close()
        number += 1
    assert number > 5
    element = device.open()
    assert element.unseal(element.seal(b"x", b"", 1), b"", 1) == b"x"
    element.close()


def holds_element(tpm: Swtpm) -> bool:
    link = Tpm(tpm.tcti)
    try:
        return is_complete(link)
    finally:
        link.close()


PROGRAM = """
import sys
from drivers.secure_element.tpm import open_secure_element
element = open_secure_element({"tcti": sys.argv[1], "folder": sys.argv[2]})
epoch = int(sys.argv[3])
while True:
    epoch += 1
    element.prepare_epoch(epoch)
    sealed = element.seal(b"committed", b"", epoch)
    print(epoch, sealed.hex(), element.prepare_identity().hex(), flush=True)
    element.end_epochs_before(epoch)
    element.adopt_identity()
"""


def test_a_process_killed_in_the_midst_leaves_a_whole_element(bench: Device) -> None:
    epoch = "1"
    for changes in (1, 3):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, bench.tpm.tcti, str(bench.folder), epoch], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(changes):
            epoch, sealed, identity = child.stdout.readline().split()
        os.kill(child.pid, signal.SIGKILL)
        said = child.stdout.read().split()
        child.wait()
        if len(said) == 3:
            epoch, sealed, identity = said
        element = bench.open()
        element.end_epochs_before(int(epoch))
        assert element.unseal(bytes.fromhex(sealed), b"", int(epoch)) == b"committed"
        assert verifies(element.public_key, element.sign(b"x"), b"x")
        assert identity in (element.public_key.hex(), element.prepare_identity().hex())
        element.close()
