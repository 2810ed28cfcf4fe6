"""Whose consent covers a `.db3`: a table of our own inside librealsense's file, so that the two cannot be parted.

A `.db3` is SQLite; librealsense plays it and passes over tables it does not know. The table can be written only when
librealsense has closed the file: one whose recording was killed says nothing, and is nobody's to keep.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from drivers.camera.interface import CameraError

_BUSY_S = 10.0  # librealsense may still be closing the file
_TABLE = "CREATE TABLE tessera_consent (consent TEXT NOT NULL)"
_MAX_CHARS = 1024


def state_consent(path: Path, consent: str) -> None:
    """Write whose consent covers the closed recording `path`. Raises CameraError."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=_BUSY_S)) as database, database:
            database.execute(_TABLE)
            database.execute("INSERT INTO tessera_consent VALUES (?)", (consent,))
    except sqlite3.Error as error:
        raise CameraError(f"{path}: consent cannot be written into it: {error}; destroy the file") from error


def stated_consent(path: Path) -> str | None:
    """Return whose consent the recording states, or None where it states none. Raises CameraError for no `.db3`."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            # only the very table we make: a view of that name is a programme of whoever wrote the file
            known = database.execute("SELECT count(*) FROM sqlite_master WHERE sql = ?", (_TABLE,)).fetchone()[0]
            bounded = "SELECT substr(consent, 1, ?) FROM tessera_consent"
            row = database.execute(bounded, (_MAX_CHARS,)).fetchone() if known else None
    except sqlite3.Error as error:
        raise CameraError(f"{path}: cannot be read: {error}") from error
    return None if row is None else str(row[0])
