"""Each network gives the answer it gave when it was taken in: another runtime or machine that changes it is seen."""

import numpy as np
import pytest

from drivers.npu.interface import Network, NetworkError
from drivers.npu.onnx import open_network
from firmware.vision.align import align
from firmware.vision.embed import Embedder
from firmware.vision.yunet import find_candidates, look_closer
from tests.vision.drawn import draw_face

POINTS = [[277.3, 205.1], [362.6, 203.6], [322.5, 255.1], [290.9, 305.3], [351.5, 305.2]]
EMBEDDING_HEAD = [
    -0.083,
    -0.083,
    0.057,
    -0.021,
    0.046,
    0.188,
    0.006,
    -0.114,
    -0.128,
    -0.026,
    0.078,
    0.162,
    0.086,
    -0.001,
    0.067,
    -0.031,
]


def test_yunet_on_the_drawn_face(detector_network: Network) -> None:
    ir = draw_face()
    first = find_candidates(detector_network, ir)
    assert len(first) == 1
    assert first[0].box == pytest.approx([223.5, 119.8, 190.7, 256.4], abs=1.0)
    closer = look_closer(detector_network, ir, first[0])
    assert closer is not None
    np.testing.assert_allclose(closer.points_px, POINTS, atol=1.0)
    assert closer.score == pytest.approx(0.930, abs=0.01)


def test_sface_on_the_drawn_face(embedder: Embedder) -> None:
    embedding = embedder.embed(align(draw_face(), np.array(POINTS, np.float32)))
    assert embedding.shape == (128,)
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    # int8 rounds differently on ARM (cosine 0.998 to x86): two hundredths a component allow for that.
    np.testing.assert_allclose(embedding[: len(EMBEDDING_HEAD)], EMBEDDING_HEAD, atol=0.02)


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((1, 3, 112), np.float32),
        np.zeros((1, 1, 112, 112), np.float32),
        np.zeros((1, 3, 112, 112), np.float64),
    ],
)
def test_a_tensor_that_does_not_fit_is_a_network_error(detector_network: Network, tensor: np.ndarray) -> None:
    with pytest.raises(NetworkError, match="network yunet: input input is"):
        detector_network.run(tensor)


def test_a_number_of_inputs_that_does_not_fit_is_a_network_error(detector_network: Network) -> None:
    with pytest.raises(NetworkError, match="0 inputs given, takes 1"):
        detector_network.run()


@pytest.mark.parametrize("model", [b"", b"not a model", b"\x08\x0a" * 50])
def test_bytes_that_are_no_model_are_a_network_error(model: bytes) -> None:
    with pytest.raises(NetworkError, match="network bad: onnxruntime refused the model"):
        open_network(model, name="bad")


def test_no_threads_is_a_network_error() -> None:
    with pytest.raises(NetworkError, match="threads is 0"):
        open_network(b"", threads=0)


class _Broken(Network):
    """A network whose output is not a number."""

    inputs = ("data",)
    outputs = ("fc1",)

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.full((1, 128), np.nan, np.float32),)


def test_an_output_that_is_no_direction_is_refused() -> None:
    with pytest.raises(NetworkError, match="is no embedding"):
        Embedder(_Broken()).embed(np.zeros((112, 112), np.float32))
