"""Networks on TensorFlow Lite: `ai-edge-litert` or the older `tflite-runtime`, whichever the board has.

Rules kept here:
- A runtime counts as there when it constructs an interpreter: tflite-runtime 2.14 imports under numpy 2 and then fails.
- int8 scales are applied in `_Tensor` and nowhere else; NHWC tensors are turned there too.
- A delegate is a library named by its whole path. Where it cannot be loaded the network does not open: no network
  runs elsewhere than it was told to.
- Nothing goes into a network that is not a finite number: int8 has no word for NaN.
"""

import ctypes
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.npu.interface import Layout, Network, NetworkError, Options, check_threads

MODULES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
INSTALL = "pip install '.[tflite]', or '.[tflite-runtime]' in an environment with numpy 1"
DELEGATE = "delegate"
_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


class _Tensor:
    """One input or output of a model file: its index, its shape as seen outside, and how its values are kept."""

    def __init__(self, details: Mapping[str, Any], layout: Layout, name: str) -> None:
        self.name, self.index = str(details["name"]), int(details["index"])
        self._dtype = np.dtype(details["dtype"])
        scale, zero = details["quantization"]
        self._scale, self._zero = np.float32(scale), np.float32(zero)
        self._turned = layout == "NHWC" and len(details["shape"]) == 4
        shape = tuple(int(size) for size in details["shape"])
        self.shape = tuple(shape[axis] for axis in _TO_NCHW) if self._turned else shape
        per_tensor = len(details["quantization_parameters"]["scales"]) == 1 and scale > 0
        if self._dtype != np.float32 and not (self._dtype in (np.int8, np.uint8) and per_tensor):
            raise NetworkError(f"network {name}: tensor {self.name} is {self._dtype} without one scale; export it anew")

    def inward(self, array: NDArray[Any]) -> NDArray[Any]:
        """Float32 as seen outside to what the model file takes."""
        turned = array.transpose(_TO_NHWC) if self._turned else array
        if self._dtype != np.float32:
            limits = np.iinfo(self._dtype)
            turned = np.clip(np.rint(turned / self._scale) + self._zero, limits.min, limits.max)
        return np.ascontiguousarray(turned, self._dtype)

    def outward(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """What the model file gives to float32 as seen outside."""
        turned = array.transpose(_TO_NCHW) if self._turned else array
        if self._dtype != np.float32:
            turned = (turned.astype(np.float32) - self._zero) * self._scale
        return np.ascontiguousarray(turned, np.float32)


class TfliteNetwork(Network):
    """A TFLite model in memory, float or full int8, on the CPU or behind a delegate."""

    def __init__(self, model: bytes, threads: int, name: str, layout: Layout, options: Options) -> None:
        self._name = name
        self._model = model  # the interpreter reads these bytes for as long as it lives
        self._interpreter, self.runtime = _interpreter(model, threads, name, options)
        self._inputs = tuple(_Tensor(item, layout, name) for item in self._interpreter.get_input_details())
        self._outputs = tuple(_Tensor(item, layout, name) for item in self._interpreter.get_output_details())

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order `run` takes them."""
        return tuple(tensor.name for tensor in self._inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order `run` returns them."""
        return tuple(tensor.name for tensor in self._outputs)

    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run once. Raises NetworkError naming the network where shapes, dtypes or values do not fit."""
        if len(inputs) != len(self._inputs):
            raise NetworkError(f"network {self._name}: {len(inputs)} inputs given, takes {len(self._inputs)}")
        for tensor, array in zip(self._inputs, inputs, strict=True):
            if array.shape != tensor.shape or array.dtype != np.float32:
                raise NetworkError(
                    f"network {self._name}: input {tensor.name} is {array.shape} {array.dtype}, "
                    f"takes {tensor.shape} float32"
                )
            if not np.isfinite(array).all():
                raise NetworkError(f"network {self._name}: input {tensor.name} holds what is no finite number")
            self._interpreter.set_tensor(tensor.index, tensor.inward(array))
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise NetworkError(f"network {self._name}: {error}") from error
        return tuple(tensor.outward(self._interpreter.get_tensor(tensor.index)) for tensor in self._outputs)


def _interpreter(model: bytes, threads: int, name: str, options: Options) -> tuple[Any, str]:
    """An interpreter with its tensors allocated, and the name of the module it is of."""
    unusable = []
    for module_name in MODULES:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            unusable.append(f"{module_name}: {error}")
            continue
        delegates = _delegates(module, name, options)
        try:
            made = module.Interpreter(model_content=model, num_threads=threads, experimental_delegates=delegates)
        except SystemError as error:  # built for another numpy
            unusable.append(f"{module_name}: imports, but constructs no interpreter: {error.__cause__ or error}")
            continue
        except (RuntimeError, ValueError) as error:
            raise NetworkError(f"network {name}: {module_name} refused the model: {error}") from error
        try:
            made.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise NetworkError(
                f"network {name}: {module_name} cannot run the model: {error}; a model compiled for an accelerator "
                "needs its delegate, the plain one needs none"
            ) from error
        return made, module_name
    raise NetworkError(f"network {name}: no TFLite runtime: {'; '.join(unusable)}; {INSTALL}")


def _delegates(module: ModuleType, name: str, options: Options) -> list[Any]:
    """The delegate of `options`, loaded, or none."""
    own = {key: str(value) for key, value in options.items() if key != DELEGATE}
    if DELEGATE not in options:
        if own:
            raise NetworkError(
                f"network {name}: options {', '.join(sorted(own))} are for a delegate, and none is named"
            )
        return []
    library = Path(str(options[DELEGATE]))
    if not library.is_absolute() or not library.is_file():
        raise NetworkError(f"network {name}: delegate {library} is not there; give the whole path of its library")
    try:
        is_delegate = hasattr(ctypes.CDLL(str(library)), "tflite_plugin_create_delegate")
    except OSError as error:
        raise NetworkError(
            f"network {name}: delegate {library} cannot be loaded: {error}; is it for this CPU?"
        ) from error
    if not is_delegate:
        raise NetworkError(f"network {name}: {library} is a library, but no TFLite delegate")
    try:
        return [module.load_delegate(str(library), options=own)]
    except ValueError as error:
        raise NetworkError(
            f"network {name}: delegate {library} refuses: {error or 'no reason given'}; "
            "check its options, its driver and its firmware"
        ) from error


def open_network(
    model: bytes,
    threads: int = 1,
    name: str = "network",
    layout: Layout = "NCHW",
    options: Options = MappingProxyType({}),
) -> Network:
    """Load a model from its bytes: what was verified is what runs.

    Args:
        model: the TFLite file's content.
        threads: threads of the CPU's kernels, at least 1.
        name: for messages.
        layout: of the model's own four-dimensional tensors.
        options: `delegate` is the whole path of an external delegate's library; all others are handed to it.

    Raises:
        NetworkError: there is no runtime, it refused the model, or the delegate is not there or failed.
    """
    check_threads(threads, name)
    return TfliteNetwork(model, threads, name, layout, options)
