"""The power fails while the gallery is written, on a disk that drops what was not synced.

Nothing that was promised is lost, nothing that was erased comes back, and whatever was in hand has happened or has not.
"""

import pickle
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drivers.secure_element.key_file import State
from drivers.secure_element.software import SoftwareSecureElement, in_memory
from tests.absent import absent
from tests.gallery.old_gallery import write_version_2
from tests.gallery.people import opened
from tests.gallery.power_cut import Disk, Step, build, run
from tests.gallery.power_cut_workload import held

WORKLOAD = Path(__file__).with_name("power_cut_workload.py")
AT_RANDOM = 120


@dataclass(frozen=True)
class Story:
    """What a process did, and the files that were there before."""

    steps: list[Step]
    before: dict[str, bytes]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        absent("gcc is not installed: apt-get install gcc libc6-dev")
    return build(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def everything(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("everything")
    return Story(run(library, WORKLOAD, folder, folder.with_suffix(".log"), "everything"), {})


@pytest.fixture(scope="module")
def migration(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A gallery of version 2 with three people is opened."""
    folder = tmp_path_factory.mktemp("migration")
    element = in_memory()
    write_version_2(folder / "gallery.db", element, people=3, erased=1)
    before = {"gallery.db": (folder / "gallery.db").read_bytes()}
    shutil.copy(folder / "gallery.db", folder.with_suffix(".copy"))
    with closing(opened(folder.with_suffix(".copy"), element)) as migrated:
        promised = held(migrated)
    folder.with_suffix(".state").write_bytes(pickle.dumps((element._state, promised)))
    return Story(run(library, WORKLOAD, folder, folder.with_suffix(".log"), "migration"), before)


@dataclass(frozen=True)
class Cut:
    """Just before step `at`: the disk, the element as it was, what had been promised, and what was in hand."""

    at: int
    disk: Disk
    element: State
    promised: Any
    next: Any


def cuts(story: Story) -> Iterator[Cut]:
    """Every moment between two steps, the last included."""
    notes = [pickle.loads(step.data) if step.what == "M" else None for step in story.steps]
    promises = [note[1] for note in notes if note is not None and note[0] == "held"]
    disk, element, promised = Disk(dict(story.before)), None, 0
    for at, (step, note) in enumerate([*zip(story.steps, notes, strict=True), (None, None)]):
        if element is not None:
            last = promises[promised - 1] if promised else None
            yield Cut(at, disk, element, last, promises[promised] if promised < len(promises) else last)
        if note is not None and note[0] == "element":
            element = note[1]
        elif note is not None:
            promised += 1
        elif step is not None:
            disk.do(step)


def check(cut: Cut, files: dict[str, bytes], folder: Path) -> None:
    """Start again on what is left."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    states = [cut.element]
    element = SoftwareSecureElement(cut.element, states.append)
    for _ in range(2):
        with closing(opened(folder / "gallery.db", element)) as gallery:
            there = held(gallery)
            nothing = cut.promised is None and there == [[], [], [], []]
            assert nothing or there in (cut.promised, cut.next), f"step {cut.at}"
            assert states[-1].first == gallery.epoch, f"step {cut.at}: an old epoch stands"
    if "backup.db" in files:
        with closing(sqlite3.connect(folder / "backup.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    shutil.rmtree(folder)


@pytest.mark.parametrize("keep", [0.0, 1.0], ids=["all that was not synced is lost", "the process alone was killed"])
@pytest.mark.parametrize("story", ["everything", "migration"])
def test_power_fails_at_every_step(story: str, keep: float, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    told: Story = request.getfixturevalue(story)
    count, last = 0, None
    for cut in cuts(told):
        around = {step.what for step in told.steps[max(0, cut.at - 1) : cut.at + 1]}
        if keep and around == {"W"}:
            continue  # between two writes: some of those are taken at random below
        files = cut.disk.after_a_cut(None, keep=keep)
        seen = (files, cut.element, cut.promised)
        if seen != last:  # else nothing but what is lost was done since
            check(cut, files, tmp_path / str(cut.at))
            last, count = seen, count + 1
    assert count > 5


def test_power_fails_at_random_and_any_part_of_what_was_not_synced_is_left(
    everything: Story, migration: Story, tmp_path: Path
) -> None:
    for story, times in ((everything, AT_RANDOM), (migration, AT_RANDOM // 5)):
        rng = random.Random(len(story.steps))
        chosen = sorted(rng.choices(range(len(story.steps)), k=times))
        for cut in cuts(story):
            for again in range(chosen.count(cut.at)):
                files = cut.disk.after_a_cut(rng, keep=rng.choice((0.2, 0.5, 0.8)))
                check(cut, files, tmp_path / f"{cut.at}-{again}")


def test_disk_of_the_model_ends_with_the_bytes_of_the_real_one(
    everything: Story, library: Path, tmp_path: Path
) -> None:
    """Else something is written past what is watched, and the tests above prove nothing."""
    folder = tmp_path / "folder"
    folder.mkdir()
    disk = Disk()
    for step in run(library, WORKLOAD, folder, tmp_path / "log", "everything"):
        if step.what != "M":
            disk.do(step)
    real = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "mark"}
    assert disk.after_a_cut(None, keep=1.0) == real
    synced = disk.after_a_cut(None, keep=0.0)
    assert {name: content for name, content in synced.items() if name in real} == real
    kinds = {step.what for step in everything.steps}
    assert kinds == set("OWTSDURM")
