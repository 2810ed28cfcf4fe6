"""Files a command is given or writes: what the system refuses is said with the file's name, and never what is in it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware.payment.errors import PaymentError

MIN_TOKEN, MAX_TOKEN = 16, 512
# one word, as it goes into the header of a call
_TOKEN = re.compile(rb"[!-~]{%d,%d}" % (MIN_TOKEN, MAX_TOKEN))


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Have whatever the system refuses with `path` raised as PaymentError `trust` that says which file and why."""
    try:
        yield
    except OSError as error:
        raise PaymentError("trust", f"{path}: {error.strerror}") from error


def read_token(path: Path) -> str:
    """Read the register's bearer token. Raises PaymentError `trust`, which says nothing of what is in the file."""
    with named(path), path.open("rb") as file:
        token = file.read(2 * MAX_TOKEN).strip()
    if not _TOKEN.fullmatch(token):
        raise PaymentError(
            "trust", f"{path}: no token: one line of {MIN_TOKEN} to {MAX_TOKEN} ASCII characters without spaces"
        )
    return token.decode("ascii")
