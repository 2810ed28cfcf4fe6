"""Whose skin, which paper, which resin: two disjoint families of materials, exchanged on whatever is performed.

`training` has the materials of `hil.sensor.material` as they stand, and skins near theirs. `evaluation` has other
papers, paints, plastics, resins and silicones, none within a sixth of those, and skins of the whole range of the
published coefficients: spread goes with 1 / mu_s' (0.6 to 2.0 per mm), the sharp share is 0 to 0.35, reflectance 0.40
to 0.65. Ranges of other materials are guesses about the constants of `hil.sensor.material`.

Rules kept here:
- Species and people stay as they are: materials are exchanged on the surfaces of a finished performance.
- A material follows from the family, the seed and its name: one person's skin, one maker's paper.
- A material of layers (paint over resin) is exchanged as its body would be.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from hil.artefacts.finish import skin_tone
from hil.people.actor import NEUTRAL, Actor
from hil.sensor.material import (
    CLOTH,
    HAIR,
    PAINT,
    PAPER,
    PLASTIC_OPAQUE,
    RESIN_TRANSLUCENT,
    SILICONE,
    SKIN,
    Material,
)
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import F32, Surface

Family = Literal["training", "evaluation"]

SKIN_MU_S = 1.1  # per mm: of the radii of `SKIN`
APART = 1 / 6
_RANGES: dict[str, tuple[float, float, float, float]] = {  # factor of the radii, and the sharp share
    PAPER.name: (0.5, 3.0, 0.0, 0.15),  # coated to soft
    PAINT.name: (0.5, 3.0, 0.0, 0.2),
    PLASTIC_OPAQUE.name: (0.5, 1.6, 0.05, 0.3),
    RESIN_TRANSLUCENT.name: (0.7, 1.4, 0.05, 0.3),
    SILICONE.name: (0.7, 1.4, 0.05, 0.25),
    HAIR.name: (0.5, 2.0, 0.0, 0.2),
    CLOTH.name: (0.5, 2.0, 0.0, 0.1),
}
_WHITENESS = (0.85, 1.1)  # reflectance of other papers, relative


def exchanged(performance: Performance, family: Family, skin: int, matter: int, living: Actor | None) -> Performance:
    """`performance` in the materials of `family`.

    Args:
        performance: of a person or an instrument.
        family: of materials.
        skin: seed of the skin, one person's.
        matter: seed of everything else.
        living: whose own skin shows, if anybody's: only theirs is brought to the reflectance drawn.
    """
    own, reflectance = skin_of(family, skin)
    factor = 1.0 if living is None else reflectance / skin_tone(living.head(NEUTRAL))
    others: dict[str, tuple[Material, float]] = {}
    textures: dict[int, tuple[F32, F32]] = {}

    def other(surface: Surface) -> Surface:
        if surface.material == SKIN:
            return _coated(surface, own, factor, textures)
        name = surface.material.name
        if name not in others:
            others[name] = _other(surface.material, family, matter)
        return _coated(surface, *others[name], textures)

    return lambda time_s: tuple(Placed(other(placed.surface), placed.pose) for placed in performance(time_s))


def skin_of(family: Family, seed: int) -> tuple[Material, float]:
    """Skin number `seed` of the family, and its reflectance between eyes and mouth."""
    rng = np.random.default_rng([seed, 0x5C1])
    if family == "training":
        scale, sharp, reflectance = rng.uniform(0.85, 1.15), rng.uniform(0.1, 0.3), rng.uniform(0.45, 0.60)
    else:
        scale, sharp, reflectance = SKIN_MU_S / rng.uniform(0.6, 2.0), rng.uniform(0, 0.35), rng.uniform(0.40, 0.65)
    return Material("skin", _spread(SKIN, float(scale)), float(sharp)), float(reflectance)


def _other(of: Material, family: Family, seed: int) -> tuple[Material, float]:
    """What stands for `of`, and how much lighter it is."""
    body = of.name.partition(" over ")[2] or of.name
    if family == "training" or body not in _RANGES:
        return of, 1.0
    rng = np.random.default_rng([seed, 0x3A7, *body.encode()])
    low, high, least, most = _RANGES[body]
    # narrower or wider, never about the same; evenly in the logarithm
    narrow, wide = (np.log(low), np.log(1 - APART)), (np.log(1 + APART), np.log(high))
    share = (narrow[1] - narrow[0]) / (narrow[1] - narrow[0] + wide[1] - wide[0])
    scale = float(np.exp(rng.uniform(*(narrow if rng.random() < share else wide))))
    sharp = float(rng.uniform(least, most))
    whiter = float(rng.uniform(*_WHITENESS)) if body == PAPER.name else 1.0
    return Material(f"another {of.name}", _spread(of, scale), sharp), whiter


def _spread(of: Material, scale: float) -> tuple[float, float, float]:
    near, half, far = (radius * scale for radius in of.spread_mm)
    return near, half, far


def _coated(surface: Surface, material: Material, factor: float, textures: dict[int, tuple[F32, F32]]) -> Surface:
    if factor == 1.0:
        return replace(surface, material=material)
    kept = textures.get(id(surface.albedo))
    if kept is None or kept[0] is not surface.albedo:
        lighter = np.asarray(np.clip(surface.albedo * np.float32(factor), 0.02, 0.95), np.float32)
        if len(textures) > 8:  # a display that moves has a new texture each time
            textures.clear()
        kept = textures[id(surface.albedo)] = surface.albedo, lighter
    return replace(surface, albedo=kept[1], material=material)
