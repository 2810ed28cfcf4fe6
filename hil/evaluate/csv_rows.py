"""Somebody's CSV file, row by row: UTF-8, bounded, and every error with its file and line.

Rules kept here:
- Nothing is guessed: a row has the header's fields, each printable and of a bounded length.
- An error in one place names the file, the line and the column.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from hil.evaluate.errors import EvaluateError

MAX_FIELD = 512  # characters


def read_rows(
    path: Path, columns: Callable[[Path, list[str]], list[str]], what: str, most_bytes: int, most_rows: int
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where each row stands, in words, and its fields by column. Raises EvaluateError.

    Args:
        path: of the file.
        columns: makes the names of the columns of the header, or raises.
        what: rows are, in the plural.
        most_bytes: in the file.
        most_rows: in the file.
    """
    count = 0
    try:
        if path.stat().st_size > most_bytes:
            raise EvaluateError(f"{path}: larger than {most_bytes} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            names = columns(path, next(rows, []))
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if len(row) != len(names):
                    raise EvaluateError(f"{where}: {len(row)} fields, the header has {len(names)}")
                if count == most_rows:
                    raise EvaluateError(f"{where}: more than {most_rows} {what}")
                for name, value in zip(names, row, strict=True):
                    if len(value) > MAX_FIELD or not value.isprintable():
                        raise EvaluateError(f"{where}: {name} is longer than {MAX_FIELD} characters or not printable")
                yield where, dict(zip(names, row, strict=True))
                count += 1
    except OSError as error:
        raise EvaluateError(f"{path}: cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise EvaluateError(f"{path}: after {count} {what}: not a CSV file in UTF-8: {error}") from error
    if not count:
        raise EvaluateError(f"{path}: no {what}")
