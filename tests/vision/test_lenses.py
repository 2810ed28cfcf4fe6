"""Dark lenses are seen in the picture alone, and said instead of what missing depth behind them leads to."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.vision.detect import Detector
from firmware.vision.face import NoFace, Reason
from firmware.vision.lenses import DARK, dark_lenses, lens_light
from tests.vision.drawn import MakeFrame, draw_eyes, draw_face
from tests.vision.test_mesh import FIVE


def _worn(dark: int = 12) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:480, 0:640]
    worn = draw_eyes(draw_face())
    for column in (282, 358):
        worn[((x - column) / 27) ** 2 + ((y - 205) / 20) ** 2 < 1] = dark
    return worn


def test_lenses_are_seen_and_bare_eyes_are_none(make_frame: MakeFrame) -> None:
    assert not dark_lenses(make_frame(draw_eyes(draw_face()), 497), FIVE)
    assert not dark_lenses(make_frame(draw_face(), 497), FIVE)
    assert dark_lenses(make_frame(_worn(), 497), FIVE)


def test_sixteen_bits_are_the_same_light(make_frame: MakeFrame) -> None:
    one, other = (lens_light(make_frame(ir, 497), FIVE) for ir in (_worn(), _worn().astype(np.uint16) * 257))
    assert other == pytest.approx(one, abs=0.02)


def test_light_from_elsewhere_is_not_the_lenses_own(make_frame: MakeFrame) -> None:
    lit = make_frame((_worn() // 2 + 100).astype(np.uint8), 497)
    assert not dark_lenses(lit, FIVE)
    assert dark_lenses(replace(lit, ambient=np.full((480, 640), 100, np.uint8)), FIVE)


@pytest.mark.parametrize("depth", [math.nan, 0.0], ids=["unknown", "none"])
def test_no_depth_behind_lenses_is_told_as_sunglasses(detector: Detector, make_frame: MakeFrame, depth: float) -> None:
    y, x = np.mgrid[0:480, 0:640]
    mm = np.where((np.abs(y - 205) < 25) & (np.abs(x - 320) < 80), depth, 497).astype(np.float32)
    assert detector.find(make_frame(_worn(45), mm)) == NoFace(Reason.SUNGLASSES_WORN)
    assert detector.find(make_frame(draw_eyes(draw_face()), mm)) == NoFace(Reason.NO_DEPTH)


def test_points_that_fall_together_or_outside_say_nothing(make_frame: MakeFrame) -> None:
    frames = make_frame(_worn(), 497)
    assert math.isnan(lens_light(frames, np.zeros((5, 2), np.float32)))
    assert math.isnan(lens_light(frames, FIVE - np.float32(2000)))
    assert not dark_lenses(frames, np.full((5, 2), np.nan, np.float32))
    assert DARK < 0
