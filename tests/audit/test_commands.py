"""`tessera audit verify` on files; export and checkpoint, which need a running terminal, are tested with one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from drivers.secure_element.interface import SecureElement
from firmware.audit.errors import AuditError
from firmware.commands.audit import audit
from tests.audit.whole import filled, last_segment, pieces, refusal, started


@pytest.fixture
def keys(tmp_path: Path, element: SecureElement) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([element.public_key.hex()]))
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


def test_whole_log_is_told_and_what_was_not_compared(folder: Path, element: SecureElement, keys: Path) -> None:
    filled(folder, element, 3)
    result = run("verify", folder, "--keys", keys)
    assert result.exit_code == 0
    assert "till-1: records 1 to 7, 2 checkpoints, signed up to record 7" in result.output
    assert "compared with nothing kept elsewhere" in result.output


def test_faults_are_told_with_their_place_and_end_in_exit_code_1(
    folder: Path, element: SecureElement, keys: Path
) -> None:
    filled(folder, element, 30)
    records = pieces(last_segment(folder))
    last_segment(folder).write_bytes(b"".join(records[:9] + records[10:]))
    result = run("verify", folder, "--keys", keys)
    assert result.exit_code == 1
    assert "records 10 to 10 are not here" in result.output
    assert "not whole" in result.output


def test_known_checkpoint_shows_a_log_cut_short(
    folder: Path, element: SecureElement, keys: Path, tmp_path: Path
) -> None:
    with started(folder, element) as audit:
        audit.record(refusal())
        (tmp_path / "known").write_bytes(audit.checkpoint())
    records = pieces(last_segment(folder))
    last_segment(folder).write_bytes(b"".join(records[:2]))
    assert run("verify", folder, "--keys", keys).exit_code == 0
    result = run("verify", folder, "--keys", keys, "--known", tmp_path / "known")
    assert result.exit_code == 1
    assert "the terminal has signed up to record 4" in result.output


@pytest.mark.parametrize("raw", ["", "{}", '["zz"]', "[1]"])
def test_key_file_that_is_none_is_an_error_of_one_line(folder: Path, tmp_path: Path, raw: str) -> None:
    (tmp_path / "keys").write_text(raw)
    error = run("verify", folder, "--keys", tmp_path / "keys").exception
    assert isinstance(error, AuditError)
    assert "not a JSON list of keys" in str(error)


def test_folder_that_is_not_there_is_an_error_of_one_line(folder: Path, keys: Path) -> None:
    assert isinstance(run("verify", folder, "--keys", keys).exception, AuditError)
