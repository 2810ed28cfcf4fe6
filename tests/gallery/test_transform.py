"""The secret rotation of a purpose."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.gallery.transform import Transform
from firmware.vision.templates import TEMPLATE_SHAPE, checked
from tests.gallery.people import templates

SEED = bytes(range(32))
KNOWN_IR = (-0.12773055, 0.08326629, -0.0721907, 0.04061065)
KNOWN_DEPTH = (0.02993577, -0.09793005, -0.04559759, -0.17148274)


def turned(transform: Transform, values: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty(TEMPLATE_SHAPE, np.float32)
    transform.turn(values, out=out)
    return out


def test_a_seed_means_the_same_rotation_for_ever() -> None:
    """On any machine, to rounding. Templates that are sealed now must open in ten years."""
    ones = np.full(TEMPLATE_SHAPE, 128**-0.5, np.float32)
    known = turned(Transform(SEED, "payment"), ones)
    np.testing.assert_allclose(known[0, 0, :4], KNOWN_IR, atol=2e-6)
    np.testing.assert_allclose(known[1, 2, -4:], KNOWN_DEPTH, atol=2e-6)


def test_turning_back_gives_the_templates() -> None:
    transform, back = Transform(SEED, "payment"), np.empty(TEMPLATE_SHAPE, np.float32)
    transform.turn_back(turned(transform, templates(1)), out=back)
    np.testing.assert_allclose(back, templates(1), atol=5e-7)
    checked(turned(transform, templates(1)))  # lengths stay


def test_missing_templates_stay_zeros() -> None:
    some = templates(1)
    some[1, 2] = 0
    assert not turned(Transform(SEED, "payment"), some)[1, 2].any()


def test_rotations_of_purposes_seeds_and_modalities_have_nothing_in_common() -> None:
    transforms = [Transform(SEED, "payment"), Transform(SEED, "door"), Transform(bytes(32), "payment")]
    matrices = [matrix for transform in transforms for matrix in transform._rotations]
    for i, one in enumerate(matrices):
        np.testing.assert_allclose(one @ one.T, np.eye(128), atol=2e-6)
        for other in matrices[i + 1 :]:
            assert np.abs(one @ other.T).max() < 0.6  # 16,384 cosines of random directions in 128 dimensions


def test_rotations_are_drawn_from_all_alike() -> None:
    """Eigenvalues of a Haar rotation fill the circle; a QR whose signs are left as they come crowds them."""
    angles = np.concatenate(
        [
            np.angle(np.linalg.eigvals(matrix))
            for number in range(12)
            for matrix in Transform(hashlib.sha256(bytes([number])).digest(), "door")._rotations
        ]
    )
    counts, _ = np.histogram(angles, bins=12, range=(-np.pi, np.pi))
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.2 * counts.mean()


def test_seed_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Transform(bytes(31), "payment")


def test_forgotten_rotations_are_zeros() -> None:
    transform = Transform(SEED, "payment")
    transform.close()
    assert not transform._rotations.any()
