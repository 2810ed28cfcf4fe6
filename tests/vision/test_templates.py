"""Templates have one layout, in memory and sealed; what is none is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision.embed import Embedded
from firmware.vision.templates import TEMPLATE_SHAPE, TemplateError, checked, from_bytes, make_templates, to_bytes
from tests.vision.units import unit


def _five(depth: bool = True) -> dict[str, Embedded]:
    names = ("front", "left", "right", "up", "down")
    return {name: Embedded(unit(i), unit(i + 10) if depth else None) for i, name in enumerate(names)}


def test_front_is_the_mean_of_three_poses_and_each_side_stands_alone() -> None:
    made = make_templates(_five())
    assert made.shape == TEMPLATE_SHAPE
    np.testing.assert_allclose(made[0, 1], unit(1), atol=1e-6)
    np.testing.assert_allclose(made[1, 2], unit(12), atol=1e-6)
    mean = unit(0) + unit(3) + unit(4)
    np.testing.assert_allclose(made[0, 0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_modality_that_was_never_seen_is_zeros() -> None:
    made = make_templates(_five(depth=False))
    assert made[0].any(axis=1).all()
    assert not made[1].any()


def test_templates_survive_their_bytes_and_can_be_zeroed() -> None:
    made = make_templates(_five())
    back = from_bytes(to_bytes(made))
    np.testing.assert_array_equal(back, made)
    back[:] = 0


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(TEMPLATE_SHAPE, np.float32),
        np.full(TEMPLATE_SHAPE, np.nan, np.float32),
        np.ones(TEMPLATE_SHAPE, np.float32),
        np.zeros((128,), np.float32),
        make_templates(_five()).astype(np.float64),
    ],
)
def test_what_is_no_template_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(TemplateError):
        checked(bad)


@given(st.binary(max_size=4000))
def test_random_bytes_are_no_templates(raw: bytes) -> None:
    with pytest.raises(TemplateError):
        from_bytes(raw)


def test_nobody_seen_is_no_template() -> None:
    with pytest.raises(TemplateError, match="no template"):
        make_templates({})


@pytest.mark.parametrize("bad", [np.zeros(128, np.float32), np.full(128, np.nan, np.float32), np.ones(64, np.float32)])
def test_what_is_no_embedding_makes_no_template(bad: np.ndarray) -> None:
    with pytest.raises(TemplateError, match="cannot be compared"):
        make_templates({"front": Embedded(bad, unit(1))})
