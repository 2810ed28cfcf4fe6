"""Files of secure elements: secrets that only their owner may read, replaced whole or not at all.

Rules kept here:
- A secret that others can read is refused, not used.
- A file is replaced by a new one that is complete on the disk before it takes the old one's name.
"""

import os
from pathlib import Path

from drivers.secure_element.interface import SecureElementError


def read_private(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes that only its owner can read.

    Raises:
        SecureElementError: it cannot be read, others can read it, or it is larger.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise SecureElementError(f"{path}: others can read it; chmod 600 it")
            data = file.read(limit + 1)
    except OSError as error:
        raise SecureElementError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise SecureElementError(f"{path}: larger than {limit} bytes")
    return data


def write_private(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file for its owner alone; it is on the disk, whole, before this returns.

    Args:
        path: where; its folder must be there.
        data: all of it.
        replace: False refuses a file that is there already.

    Raises:
        SecureElementError: the file is there already, or cannot be written; what was there before still is.
    """
    beside = path.with_name(path.name + ".new")
    try:
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(beside, path)
        else:
            os.link(beside, path)  # unlike a renaming, it refuses a name that is taken
            os.unlink(beside)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError as error:
        beside.unlink(missing_ok=True)
        raise SecureElementError(f"{path}: is there already, and an old key is not replaced") from error
    except OSError as error:
        raise SecureElementError(f"{path}: cannot be written: {error.strerror}") from error
