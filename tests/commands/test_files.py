"""Files of people and of staff are for their owner's eyes only."""

from pathlib import Path

import pytest

from firmware.commands.files import read_secret, write_private
from firmware.core.errors import TerminalError


def test_what_is_written_is_private_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "consent.cose"
    path.write_bytes(b"older and longer, for everybody")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_passphrase_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("correct horse battery\n")
    path.chmod(0o640)
    with pytest.raises(TerminalError, match="chmod 600"):
        read_secret(path)
    path.chmod(0o600)
    assert read_secret(path) == "correct horse battery"


def test_file_that_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="cannot be written"):
        write_private(tmp_path / "none" / "x", b"")
    with pytest.raises(TerminalError, match="no passphrase"):
        read_secret(tmp_path / "none")
