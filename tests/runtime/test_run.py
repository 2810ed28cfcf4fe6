"""`tessera run`: one clear line instead of a start that cannot work."""

import fcntl
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from firmware.runtime import logs
from firmware.runtime.run import run

app = typer.Typer()
app.command()(run)


@pytest.fixture(autouse=True)
def _our_own_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logs of the test process alone."""
    monkeypatch.setattr(logs, "set_up", lambda _: None)


def test_unusable_configuration_is_one_line_and_status_2(tmp_path: Path) -> None:
    wrong = tmp_path / "terminal.toml"
    wrong.write_text("profile = 'pay'")
    for config, reason in ((wrong, "profile"), (tmp_path / "absent.toml", "cannot be read")):
        result = CliRunner().invoke(app, ["--config", str(config)])
        assert result.exit_code == 2
        assert result.output.startswith(f"tessera run: {config}")
        assert reason in result.output


def test_second_terminal_in_the_same_place_is_status_2(config_path: Path) -> None:
    run_dir = config_path.parent / "run"
    run_dir.mkdir(mode=0o700)
    with (run_dir / "lock").open("w") as lock:
        lock.write("4242\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = CliRunner().invoke(app, ["--config", str(config_path)])
    assert result.exit_code == 2
    assert "already runs here, pid 4242" in result.output
