"""Which source files something kept on disk was made by, so that a page can say what has changed since."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

NOTE = "sources.json"


def digests(patterns: Sequence[str]) -> dict[str, str]:
    """Of every file that the patterns find from the repository's root: the first 16 digits of its SHA-256."""
    paths = sorted({path for pattern in patterns for path in Path().glob(pattern)})
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}


def digest(patterns: Sequence[str]) -> str:
    """One SHA-256 over all of them."""
    return hashlib.sha256(json.dumps(digests(patterns), sort_keys=True).encode()).hexdigest()


def note(where: Path, patterns: Sequence[str]) -> None:
    """Note the files as they are in the folder `where`, unless there is a note already."""
    if not (where / NOTE).exists():
        where.mkdir(parents=True, exist_ok=True)
        (where / NOTE).write_text(json.dumps(digests(patterns), indent=1) + "\n")


def changed(where: Path, patterns: Sequence[str]) -> list[str]:
    """Files that are not as they were noted in `where`."""
    noted: dict[str, str] = json.loads((where / NOTE).read_text())
    now = digests(patterns)
    return sorted(name for name in noted.keys() | now.keys() if noted.get(name) != now.get(name))
