"""Networks on onnxruntime's CPU provider: one session per network, few threads, no spinning between frames."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from drivers.npu.interface import Layout, Network, NetworkError, Options, check_threads

_REFUSALS: tuple[type[Exception], ...] = (
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    RuntimeError,
)
_DTYPES: Mapping[str, type[Any]] = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}


class OnnxNetwork(Network):
    """An ONNX model in memory, float or QDQ int8."""

    def __init__(self, model: bytes, threads: int, name: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # x86 without VNNI saturates its default int8 kernels: cosine 0.998 instead of 0.9999. ARM ignores this.
        options.add_session_config_entry("session.x64quantprecision", "1")
        self._name = name
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except _REFUSALS as error:
            raise NetworkError(f"network {name}: onnxruntime refused the model: {error}") from error
        self._inputs = tuple(self._session.get_inputs())
        self._outputs = tuple(output.name for output in self._session.get_outputs())

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order `run` takes them."""
        return tuple(item.name for item in self._inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order `run` returns them."""
        return self._outputs

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run once. Raises NetworkError naming the network where shapes or dtypes do not fit."""
        if len(inputs) != len(self._inputs):
            raise NetworkError(f"network {self._name}: {len(inputs)} inputs given, takes {len(self._inputs)}")
        for item, array in zip(self._inputs, inputs, strict=True):
            self._check(item, array)
        try:
            results = self._session.run(self._outputs, dict(zip(self.inputs, inputs, strict=True)))
        except _REFUSALS as error:
            raise NetworkError(f"network {self._name}: {error}") from error
        return tuple(np.asarray(result, np.float32) for result in results)

    def _check(self, item: Any, array: NDArray[Any]) -> None:
        fits = len(item.shape) == array.ndim and all(
            not isinstance(want, int) or want == have for want, have in zip(item.shape, array.shape, strict=True)
        )
        if not fits or array.dtype != _DTYPES.get(item.type):
            raise NetworkError(
                f"network {self._name}: input {item.name} is {array.shape} {array.dtype}, "
                f"takes {tuple(item.shape)} {item.type}"
            )


def open_network(
    model: bytes,
    threads: int = 1,
    name: str = "network",
    layout: Layout = "NCHW",
    options: Options = MappingProxyType({}),
) -> Network:
    """Load a model from its bytes: what was verified is what runs.

    Args:
        model: the ONNX file's content.
        threads: threads within one operator, at least 1.
        name: for messages.
        layout: of the model's own tensors; ONNX models are NCHW.
        options: this runtime has none.

    Raises:
        NetworkError: onnxruntime refused the model, or `threads`, `layout` or `options` are impossible.
    """
    check_threads(threads, name)
    if layout != "NCHW":
        raise NetworkError(f"network {name}: an ONNX model is NCHW, not {layout}")
    if options:
        raise NetworkError(f"network {name}: onnxruntime takes no options here, not {', '.join(sorted(options))}")
    return OnnxNetwork(model, threads, name)
