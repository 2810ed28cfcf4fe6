"""A set of simulated people as a terminal would meet them: enrolled in five guided poses, then each probe on its own.

Rules kept here:
- Templates are the terminal's: `make_templates` of what the guided poses gave, the best of a person's views counts.
- A probe is one frame; a terminal takes several. Who could not be enrolled, and a probe without a usable face, take no
  part in a rate and are counted. Whom a liveness gate refuses takes part: recognition is measured here.
- Vectors are kept one file a person and network: a new network costs a minute, not a new rendering.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware.vision.calibration import Reading
from firmware.vision.embed import EMBEDDING_SIZE, MODALITIES, Modality
from firmware.vision.match import centred
from firmware.vision.templates import VIEWS
from hil.evaluate.frames import Frames, folder, frames_of, restored
from hil.evaluate.networks import Reader, template_of
from hil.evaluate.presentations import GUIDED, PeopleSet, who
from hil.evaluate.rates import Trials

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Step = Callable[..., None]


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """People and probes of one set.

    Attributes:
        name: of the set.
        seeds: (p,) int64, everybody.
        age: (p,) float64, years.
        male: (p,) float64, 0..1.
        templates: by modality (p, views, 128) float32, zeros where missing.
        enrolled: (p,) bool.
        owner: (q,) int64, index of the person of each usable probe.
        probes: by modality (q, 128) float32 unit vectors.
        kind: (q,) text, `strong` or `neutral`.
        pose: (q, 6) float64, as `Frames.pose`.
        moved_mm: (q,) float64, as `Frames.moved_mm`.
        not_enrolled: how many, by reason.
        refused: how many of the enrolled a geometry gate would have refused at a guided pose, three times, by reason.
        not_acquired: probes without a usable face, by reason.
        asked: probes in all.
        gates: usable probes that a geometry gate would have refused, by reason.
    """

    name: str
    seeds: NDArray[np.int64]
    age: F64
    male: F64
    templates: dict[Modality, F32]
    enrolled: NDArray[np.bool_]
    owner: NDArray[np.int64]
    probes: dict[Modality, F32]
    kind: NDArray[np.str_]
    pose: F64
    moved_mm: F64
    not_enrolled: dict[str, int]
    refused: dict[str, int]
    not_acquired: dict[str, int]
    asked: int
    gates: dict[str, int]

    def cosines(self, modality: Modality, reading: Reading | None = None) -> F32:
        """(e, q) float32: each of the e enrolled people with every probe, larger is more alike.

        `reading`: whose mean is subtracted, None for none.
        """
        templates, probes = self.templates[modality][self.enrolled], self.probes[modality]
        if reading is not None:
            (templates, _), (probes, _) = centred(templates, reading), centred(probes, reading)
        there: NDArray[np.bool_] = np.asarray(templates.any(axis=2))
        best = np.full((len(templates), len(probes)), -1, np.float32)
        for view in range(templates.shape[1]):
            seen = templates[:, view] @ probes.T
            seen[~there[:, view]] = -1
            np.maximum(best, seen, out=best)
        return best

    def trials(self, scores: F32 | F64, people: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> Trials:
        """Trials of `people` (p,) bool among themselves: (e, q) `scores`, the probes that are `chosen` (q,)."""
        enrolled = np.flatnonzero(self.enrolled)
        rows = np.flatnonzero(people[enrolled])
        columns = np.flatnonzero(chosen & (people & self.enrolled)[self.owner])
        first, second = np.broadcast_arrays(enrolled[rows][:, None], self.owner[columns][None])
        same = np.asarray(first == second)
        kept = scores[np.ix_(rows, columns)].astype(np.float64)
        return Trials(kept.ravel(), same.ravel(), first.ravel().astype(np.int64), second.ravel().astype(np.int64))


def outline(people: PeopleSet, seed: int, root: Path) -> Frames:
    """The frames of person `seed` without relief and crop, which are large; made if not there yet."""
    path = folder(root, people) / f"{seed}.npz"
    if not path.exists():
        return frames_of(people, seed, root)
    with np.load(path, allow_pickle=False) as kept:
        small = {name: kept[name] for name in Frames.__dataclass_fields__ if name not in ("relief", "crop")}
    return Frames(relief=np.zeros((0, 0, 0), np.int16), crop=np.zeros((0, 0, 0), np.uint8), **small)


def vectors(people: PeopleSet, modality: Modality, reader: Reader, root: Path, step: Step) -> list[F32]:
    """(n, 128) float32 per person, one row a frame, NaN where there was no usable face; made if not there yet."""
    home = root / f"vectors-{modality}-{reader.digest[:12]}" / people.name
    home.mkdir(parents=True, exist_ok=True)

    def made(seed: int) -> F32:
        path = home / f"{seed}.npy"
        if not path.exists():
            partial = path.with_suffix(".partial.npy")
            np.save(partial, _embedded(frames_of(people, seed, root), modality, reader))
            partial.replace(path)
        kept: F32 = np.load(path, allow_pickle=False)
        return kept

    found = []
    with ThreadPoolExecutor(2) as pool:  # the networks run outside the interpreter's lock
        for number, one in enumerate(pool.map(made, people.seeds), start=1):
            found.append(one)
            step(completed=number)
    return found


def usable(frames: Frames) -> NDArray[np.bool_]:
    """(n,) where a face was found and could be aligned, whatever a gate says of it."""
    return np.asarray((frames.reason == "") | (frames.reason == frames.gate))


def _embedded(frames: Frames, modality: Modality, reader: Reader) -> F32:
    rows = np.full((len(frames.reason), EMBEDDING_SIZE), np.nan, np.float32)
    for index in np.flatnonzero(usable(frames)):
        if modality == "ir":
            rows[index] = reader.embed_crop(frames.crop[index].astype(np.float32))
        else:
            rows[index] = reader.embed_shape(restored(frames.relief[index]))
    return rows


def gather(people: PeopleSet, found: dict[Modality, list[F32]], root: Path) -> Cohort:
    """Make templates and line up the probes. `found`: `vectors` of each modality."""
    count = people.count
    templates = {modality: np.zeros((count, len(VIEWS), EMBEDDING_SIZE), np.float32) for modality in found}
    enrolled = np.zeros(count, bool)
    rows: list[tuple[int, str, F64, float]] = []
    probes: dict[Modality, list[F32]] = {modality: [] for modality in found}
    not_enrolled: dict[str, int] = {}
    refused: dict[str, int] = {}
    not_acquired: dict[str, int] = {}
    gates: dict[str, int] = {}
    asked = 0
    for index, seed in enumerate(people.seeds):
        frames = outline(people, seed, root)
        guided = np.flatnonzero(frames.kind == "enrol")
        seen = usable(frames)
        if not seen[guided].all() or len(guided) != len(GUIDED):
            _count(not_enrolled, str(frames.reason[guided][~seen[guided]][0]))
        else:
            enrolled[index] = True
            if frames.reason[guided].any():
                _count(refused, str(max(frames.reason[guided])))
            for modality in found:
                made = template_of(modality, list(found[modality][index][guided]))
                templates[modality][index, : len(made)] = made
        for probe in np.flatnonzero(frames.kind != "enrol"):
            asked += 1
            if not seen[probe]:
                _count(not_acquired, str(frames.reason[probe]))
                continue
            if frames.gate[probe]:
                _count(gates, str(frames.gate[probe]))
            rows.append((index, str(frames.kind[probe]), frames.pose[probe], float(frames.moved_mm[probe])))
            for modality in found:
                probes[modality].append(found[modality][index][probe])
    born = [who(seed) for seed in people.seeds]
    return Cohort(
        name=people.name,
        seeds=np.array(people.seeds, np.int64),
        age=np.array([one.age_years for one in born]),
        male=np.array([one.male for one in born]),
        templates=templates,
        enrolled=enrolled,
        owner=np.array([row[0] for row in rows], np.int64),
        probes={modality: np.array(probes[modality], np.float32) for modality in MODALITIES if modality in found},
        kind=np.array([row[1] for row in rows]),
        pose=np.array([row[2] for row in rows], np.float64).reshape(-1, 6),
        moved_mm=np.array([row[3] for row in rows], np.float64),
        not_enrolled=not_enrolled,
        refused=refused,
        not_acquired=not_acquired,
        asked=asked,
        gates=gates,
    )


def _count(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1
