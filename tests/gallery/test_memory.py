"""Memory for templates: locked, in no core file, empty in a child, zeroed when given back."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.secure_element.software import in_memory
from firmware.gallery.gallery import Gallery, GalleryError
from firmware.gallery.memory import STEP_BYTES, MemoryLockError, SecretRows
from firmware.gallery.sealed import DTYPE
from tests.gallery.people import enrol, opened

ROOT = Path(__file__).resolve().parents[2]


def flags_at(address: int) -> set[str]:
    """VmFlags of the mapping that holds an address (proc(5))."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    raise AssertionError(f"nothing is mapped at {address:x}")


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return opened(tmp_path / "gallery.db", in_memory())


def test_templates_and_keys_are_locked_out_of_core_files_and_wiped_in_a_child(gallery: Gallery) -> None:
    enrol(gallery)
    for rows in (gallery._cells, gallery._scratch):
        flags = flags_at(rows.rows.ctypes.data)
        assert {"lo", "dd", "wf"} <= flags, flags
    handed_out = gallery.people()[0].templates
    assert np.shares_memory(handed_out, gallery._cells.rows)
    gallery.close()


def test_child_sees_zeros_where_the_parent_has_templates(gallery: Gallery) -> None:
    enrol(gallery)
    templates = gallery.people()[0].templates
    assert templates.any()
    child = os.fork()
    if child == 0:
        os._exit(int(templates.any()))
    assert os.waitpid(child, 0)[1] == 0
    assert templates.any()
    gallery.close()


def test_closing_zeroes_what_was_handed_out_and_unlocks_it(gallery: Gallery) -> None:
    enrol(gallery)
    templates, rows = gallery.people()[0].templates, gallery._cells.rows
    gallery.close()
    gallery.close()
    assert not templates.any()
    assert not rows.view(np.uint8).any()
    assert "lo" not in flags_at(rows.ctypes.data)


def test_row_given_back_is_zeroed_and_taken_again() -> None:
    rows = SecretRows(3, DTYPE)
    first, second = rows.take(), rows.take()
    rows.rows["key"][first], rows.rows["templates"][first] = 7, 1.5
    rows.rows["key"][second] = 9
    rows.give_back(first)
    assert not rows.rows[first : first + 1].view(np.uint8).any()
    assert (rows.rows["key"][second] == 9).all()
    assert rows.take() == first
    rows.take()
    with pytest.raises(IndexError):
        rows.take()
    rows.close()


def test_rows_stay_where_they_are_as_more_are_taken() -> None:
    rows = SecretRows(1000, DTYPE)
    rows.take()
    view = rows.rows["templates"][0]
    for _ in range(999):
        rows.take()
    view[:] = 3
    assert (rows.rows["templates"][0] == 3).all()
    last = rows.rows[999:].ctypes.data
    assert "lo" in flags_at(last)
    rows.close()


TAKES = f"""
import resource
resource.setrlimit(resource.RLIMIT_MEMLOCK, ({STEP_BYTES} * 2, {STEP_BYTES} * 2))
from firmware.gallery.memory import MemoryLockError, SecretRows
from firmware.gallery.sealed import DTYPE
rows = SecretRows(1000, DTYPE)
try:
    while True:
        rows.take()
except MemoryLockError as error:
    print(len(rows.rows), error)
"""


def test_where_no_more_can_be_locked_no_more_is_taken_in() -> None:
    """As a user without the right to lock all it likes."""
    command = [sys.executable, "-c", TAKES]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and os.geteuid() == 0:
        pytest.skip(f"another user cannot run the tests' Python here: {done.stderr.strip()[-200:]}")
    taken, _, why = done.stdout.partition(" ")
    assert int(taken) == 2 * STEP_BYTES // DTYPE.itemsize
    assert "LimitMEMLOCK" in why


def test_somebody_for_whom_no_memory_can_be_locked_is_not_enrolled(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(gallery, 1)

    def refused(*_: int) -> None:
        raise MemoryLockError("no more")

    monkeypatch.setattr("firmware.gallery.memory._lock", refused)
    fit = STEP_BYTES // DTYPE.itemsize
    for seed in range(2, fit + 1):
        enrol(gallery, seed)
    with pytest.raises(GalleryError, match="no more") as caught:
        enrol(gallery, fit + 1)
    assert caught.value.code == "gallery_memory"
    assert len(gallery) == fit
    gallery.close()


def test_memory_for_everybody_is_address_space_until_it_is_used(gallery: Gallery) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = SecretRows(100_000, DTYPE)
    rows.take()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # KiB
    rows.close()
    gallery.close()
