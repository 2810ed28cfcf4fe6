"""Cloth over mouth and nose and dark lenses are named; bare faces, clear glasses, beards and paper are not."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.core.reasons import ATTACKS, MENDABLE, SENTENCES
from firmware.liveness.coverings import covering, grain_of
from firmware.liveness.cues.ground import ground
from firmware.liveness.limits import load_limits
from firmware.liveness.patch import patch
from tests.liveness.shapes import face_at_centre, frames_of, metric_xy

LIMITS, _ = load_limits()
FACE = face_at_centre()
EYES_MM, MOUTH_MM = -31.5, 34.6  # of `face_at_centre`, down from the middle
F64 = NDArray[np.float64]


def lit(albedo: F64, relief_mm: F64 | None = None, noise: float = 0.01) -> FrameSet:
    """A frame of a bulging face of this (480, 640) albedo; brightness is albedo alone: shading has no grain."""
    x, y = metric_xy()
    frames = frames_of((x**2 + y**2) / 250 if relief_mm is None else relief_mm)
    light = albedo * np.random.default_rng(3).normal(1, noise, albedo.shape)
    ir = np.clip(200 * light, 0, 250).astype(np.uint8)
    return replace(frames, ir=ir, ambient=np.zeros_like(ir))


@cache
def bare() -> F64:
    """Skin with folds and stubble, dark lips and nostrils, brows and irises; read-only."""
    x, y = metric_xy()
    rng = np.random.default_rng(7)
    spots = np.zeros_like(x)
    for u, v in rng.uniform((-45, -55), (45, 60), (150, 2)):
        spots += np.exp(-(((x - u) / 2.5) ** 2) - ((y - v) / 2.5) ** 2)
    albedo = 0.6 * np.exp(-0.35 * spots)
    for side in (-1, 1):
        albedo -= 0.4 * np.exp(-(((x - side * 31.5) / 6) ** 2) - ((y - EYES_MM) / 4) ** 2)
        albedo -= 0.3 * np.exp(-(((x - side * 31.5) / 16) ** 2) - ((y - EYES_MM + 12) / 2.5) ** 2)
        albedo -= 0.3 * np.exp(-(((x - side * 6) / 3) ** 2) - ((y - 12) / 2) ** 2)
    albedo -= 0.25 * np.exp(-((x / 22) ** 2) - ((y - MOUTH_MM) / 3) ** 2)
    albedo = np.clip(albedo, 0.02, 1)
    albedo.flags.writeable = False
    return albedo


def named(albedo: F64, relief_mm: F64 | None = None) -> str:
    frames = lit(albedo, relief_mm)
    return covering(frames, FACE, patch(frames, FACE), LIMITS)


def masked(albedo: F64) -> F64:
    """Plain cloth from the bridge of the nose down."""
    _, y = metric_xy()
    return np.where(y > -14, 0.6, albedo)


def lenses(albedo: F64, dark: float) -> F64:
    x, y = metric_xy()
    worn = np.zeros(x.shape, bool)
    for side in (-1, 1):
        worn |= ((x - side * 31.5) / 27) ** 2 + ((y - EYES_MM - 2) / 20) ** 2 < 1
    return np.where(worn, dark, albedo)


def test_a_bare_face_is_not_covered() -> None:
    assert named(bare()) == ""


def test_a_mask_is_named() -> None:
    assert named(masked(bare())) == "mask_worn"


def test_dark_lenses_are_named() -> None:
    assert named(lenses(bare(), 0.05)) == "sunglasses_worn"


def test_a_mask_and_dark_lenses_are_named_by_the_lenses() -> None:
    assert named(lenses(masked(bare()), 0.05)) == "sunglasses_worn"


def test_a_frame_of_clear_glasses_is_no_covering() -> None:
    x, y = metric_xy()
    albedo = bare().copy()
    for side in (-1, 1):
        away = np.hypot((x - side * 31.5) / 24, (y - EYES_MM) / 18)
        albedo[np.abs(away - 1) < 0.07] = 0.05
    assert named(albedo) == ""


def test_one_dark_eye_patch_is_no_pair_of_sunglasses() -> None:
    x, _ = metric_xy()
    assert named(np.where(x < 0, lenses(bare(), 0.05), bare())) == ""


def test_a_beard_is_no_mask() -> None:
    x, y = metric_xy()
    hair = 0.15 * (1 + 0.5 * np.sin(x / 0.9) * np.sin(y / 1.3))
    albedo = np.where((y > 18) & (np.hypot(x, y - 30) < 45) & (np.hypot(x / 22, (y - MOUTH_MM) / 5) > 1), hair, bare())
    assert named(albedo) == ""


@pytest.mark.parametrize("relief", [None, np.zeros((480, 640))], ids=["head", "flat"])
def test_what_has_no_grain_anywhere_is_no_mask(relief: F64 | None) -> None:
    """A white head, a faded print, a picture out of focus: nothing tells cloth from the rest."""
    assert named(np.full((480, 640), 0.6), relief) == ""


def test_a_flat_print_of_a_face_is_no_mask() -> None:
    assert named(bare(), np.zeros((480, 640))) == ""


def test_without_a_dark_exposure_no_mask_is_named() -> None:
    frames = replace(lit(masked(bare())), ambient=None)
    assert covering(frames, FACE, patch(frames, FACE), LIMITS) == ""


def test_without_a_patch_only_lenses_are_named() -> None:
    assert covering(lit(masked(bare())), FACE, None, LIMITS) == ""
    assert covering(lit(lenses(bare(), 0.05)), FACE, None, LIMITS) == "sunglasses_worn"


def test_grain_is_unknown_where_there_is_no_depth() -> None:
    frames = lit(bare(), np.full((480, 640), np.nan))
    region = patch(frames, FACE)
    assert region is not None
    grain = grain_of(ground(frames, FACE, region))
    assert np.isnan([grain.mouth, grain.eyes]).all()
    assert covering(frames, FACE, region, LIMITS) == ""


@pytest.mark.parametrize("code", ["mask_worn", "sunglasses_worn", "not_attentive"])
def test_what_is_named_is_told_and_is_no_attack(code: str) -> None:
    assert SENTENCES[code].startswith("Please ")
    assert code in MENDABLE - ATTACKS
