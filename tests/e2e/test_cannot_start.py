"""A terminal that cannot work says why in one line and ends, instead of starting over and over."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hil.rig.site import Site

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """The files of a site that worked, all processes ended."""
    folder = tmp_path_factory.mktemp("site")
    with Site.make(folder):
        pass
    return folder


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "firmware.cli", "run", "--config", str(folder / "terminal.toml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def edited(laid_out: Path, tmp_path: Path, old: str, new: str) -> Path:
    """A copy of the site's configuration with one text replaced; its other files stay where they are."""
    text = (laid_out / "terminal.toml").read_text()
    assert old in text
    text = text.replace(old, new).replace('"state"', f'"{tmp_path}/state"').replace('"run"', f'"{tmp_path}/run"')
    for name in ("root.json", "key-set.cose"):
        text = text.replace(f'"{name}"', f'"{laid_out}/{name}"')
    (tmp_path / "terminal.toml").write_text(text)
    return tmp_path


def assert_told(ran: "subprocess.CompletedProcess[str]", *told: str) -> None:
    assert ran.returncode == 2
    for text in told:
        assert text in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr


def test_missing_networks(laid_out: Path, tmp_path: Path) -> None:
    text = (laid_out / "terminal.toml").read_text()
    models = next(line.split('"')[1] for line in text.splitlines() if line.startswith("models_dir"))
    assert_told(
        run(edited(laid_out, tmp_path, models, str(tmp_path / "none"))), "python -m models.build", "cannot start"
    )


def test_network_of_another_hash(laid_out: Path, tmp_path: Path, models_dir: Path) -> None:
    (tmp_path / "models").mkdir()
    for built in models_dir.glob("*.onnx"):
        (tmp_path / "models" / built.name).write_bytes(built.read_bytes()[:-1] + b"\0")
    folder = edited(laid_out, tmp_path, str(models_dir), str(tmp_path / "models"))
    assert_told(run(folder), "is not the network in the manifest", "cannot start")


def test_wrong_passphrase(laid_out: Path, tmp_path: Path) -> None:
    (tmp_path / "passphrase").touch(mode=0o600)
    (tmp_path / "passphrase").write_text("another")
    folder = edited(laid_out, tmp_path, str(laid_out / "passphrase"), str(tmp_path / "passphrase"))
    assert_told(run(folder), "passphrase", "cannot start")


def test_damaged_outbox(laid_out: Path, tmp_path: Path) -> None:
    folder = edited(laid_out, tmp_path, "till-1", "till-1")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outbox.db").write_bytes(b"not a database" * 500)
    assert_told(run(folder), "outbox.db", "cannot start")


def test_state_directory_that_cannot_be_made(laid_out: Path, tmp_path: Path) -> None:
    folder = edited(laid_out, tmp_path, "till-1", "till-1")
    (tmp_path / "state").write_text("a file is in the way")
    assert_told(run(folder), "state", "cannot start")


def test_doctor_names_a_camera_that_does_not_exist(laid_out: Path, tmp_path: Path) -> None:
    folder = edited(laid_out, tmp_path, 'source = "virtual"', 'source = "nonesuch"')
    command = [sys.executable, "-m", "firmware.cli", "doctor", "--config", str(folder / "terminal.toml")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "nonesuch" in ran.stdout
