"""The mesh lies where the face is, whatever its size, place and brightness; and where there is none it says so."""

from pathlib import Path

import numpy as np
import pytest

from drivers.npu.interface import Network
from firmware.vision.mesh import POINTS, find_mesh, upright
from firmware.vision.networks import MESH, load_network
from tests.vision.drawn import draw_face

FIVE = np.array([[277.3, 205.1], [362.6, 203.6], [322.5, 255.1], [290.9, 305.3], [351.5, 305.2]], np.float32)
"""Of `draw_face()`, as YuNet sees it."""
MOUTH = (61, 291)  # corners


@pytest.fixture(scope="module")
def network(models_dir: Path) -> Network:
    return load_network(MESH, models_dir)


def test_it_lies_on_the_face(network: Network) -> None:
    mesh = find_mesh(network, draw_face(), FIVE)
    assert mesh.points_px.shape == (POINTS, 3)
    assert mesh.presence > 0.9
    assert mesh.present
    np.testing.assert_allclose(mesh.points_px[list(MOUTH), 1], 305, atol=12)
    assert 190 < mesh.points_px[:, 0].min() < mesh.points_px[:, 0].max() < 450


@pytest.mark.parametrize(("shift", "scale"), [((-90, 60), 1.0), ((0, 0), 0.5)])
def test_it_moves_and_shrinks_with_the_face(network: Network, shift: tuple[int, int], scale: float) -> None:
    centre = np.array([320, 240], np.float32)
    first = find_mesh(network, draw_face(), FIVE).points_px[:, :2]
    points = ((FIVE - centre) * scale + centre + shift).astype(np.float32)
    other = find_mesh(network, draw_face(320 + shift[0], 240 + shift[1], scale), points).points_px[:, :2]
    np.testing.assert_allclose(other, (first - centre) * scale + centre + shift, atol=4)


def test_sixteen_bits_and_less_light_are_the_same_face(network: Network) -> None:
    first = find_mesh(network, draw_face(), FIVE)
    dim = find_mesh(network, (draw_face().astype(np.uint16) * 64), FIVE)
    np.testing.assert_allclose(dim.points_px, first.points_px, atol=1.5)


def test_a_blank_picture_has_no_face(network: Network) -> None:
    assert not find_mesh(network, np.full((480, 640), 60, np.uint8), FIVE).present


def test_what_shows_nothing_is_not_stretched_into_something() -> None:
    noise = np.random.default_rng(1).integers(58, 62, (480, 640)).astype(np.uint8)
    assert upright(noise, np.eye(3)[:2], 64).max() < 0.6
