"""TFLite networks behind the one interface: scales, layouts, delegates, and a runtime that only pretends to be there.

These run with `ai-edge-litert` and, by `tools/tflite-env`, with `tflite-runtime` under numpy 1.
"""

import ctypes
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drivers.npu import onnx, tflite
from drivers.npu.interface import Network, NetworkError
from models.answers import load_answers
from models.manifest import read_network

NAME = "depth_identity"


@pytest.fixture(scope="module")
def model() -> bytes:
    return read_network(NAME, runtime="tflite")


@pytest.fixture(scope="module")
def network(model: bytes) -> Network:
    return tflite.open_network(model, name=NAME, layout="NHWC")


def test_it_takes_and_gives_what_the_onnx_file_does(network: Network) -> None:
    face = load_answers(NAME).tensor(3)
    (here,) = network.run(face)
    (there,) = onnx.open_network(read_network(NAME)).run(face)
    assert here.shape == there.shape == (1, 128)
    assert here.dtype == there.dtype == np.float32
    assert float(here[0] @ there[0] / np.linalg.norm(here) / np.linalg.norm(there)) > 0.95
    assert np.linalg.norm(here) == pytest.approx(np.linalg.norm(there), rel=0.25)


def test_the_same_input_gives_the_same_output(network: Network) -> None:
    answers = load_answers(NAME)
    first = network.run(answers.tensor(0))[0].copy()
    network.run(answers.tensor(1))
    np.testing.assert_array_equal(network.run(answers.tensor(0))[0], first)


def test_an_output_outlives_the_next_run(network: Network) -> None:
    answers = load_answers(NAME)
    first = network.run(answers.tensor(0))[0]
    before = first.copy()
    network.run(answers.tensor(1))
    np.testing.assert_array_equal(first, before)


def test_beyond_the_range_of_int8_is_its_end_not_a_turn_around(network: Network) -> None:
    ones = np.ones((1, 4, 112, 96), np.float32)
    np.testing.assert_array_equal(network.run(50 * ones)[0], network.run(2 * ones)[0])
    np.testing.assert_array_equal(network.run(-50 * ones)[0], network.run(-2 * ones)[0])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 112, 96, 4), np.float32),
        np.zeros((4, 112, 96), np.float32),
        np.zeros((1, 4, 112, 96), np.float64),
        np.zeros((1, 4, 112, 96), np.int8),
    ],
)
def test_a_tensor_that_does_not_fit_is_a_network_error(network: Network, array: np.ndarray) -> None:
    with pytest.raises(NetworkError, match=r"network depth_identity: input .* takes \(1, 4, 112, 96\) float32"):
        network.run(array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_never_becomes_one(network: Network, value: float) -> None:
    array = np.zeros((1, 4, 112, 96), np.float32)
    array[0, 1, 2, 3] = value
    with pytest.raises(NetworkError, match="no finite number"):
        network.run(array)


def test_a_number_of_inputs_that_does_not_fit_is_a_network_error(network: Network) -> None:
    with pytest.raises(NetworkError, match="2 inputs given, takes 1"):
        network.run(np.zeros(1, np.float32), np.zeros(1, np.float32))


@pytest.mark.parametrize("raw", [b"not a model", b"\0" * 200, b""])
def test_bytes_that_are_no_model_are_a_network_error(raw: bytes) -> None:
    with pytest.raises(NetworkError, match=r"network bad: .* refused the model"):
        tflite.open_network(raw, name="bad")


def test_no_threads_is_a_network_error(model: bytes) -> None:
    with pytest.raises(NetworkError, match="threads is 0"):
        tflite.open_network(model, threads=0)


def test_a_missing_delegate_says_where_it_was_looked_for(model: bytes) -> None:
    with pytest.raises(NetworkError, match=r"delegate /opt/none\.so is not there; give the whole path"):
        tflite.open_network(model, options={"delegate": "/opt/none.so"})


def test_a_delegate_is_never_searched_for_by_name(model: bytes) -> None:
    with pytest.raises(NetworkError, match="give the whole path"):
        tflite.open_network(model, options={"delegate": "libc.so.6"})


def test_a_file_that_is_no_library_is_no_delegate(model: bytes, tmp_path: Path) -> None:
    (tmp_path / "delegate.so").write_bytes(b"\x7fELF for another machine")
    with pytest.raises(NetworkError, match=r"cannot be loaded: .*is it for this CPU"):
        tflite.open_network(model, options={"delegate": str(tmp_path / "delegate.so")})


def test_a_library_that_is_no_delegate_is_refused(model: bytes) -> None:
    library = importlib.import_module("numpy.linalg._umath_linalg").__file__
    with pytest.raises(NetworkError, match="is a library, but no TFLite delegate"):
        tflite.open_network(model, options={"delegate": str(library)})


def test_options_without_a_delegate_are_refused(model: bytes) -> None:
    with pytest.raises(NetworkError, match="options cache are for a delegate, and none is named"):
        tflite.open_network(model, options={"cache": True})


class _Pretender(ModuleType):
    """A runtime that imports, and does what its test wants when it is asked for an interpreter."""

    def __init__(self, error: Exception) -> None:
        super().__init__("pretender")
        self._error = error
        self.asked: dict[str, Any] = {}

    def Interpreter(self, **asked: Any) -> SimpleNamespace:  # noqa: N802 - the runtimes' own name
        self.asked = asked
        raise self._error

    def load_delegate(self, library: str, options: dict[str, str]) -> None:
        raise ValueError(f"device of {library} is busy: {options}")


def _only(monkeypatch: pytest.MonkeyPatch, **modules: ModuleType | None) -> None:
    """Let these be the runtimes there are; None is one that does not import."""
    monkeypatch.setattr(tflite, "MODULES", tuple(modules))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_a_runtime_that_imports_and_constructs_nothing_is_passed_over(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module(tflite.open_network(model).runtime)  # type: ignore[attr-defined]
    _only(monkeypatch, old=_Pretender(SystemError("_ARRAY_API not found")), new=real)
    assert tflite.open_network(model).runtime == "new"  # type: ignore[attr-defined]


def test_without_any_runtime_it_says_why_and_what_to_install(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, old=_Pretender(SystemError("_ARRAY_API not found")), absent=None)
    with pytest.raises(NetworkError, match=r"old: imports, but constructs no.*absent: .*pip install '\.\[tflite\]'"):
        tflite.open_network(model)


def test_a_delegate_that_fails_says_why_and_nothing_runs_on_the_cpu_instead(
    model: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = _Pretender(RuntimeError("never asked"))
    _only(monkeypatch, board=runtime)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: SimpleNamespace(tflite_plugin_create_delegate=path))
    (tmp_path / "npu.so").touch()
    with pytest.raises(NetworkError, match=r"npu\.so refuses: device of .* is busy: \{'cache': '1'\}.*its driver"):
        tflite.open_network(model, options={"delegate": str(tmp_path / "npu.so"), "cache": 1})
    assert not runtime.asked
