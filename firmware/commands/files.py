"""Files that a command is given, with an error that says what to do."""

from pathlib import Path

from firmware.core.errors import TerminalError


def read_file(path: Path, otherwise: str) -> bytes:
    """The bytes of a file. Raises TerminalError, which ends with `otherwise`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TerminalError(f"{path}: {error.strerror}; {otherwise}") from error
