"""A disk whose power can fail at any moment, and that then has dropped what was not synced.

A process under `power_cut.c` writes down what it does to the files of one folder. `Disk` replays that up to any point.
A file's content is durable once the file was synced, its name once the folder was; of everything else a power cut may
leave nothing, all, or any part: each write by itself, torn at any sector.
"""

import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECTOR = 512
MARK = "mark"  # what is written to a file of this name is no file, but a note of the process itself
_HEAD = struct.Struct("<cQQQ")


@dataclass(frozen=True)
class Step:
    """One thing that was done: Open, Write, Truncate, Sync of a file, sync of the Directory, Unlink, Rename."""

    what: str
    inode: int
    at: int
    data: bytes


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)


class Disk:
    """The files of one folder while steps are replayed."""

    def __init__(self, begun_with: dict[str, bytes] | None = None) -> None:
        """`begun_with` are files that were durable before the first step; see `run`."""
        self._before = begun_with or {}
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._durable_names: dict[str, int] = {}

    def do(self, step: Step) -> None:
        """Replay a step."""
        file = self._files.setdefault(step.inode, _File()) if step.inode else None
        if step.what == "O":
            name = Path(step.data.decode()).name
            if name in self._before and file is not None:
                file.durable[:] = self._before.pop(name)
                self._durable_names[name] = step.inode
            self._names[name] = step.inode
        elif step.what in "WT" and file is not None:
            file.pending.append(step)
        elif step.what == "S" and file is not None:
            for pending in file.pending:
                _apply(file.durable, pending)
            file.pending.clear()
        elif step.what == "D":
            self._durable_names = dict(self._names)
        elif step.what == "U":
            del self._names[Path(step.data.decode()).name]
        elif step.what == "R":
            old, new = (Path(name).name for name in step.data.decode().split("\n"))
            self._names[new] = self._names.pop(old)

    def after_a_cut(self, rng: random.Random | None, *, keep: float) -> dict[str, bytes]:
        """The files by name. Of what is not durable each thing is left with the probability `keep`."""
        names = dict(self._durable_names)
        for name in self._durable_names.keys() | self._names.keys():
            if (name not in names or self._names.get(name) != names[name]) and _falls(rng, keep):
                names.pop(name, None)
                names |= {name: self._names[name]} if name in self._names else {}
        left = dict(self._before)
        for name, inode in names.items():
            content = bytearray(self._files[inode].durable)
            for step in self._files[inode].pending:
                if _falls(rng, keep):
                    _apply(content, step)
                elif rng is not None and step.what == "W" and len(step.data) > SECTOR and rng.random() < 0.2:
                    torn = rng.randrange(1, len(step.data) // SECTOR + 1) * SECTOR
                    _apply(content, Step("W", inode, step.at, step.data[:torn]))
            left[name] = bytes(content)
        return left


def _falls(rng: random.Random | None, keep: float) -> bool:
    return keep >= 1 if rng is None else rng.random() < keep


def _apply(content: bytearray, step: Step) -> None:
    end = step.at + len(step.data)
    if step.what == "T":
        del content[step.at :]
    content.extend(bytes(max(0, end - len(content))))
    if step.what == "W":
        content[step.at : end] = step.data


def build(folder: Path) -> Path:
    """Compile what is preloaded."""
    library = folder / "power_cut.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def run(library: Path, script: Path, folder: Path, log: Path, *arguments: str) -> list[Step]:
    """Run a Python script on `folder` and return what it did there, notes of its own among it."""
    environment = os.environ | {
        "LD_PRELOAD": str(library), "POWER_CUT_FOLDER": str(folder), "POWER_CUT_LOG": str(log),
        "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    subprocess.run([sys.executable, script, str(folder), *arguments], check=True, env=environment, cwd=ROOT)
    return list(_noted(_steps(log.read_bytes())))


def _steps(log: bytes) -> Iterator[Step]:
    at = 0
    while at < len(log):
        what, inode, offset, size = _HEAD.unpack_from(log, at)
        at += _HEAD.size + size
        yield Step(what.decode(), inode, offset, log[at - size : at])


def _noted(steps: Iterator[Step]) -> Iterator[Step]:
    """What is done to the file `mark` becomes steps of the kind M."""
    marks = set[int]()
    for step in steps:
        if step.what == "O" and Path(step.data.decode()).name == MARK:
            marks.add(step.inode)
        elif step.inode in marks:
            if step.what == "W":
                yield Step("M", 0, 0, step.data)
        else:
            yield step
