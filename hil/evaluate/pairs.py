"""The list of pairs: which two files are compared, and whether they show one person.

Rules kept here:
- The list is somebody's upload: every row is checked, and an error names file and line.
- A picture is never compared with itself; a mesh may be: it is enrolled in some poses and looked at in others.
- A name stays inside the folder it is looked for in: no absolute path, no `..`, no link that leads out.
- Who is on a file: the columns `person_a` and `person_b`, else the folder it lies in, else its name up to the last `_`.
  `same` must agree with that: intervals are drawn by person, and a person under two names would make them too narrow.
"""

from dataclasses import dataclass
from pathlib import Path

from hil.evaluate.csv_rows import read_rows
from hil.evaluate.errors import EvaluateError

NEEDED = ("a", "b", "same")
PEOPLE = ("person_a", "person_b")
GROUP = "group"
MESHES = (".npz", ".obj")
MAX_BYTES = 512 * 1024 * 1024
MAX_ROWS = 5_000_000
MAX_GROUPS = 64


@dataclass(frozen=True, slots=True)
class Pair:
    """Two names relative to the folder of images, who is on them, and the row's group, empty without one."""

    a: str
    b: str
    person_a: str
    person_b: str
    group: str

    @property
    def same(self) -> bool:
        """Whether both show one person."""
        return self.person_a == self.person_b


def read_pairs(path: Path) -> list[Pair]:
    """Read the list. Raises EvaluateError."""
    pairs: list[Pair] = []
    groups: set[str] = set()
    for where, row in read_rows(path, _columns, "pairs", MAX_BYTES, MAX_ROWS):
        pairs.append(_pair(where, row))
        groups.add(pairs[-1].group)
        if len(groups) > MAX_GROUPS:
            raise EvaluateError(f"{where}: more than {MAX_GROUPS} groups")
    return pairs


def _columns(path: Path, header: list[str]) -> list[str]:
    known = (*NEEDED, GROUP, *PEOPLE)
    wrong = [name for name in header if name not in known]
    missing = [name for name in NEEDED if name not in header]
    if PEOPLE[0] in header or PEOPLE[1] in header:
        missing += [name for name in PEOPLE if name not in header]
    if wrong or missing or len(set(header)) != len(header):
        raise EvaluateError(
            f"{path}, line 1: the header must name a, b, same and may name group, person_a and person_b, each once; "
            f"missing: {missing or 'none'}; unknown: {[name[:40] for name in wrong] or 'none'}"
        )
    return header


def _pair(where: str, row: dict[str, str]) -> Pair:
    for name, value in row.items():
        if not value and name != GROUP:
            raise EvaluateError(f"{where}: {name} is empty")
    if row["same"] not in ("0", "1"):
        raise EvaluateError(f"{where}: same is {row['same'][:40]!r}, must be 0 or 1")
    for name in ("a", "b"):
        _check_name(f"{where}: {name}", row[name])
    if Path(row["a"]) == Path(row["b"]) and Path(row["a"]).suffix not in MESHES:
        raise EvaluateError(f"{where}: a picture beside itself says nothing")
    who = (row[PEOPLE[0]], row[PEOPLE[1]]) if PEOPLE[0] in row else (person_of(row["a"]), person_of(row["b"]))
    pair = Pair(row["a"], row["b"], *who, row.get(GROUP, ""))
    if pair.same != (row["same"] == "1"):
        raise EvaluateError(
            f"{where}: same is {row['same']}, but the sides are {who[0]!r} and {who[1]!r}; who is on a file is its "
            "folder, or its name up to the last _: rename, or add the columns person_a and person_b"
        )
    return pair


def _check_name(where: str, name: str) -> None:
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or "\\" in name or ":" in name:
        raise EvaluateError(f"{where}: {name!r} leaves the folder of images")


def person_of(name: str) -> str:
    """Who is on a file, by its name: `anna/3.png` and `anna_3.png` are anna."""
    path = Path(name)
    return str(path.parent) if len(path.parts) > 1 else path.stem.rpartition("_")[0] or path.stem


def inside(folder: Path, name: str) -> Path:
    """The file `name` in `folder`, links followed. Raises EvaluateError where it leads out or is not there."""
    try:
        path = (folder / name).resolve(strict=True)
        home = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise EvaluateError(f"{folder / name}: is not there") from error
    if not path.is_relative_to(home) or not path.is_file():
        raise EvaluateError(f"{folder / name}: is no file inside {folder}")
    return path
