"""The list of presentations: which recording shows whom, or which instrument of which species.

Rules kept here:
- The list is somebody's upload: every row is checked, and an error names line and column.
- A name decides what counts as a trial, so a name has one spelling: two that differ in case, width or spaces only are
  refused, and a recording stands in one row.
- A relative path stays in the list's folder, links followed; what lies elsewhere is named by its absolute path.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hil.evaluate.csv_rows import read_rows
from hil.evaluate.errors import EvaluateError

COLUMNS = ("path", "label", "species", "subject", "instrument", "level")
GROUPS = "groups"
LEVELS = ("A", "B", "C")
MAX_BYTES = 64 * 1024 * 1024
MAX_ROWS = 100_000
MAX_NAME = 64  # characters
MAX_SPECIES = 200
MAX_GROUPS = 8  # of one person
MAX_CELLS = 200  # of all groups
SPECIES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
BONA_FIDE = "bona_fide"

Label = Literal["bona_fide", "attack"]


@dataclass(frozen=True, slots=True)
class Presentation:
    """One row.

    Attributes:
        name: `path` as it stands in the list.
        path: of the recording.
        label: what it shows.
        species: of the presentation attack instrument; empty for a bona fide presentation, as are the next two.
        subject: who presents himself, or whose likeness the instrument is.
        instrument: which one of its species.
        level: effort class of the attack, or empty.
        groups: of a bona fide presentation, value by name.
    """

    name: str
    path: Path
    label: Label
    species: str
    subject: str
    instrument: str
    level: str
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def pair(self) -> tuple[str, str]:
        """Identity and instrument: what a trial of an attack is."""
        return self.subject, self.instrument


def read_manifest(path: Path) -> list[Presentation]:
    """Read the list. Raises EvaluateError."""
    listed: list[Presentation] = []
    lines: dict[Path, str] = {}
    names: dict[tuple[str, str], str] = {}
    cells: set[tuple[str, str]] = set()
    species: set[str] = set()
    for where, row in read_rows(path, _columns, "presentations", MAX_BYTES, MAX_ROWS):
        one = _presentation(path, where, row)
        if one.path in lines:
            raise EvaluateError(f"{where}: path: the recording of {lines[one.path]} again")
        lines[one.path] = where.rpartition(", ")[2]
        for column in ("species", "subject", "instrument"):
            name = getattr(one, column)
            known = names.setdefault((column, _folded(name)), name)
            if known != name:
                raise EvaluateError(f"{where}: {column}: {name!r} was {known!r} before; one name has one spelling")
        cells.update(one.groups.items())
        if len(cells) > MAX_CELLS:
            raise EvaluateError(f"{where}: {GROUPS}: more than {MAX_CELLS} groups")
        species.add(one.species)
        if len(species) > MAX_SPECIES:
            raise EvaluateError(f"{where}: species: more than {MAX_SPECIES}")
        listed.append(one)
    return listed


def _columns(path: Path, header: list[str]) -> list[str]:
    if header not in (list(COLUMNS), [*COLUMNS, GROUPS]):
        raise EvaluateError(
            f"{path}, line 1: the header is {','.join(COLUMNS)} and perhaps {GROUPS} after these, in this order; "
            f"here it is {','.join(header)[:200]!r}"
        )
    return header


def _presentation(manifest: Path, where: str, row: Mapping[str, str]) -> Presentation:
    for column, value in row.items():
        if value != value.strip():
            raise EvaluateError(f"{where}: {column}: {value!r} has spaces around it")
        if column not in ("path", GROUPS) and len(value) > MAX_NAME:
            raise EvaluateError(f"{where}: {column}: longer than {MAX_NAME} characters")
    label = row["label"]
    if label not in (BONA_FIDE, "attack"):
        raise EvaluateError(f"{where}: label: {label!r}, must be {BONA_FIDE} or attack")
    if not row["subject"]:
        raise EvaluateError(f"{where}: subject: is empty; it says whose face it is")
    if label == BONA_FIDE:
        for column in ("species", "instrument", "level"):
            if row[column]:
                raise EvaluateError(f"{where}: {column}: {row[column]!r}, must be empty for a bona fide presentation")
    else:
        if not SPECIES.fullmatch(row["species"]) or row["species"].lower() == BONA_FIDE:
            raise EvaluateError(f"{where}: species: {row['species']!r}, must be a word of letters, digits and _.+-")
        if not row["instrument"]:
            raise EvaluateError(f"{where}: instrument: is empty; it says which one of its species")
        if row["level"] not in ("", *LEVELS):
            raise EvaluateError(f"{where}: level: {row['level']!r}, must be A, B, C or empty")
        if row.get(GROUPS):
            raise EvaluateError(f"{where}: {GROUPS}: must be empty for an attack")
    return Presentation(
        row["path"],
        _found(manifest.parent, f"{where}: path", row["path"]),
        "bona_fide" if label == BONA_FIDE else "attack",
        row["species"],
        row["subject"],
        row["instrument"],
        row["level"],
        _groups(f"{where}: {GROUPS}", row.get(GROUPS, "")),
    )


def _found(folder: Path, where: str, name: str) -> Path:
    if not name:
        raise EvaluateError(f"{where}: is empty")
    if ".." in Path(name).parts:
        raise EvaluateError(f"{where}: {name!r} has .. in it; name what lies elsewhere by its absolute path")
    try:
        path = (folder / name).resolve(strict=True)
        home = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise EvaluateError(f"{where}: {name!r} is not there") from error
    if not Path(name).is_absolute() and not path.is_relative_to(home):
        raise EvaluateError(f"{where}: {name!r} leads out of {folder}; name what lies elsewhere by its absolute path")
    if not path.is_file():
        raise EvaluateError(f"{where}: {name!r} is not a file")
    return path


def _groups(where: str, words: str) -> Mapping[str, str]:
    groups: dict[str, str] = {}
    for word in words.split(";") if words else ():
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value) or len(name) > MAX_NAME or len(value) > MAX_NAME:
            raise EvaluateError(f"{where}: {word!r}, must be name=value;name=value")
        if name in groups:
            raise EvaluateError(f"{where}: {name!r} twice")
        groups[name] = value
    if len(groups) > MAX_GROUPS:
        raise EvaluateError(f"{where}: more than {MAX_GROUPS} for one person")
    return groups


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
