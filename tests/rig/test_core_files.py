"""What a process with a template in hand leaves when it dies: looked for where it must be found, and where not."""

import base64
import resource
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from firmware.cli import build
from firmware.gallery.transform import Transform
from firmware.vision.templates import TEMPLATE_SHAPE
from hil.rig.leaks import Detector, Leak, picture_markers, template_markers
from tests.absent import absent

HOLDING = Path(__file__).with_name("holding.py")
random = np.random.default_rng(11)
TEMPLATE = random.standard_normal(TEMPLATE_SHAPE).astype(np.float32)
TEMPLATE /= np.linalg.norm(TEMPLATE, axis=2, keepdims=True)
PICTURE = random.integers(0, 255, (112, 112), np.uint8)
TURN = Transform(bytes(range(32)), "payment")


def _turned() -> bytes:
    out = np.empty_like(TEMPLATE)
    TURN.turn(TEMPLATE, out)
    return out.tobytes()


FORMS = {
    "float32": TEMPLATE.tobytes(),
    "float32 of base64": base64.b64encode(TEMPLATE[0].tobytes()),
    "float32 of zlib": zlib.compress(TEMPLATE[1].tobytes()),
    "float16": TEMPLATE.astype(np.float16).tobytes(),
    "int8": np.round(TEMPLATE * 300).clip(-127, 127).astype(np.int8).tobytes(),
    "turned": _turned(),
    "uint8": PICTURE.tobytes(),
}
HELD = b"".join(FORMS.values())


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector([*template_markers(TEMPLATE, {"payment": TURN}), *picture_markers("picture", PICTURE, every=56)])


def _core_files_lie_where_we_look() -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith(("|", "/")) or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        absent(f"core files go to {pattern!r} here or are forbidden: sysctl kernel.core_pattern=core")


def end(folder: Path, hardening: str, how: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, str(HOLDING), hardening, how],
        input=HELD, cwd=folder, capture_output=True, timeout=60, check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )  # fmt: skip


def seen(leaks: list[Leak]) -> set[str]:
    return {"turned" if "turned" in leak.marker else leak.form for leak in leaks}


def test_core_file_of_an_open_process_holds_every_planted_form(tmp_path: Path, detector: Detector) -> None:
    _core_files_lie_where_we_look()
    assert end(tmp_path, "open", "segfault").returncode == -signal.SIGSEGV
    (core,) = tmp_path.iterdir()
    assert seen(detector.search_file(core)) >= FORMS.keys()


@pytest.mark.parametrize("how", ["segfault", "abort"])
def test_hardened_process_leaves_no_core_file(tmp_path: Path, how: str) -> None:
    _core_files_lie_where_we_look()
    end(tmp_path, "open", how)
    assert len(list(tmp_path.iterdir())) == 1, "an open process leaves one, so that the next line can fail"
    for core in tmp_path.iterdir():
        core.unlink()
    assert end(tmp_path, "hardened", how).returncode in (-signal.SIGSEGV, -signal.SIGABRT)
    assert list(tmp_path.iterdir()) == []


def test_traceback_with_a_template_in_hand_tells_nothing_of_it(tmp_path: Path, detector: Detector) -> None:
    told = end(tmp_path, "hardened", "told").stderr
    assert seen(detector.search(told, "a traceback with local variables")) >= {"decimals"}
    quiet = end(tmp_path, "hardened", "defect")
    assert b"a defect with templates of (2, 3, 128) in hand" in quiet.stderr
    assert detector.search(quiet.stderr + quiet.stdout, "a traceback") == []
    assert list(tmp_path.iterdir()) == []


def test_command_line_shows_no_local_variables() -> None:
    assert build("doctor").pretty_exceptions_show_locals is False
