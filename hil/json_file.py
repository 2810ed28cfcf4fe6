"""Small JSON files by which the rig's processes tell each other what is so: replaced whole, read strictly and bounded.

A reader sees one version or the other, never half of one.
"""

import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


def write(path: Path, value: msgspec.Struct) -> None:
    """Replace the file by `value`, atomically."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as aside:
        aside.write(msgspec.json.encode(value))
    os.replace(aside.name, path)


def read(path: Path, kind: type[_Kind], most_bytes: int, what: str, error: type[Exception]) -> _Kind:
    """Read the file that holds a `what`.

    Raises:
        Exception: `error`, naming the file: it is missing, larger than `most_bytes`, or not a `kind`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
    except OSError as fault:
        raise error(f"{path}: the {what} file cannot be read: {fault.strerror}") from fault
    if len(raw) > most_bytes:
        raise error(f"{path}: larger than {most_bytes} bytes")
    try:
        return msgspec.json.decode(raw, type=kind, strict=True)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise error(f"{path}: not a {what}: {fault}") from fault
