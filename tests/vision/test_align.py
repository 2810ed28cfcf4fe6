"""The crop is where SFace expects it, whatever the size, turn and brightness of the face."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision.align import CROP_PX, TEMPLATE, align, similarity
from firmware.vision.embed import Embedder
from tests.vision.drawn import draw_face

EYES_TO_MOUTH = np.array([[282, 205], [358, 205], [320, 262], [292, 305], [348, 305]], np.float32)


@given(
    scale=st.floats(0.2, 8),
    turn=st.floats(-np.pi, np.pi),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_points_return_to_the_template_from_any_similarity(
    scale: float, turn: float, shift: tuple[float, float]
) -> None:
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = TEMPLATE @ rotation.T + shift
    matrix = similarity(points.astype(np.float32))
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=0.02)


def test_points_that_fall_together_give_a_finite_crop() -> None:
    crop = align(draw_face(), np.full((5, 2), 320, np.float32))
    assert crop.shape == (CROP_PX, CROP_PX)
    assert np.isfinite(crop).all()


def test_brightness_and_bit_depth_do_not_change_the_crop() -> None:
    ir = draw_face()
    reference = align(ir, EYES_TO_MOUTH)
    np.testing.assert_allclose(align(ir.astype(np.uint16) * 256, EYES_TO_MOUTH), reference, atol=2)
    np.testing.assert_allclose(align(ir // 3, EYES_TO_MOUTH), reference, atol=6)
    assert reference.min() >= 0
    assert reference.max() <= 255


def test_a_flat_image_gives_a_finite_crop() -> None:
    assert np.isfinite(align(np.zeros((480, 640), np.uint8), EYES_TO_MOUTH)).all()


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.4])
def test_size_in_the_image_does_not_change_who_it_is(scale: float, embedder: Embedder) -> None:
    centre = np.array([320, 240], np.float32)
    other = align(draw_face(scale=scale), (EYES_TO_MOUTH - centre) * np.float32(scale) + centre)
    assert float(embedder.embed(other) @ embedder.embed(align(draw_face(), EYES_TO_MOUTH))) > 0.97
