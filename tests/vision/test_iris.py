"""Lids and iris lie where they were drawn, in pixels of the frame, of either eye."""

from pathlib import Path

import numpy as np
import pytest

from drivers.npu.interface import Network
from firmware.vision.iris import find_iris
from firmware.vision.mesh import Mesh, find_mesh
from firmware.vision.networks import IRIS, MESH, load_network
from tests.vision.drawn import draw_eyes, draw_face
from tests.vision.test_mesh import FIVE

GAZE_PX = (4.0, 1.0)


@pytest.fixture(scope="module")
def network(models_dir: Path) -> Network:
    return load_network(IRIS, models_dir)


@pytest.fixture(scope="module")
def mesh(models_dir: Path) -> Mesh:
    return find_mesh(load_network(MESH, models_dir), _drawn(), FIVE)


def _drawn() -> np.ndarray:
    return draw_eyes(draw_face(), gaze_px=GAZE_PX)


@pytest.mark.parametrize(("eye", "column"), [(0, 282), (1, 358)])
def test_iris_and_lids_are_where_they_were_drawn(network: Network, mesh: Mesh, eye: int, column: int) -> None:
    found = find_iris(network, _drawn(), mesh, eye)
    assert found is not None
    np.testing.assert_allclose(found.rim_px[0], [column + GAZE_PX[0], 205 + GAZE_PX[1]], atol=2)
    np.testing.assert_allclose(found.upper_px[1], [column, 198.5], atol=4)
    np.testing.assert_allclose(found.lower_px[1], [column, 211.5], atol=4)
    outward = -1 if eye == 0 else 1
    assert (found.corners_px[0, 0] - found.corners_px[1, 0]) * outward == pytest.approx(34, abs=6)


def test_an_eye_too_small_is_none(network: Network, mesh: Mesh) -> None:
    assert find_iris(network, _drawn(), Mesh(mesh.points_px * np.float32(0.05), 1.0), 0) is None
