"""What a person can act on ends in one line; a defect shows where it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware import cli


def ended(monkeypatch: pytest.MonkeyPatch, command: Callable[[], object]) -> None:
    """Run the command line with this as its only command."""
    monkeypatch.setattr(cli, "build", lambda _: command)
    cli.main()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/nowhere/mandate.cose", "tessera: /nowhere/mandate.cose: No such file or directory"),
        ("/dev/full", "tessera: a file could not be written: No space left on device"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, said: str
) -> None:
    with pytest.raises(SystemExit) as end:
        ended(monkeypatch, lambda: Path(path).write_bytes(b"figures"))
    assert end.value.code == 1
    assert capsys.readouterr().err.splitlines() == [said]


def test_a_fault_of_the_system_that_is_of_no_file_stays_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def command() -> None:
        raise ConnectionResetError("by somebody")

    with pytest.raises(ConnectionResetError):
        ended(monkeypatch, command)
