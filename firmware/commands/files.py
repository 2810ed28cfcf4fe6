"""Files that a command is given or writes, with an error that says what to do.

Rules kept here:
- What names a person, and what proves something, is for its owner's eyes only: mode 0600, whatever was there before.
- A passphrase that others can read is none.
"""

import os
import stat
from pathlib import Path

from firmware.core.errors import TerminalError


def read_file(path: Path, otherwise: str) -> bytes:
    """The bytes of a file. Raises TerminalError, which ends with `otherwise`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TerminalError(f"{path}: {error.strerror}; {otherwise}") from error


def read_secret(path: Path) -> str:
    """One line of a file that nobody else can read. Raises TerminalError."""
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) and path.is_file():
            raise TerminalError(f"{path}: others can read it; `chmod 600 {path}`")
        return path.read_text().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError(f"{path}: no passphrase can be read: {error}") from error


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read. Raises TerminalError."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                os.fchmod(file.fileno(), 0o600)
            file.write(data)
    except OSError as error:
        raise TerminalError(f"{path}: cannot be written: {error.strerror}") from error
