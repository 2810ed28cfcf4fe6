"""Whose face: how far each MakeHuman slider is pushed, drawn from a generator.

Macro targets give sex, age, weight and descent of an adult; local targets give the features. A local slider has two
opposite targets and often two sides: both sides are drawn together with a small difference, as faces are.
Sigma about 0.25 keeps the surface near the spread of real heads without turning grotesque.
"""

import re

import numpy as np

from hil.people.makehuman import Bust
from hil.sensor.surface import F32

SIGMA = {
    "cheek": 0.28, "chin": 0.3, "ears": 0.3, "eyebrows": 0.3, "eyes": 0.24, "forehead": 0.28,
    "head": 0.18, "mouth": 0.26, "neck": 0.12, "nose": 0.3,
}  # fmt: skip
SHAPE_SIGMA = 0.12  # presets of a whole head or ear, and asymmetries: one-sided, easily grotesque
SIDE_DIFFERENCE = 0.15
CLIP_SIGMA = 2.0

_OPPOSITES = ("decr|incr", "down|up", "in|out", "backward|forward", "concave|convex", "compress|uncompress")
_NEGATIVE = {word: pair.split("|")[1] for pair in _OPPOSITES for word in [pair.split("|")[0]]}
_POSITIVE = set(_NEGATIVE.values())


def slider_weights(bust: Bust, rng: np.random.Generator) -> F32:
    """(N,) float32: the weight of each target of `bust` for one adult."""
    macro = _macro_weights(rng)
    drawn: dict[str, float] = {}
    weights = np.zeros(len(bust.names), np.float32)
    for index, name in enumerate(bust.names):
        folder, target = name.split("/")
        if folder == "macrodetails":
            weights[index] = macro.get(target, 0.0)
        else:
            weights[index] = _local_weight(folder, target, drawn, rng)
    return weights


def _macro_weights(rng: np.random.Generator) -> dict[str, float]:
    """Products of one place between female and male, young and old, thin and heavy, and among three descents."""
    male = float(np.clip(rng.choice([0.12, 0.88]) + rng.normal(0, 0.1), 0, 1))
    old = float(rng.beta(1.2, 2.0)) * 0.8
    heavy = float(np.clip(rng.normal(0, 0.4), -0.9, 0.9))
    descent = dict(zip(("african", "asian", "caucasian"), rng.dirichlet([0.6, 0.6, 0.6]).tolist(), strict=True))
    build = {"averageweight": 1 - abs(heavy), "maxweight": max(heavy, 0), "minweight": max(-heavy, 0)}
    weights: dict[str, float] = {}
    for sex, sex_weight in (("female", 1 - male), ("male", male)):
        for age, age_weight in (("young", 1 - old), ("old", old)):
            both = sex_weight * age_weight
            weights |= {f"{people}-{sex}-{age}": both * share for people, share in descent.items()}
            weights |= {f"universal-{sex}-{age}-averagemuscle-{form}": both * share for form, share in build.items()}
    return weights


def _local_weight(folder: str, target: str, drawn: dict[str, float], rng: np.random.Generator) -> float:
    """How much of one local target: its slider is drawn once, and each side gets a little of its own."""
    stem, _, direction = target.rpartition("-")
    if folder == "asym" or direction not in _NEGATIVE.keys() | _POSITIVE:
        return float(min(abs(rng.normal(0, SHAPE_SIGMA)), CLIP_SIGMA * SHAPE_SIGMA))
    sigma = SIGMA[folder]
    slider = re.sub("^[lr]-", "", stem)
    for key in (f"{folder}/{slider}", f"{folder}/{stem}"):
        if key not in drawn:
            scale = sigma if key.endswith(f"/{slider}") else sigma * SIDE_DIFFERENCE
            drawn[key] = float(np.clip(rng.normal(0, scale), -CLIP_SIGMA * scale, CLIP_SIGMA * scale))
    value = drawn[f"{folder}/{slider}"] + (drawn[f"{folder}/{stem}"] if stem != slider else 0.0)
    return max(value if direction in _POSITIVE else -value, 0.0)
