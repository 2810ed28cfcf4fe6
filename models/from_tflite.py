"""MediaPipe's networks come as float TFLite files; here they become plain float32 ONNX, which every terminal runs.

Eight operators are known, those that the two networks have; any other is refused. Half-precision weights become single
ones, which changes none of them; tensors become NCHW; parametric ReLU is written as convolutions. Nothing else is
computed, so the result is the same bytes on every machine, and both runtimes answer alike (`tests/models`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Weights = dict[str, NDArray[Any]]
IR_VERSION, OPSET = 10, 17
_DTYPES: dict[int, type[Any]] = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_TO_NCHW = [0, 3, 1, 2]


def from_tflite(source: bytes, input_shape: tuple[int | str, ...]) -> onnx.ModelProto:
    """Translate a float TFLite network.

    Args:
        source: the file's content.
        input_shape: NCHW sizes of the single input.

    Raises:
        ValueError: the graph is not of the kind expected.
    """
    graph = _Graph(source)
    nodes = [node for place in range(graph.operators) for node in graph.translate(place)]
    used = {name for node in nodes for name in node.input}
    name, shape = graph.input
    if list(shape) != list(input_shape):
        raise ValueError(f"the input is {shape}, not {list(input_shape)}")
    built = helper.make_graph(
        nodes,
        "translated",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(out, onnx.TensorProto.FLOAT, sizes) for out, sizes in graph.outputs],
        [
            numpy_helper.from_array(np.ascontiguousarray(graph.weights[n]), n)
            for n in sorted(used & graph.weights.keys())
        ],
    )
    model = helper.make_model(built, producer_name="tessera", opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model


class _Graph:
    """The one subgraph of a TFLite file; `weights` are its constants by name, as ONNX wants them."""

    def __init__(self, source: bytes) -> None:
        if not tflite.Model.ModelBufferHasIdentifier(source, 0):
            raise ValueError("this is no TFLite file")
        self._model = tflite.Model.GetRootAsModel(source, 0)
        self._graph = self._model.Subgraphs(0)
        self.operators = int(self._graph.OperatorsLength())
        self._constants = self._read_constants()
        self.weights: Weights = {}
        codes = {getattr(tflite.BuiltinOperator, name): translate for name, translate in _TRANSLATE.items()}
        self._translate = codes

    @property
    def input(self) -> tuple[str, list[int]]:
        """Name and NCHW sizes."""
        if self._graph.InputsLength() != 1:
            raise ValueError(f"expected one input, found {self._graph.InputsLength()}")
        return self.name(self._graph.Inputs(0)), self.shape(self._graph.Inputs(0))

    @property
    def outputs(self) -> list[tuple[str, list[int]]]:
        """Names and NCHW sizes."""
        indices = [self._graph.Outputs(place) for place in range(self._graph.OutputsLength())]
        return [(self.name(index), self.shape(index)) for index in indices]

    def name(self, index: int) -> str:
        """Of a tensor."""
        return str(self._graph.Tensors(index).Name().decode())

    def shape(self, index: int) -> list[int]:
        """Of a tensor, NCHW where it is an image."""
        sizes = [int(size) for size in self._graph.Tensors(index).ShapeAsNumpy()]
        return [sizes[axis] for axis in _TO_NCHW] if len(sizes) == 4 else sizes

    def constant(self, index: int) -> NDArray[Any]:
        """Of a tensor that has a value. Raises ValueError."""
        if index not in self._constants:
            raise ValueError(f"tensor {self.name(index)} is computed, and a constant is expected")
        return self._constants[index]

    def weight(self, index: int, axes: list[int], shape: list[int] | None = None) -> str:
        """Keep a constant as float32 with its axes in the order `axes`; returns its name."""
        name = self.name(index)
        turned = self.constant(index).astype(np.float32).transpose(axes)
        self.weights[name] = turned if shape is None else turned.reshape(shape)
        return name

    def translate(self, place: int) -> list[onnx.NodeProto]:
        """The ONNX nodes of operator number `place`. Raises ValueError."""
        operator = self._graph.Operators(place)
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if builtin not in self._translate:
            raise ValueError(f"operator {tflite.opcode2name(builtin)} is not known here")
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        return self._translate[builtin](self, inputs, int(operator.Outputs(0)), operator.BuiltinOptions())

    def share(self, source: int, target: int) -> None:
        """Let a tensor have another one's constant value."""
        self._constants[target] = self.constant(source)

    def _read_constants(self) -> dict[int, NDArray[Any]]:
        constants = {}
        for index in range(self._graph.TensorsLength()):
            tensor = self._graph.Tensors(index)
            buffer = self._model.Buffers(tensor.Buffer())
            if buffer.DataLength():
                if tensor.Type() not in _DTYPES:
                    raise ValueError(f"tensor {self.name(index)} is of a type that is not known here")
                raw = buffer.DataAsNumpy().tobytes()
                constants[index] = np.frombuffer(raw, _DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
        return constants


def _options(kind: Any, table: Any) -> Any:
    options = kind()
    options.Init(table.Bytes, table.Pos)
    fused = getattr(options, "FusedActivationFunction", lambda: tflite.ActivationFunctionType.NONE)()
    if fused != tflite.ActivationFunctionType.NONE:
        raise ValueError("an activation fused into an operator is not known here")
    return options


def _window(graph: _Graph, source: int, target: int, options: Any, kernel: tuple[int, int]) -> dict[str, Any]:
    """Strides and padding as ONNX has them: TFLite pads what `SAME` needs, the odd pixel behind."""
    strides = [options.StrideH(), options.StrideW()]
    pads = [[0, 0], [0, 0]]
    if options.Padding() == tflite.Padding.SAME:
        for axis, (size, out) in enumerate(zip(graph.shape(source)[2:], graph.shape(target)[2:], strict=True)):
            whole = max((out - 1) * strides[axis] + kernel[axis] - size, 0)
            pads[axis] = [whole // 2, whole - whole // 2]
    return {
        "kernel_shape": list(kernel),
        "strides": strides,
        "pads": [pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
    }


def _conv(graph: _Graph, inputs: list[int], target: int, table: Any) -> list[onnx.NodeProto]:
    options, source = _options(tflite.Conv2DOptions, table), inputs[0]
    if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
        raise ValueError("a dilated convolution is not known here")
    kernel = graph.constant(inputs[1]).shape[1:3]
    names = [graph.name(source), graph.weight(inputs[1], _TO_NCHW), graph.weight(inputs[2], [0])]
    return [helper.make_node("Conv", names, [graph.name(target)], **_window(graph, source, target, options, kernel))]


def _depthwise(graph: _Graph, inputs: list[int], target: int, table: Any) -> list[onnx.NodeProto]:
    options, source = _options(tflite.DepthwiseConv2DOptions, table), inputs[0]
    if options.DepthMultiplier() != 1 or (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
        raise ValueError("a depthwise convolution with a multiplier or dilation is not known here")
    kernel = graph.constant(inputs[1]).shape[1:3]
    names = [graph.name(source), graph.weight(inputs[1], [3, 0, 1, 2]), graph.weight(inputs[2], [0])]
    window = _window(graph, source, target, options, kernel)
    return [helper.make_node("Conv", names, [graph.name(target)], group=graph.shape(source)[1], **window)]


def _max_pool(graph: _Graph, inputs: list[int], target: int, table: Any) -> list[onnx.NodeProto]:
    options = _options(tflite.Pool2DOptions, table)
    window = _window(graph, inputs[0], target, options, (options.FilterHeight(), options.FilterWidth()))
    return [helper.make_node("MaxPool", [graph.name(inputs[0])], [graph.name(target)], **window)]


def _prelu(graph: _Graph, inputs: list[int], target: int, _table: Any) -> list[onnx.NodeProto]:
    """As `slope * x + (1 - slope) * relu(x)`, by convolutions of one pixel: a third of the time of a PRelu."""
    source, name = graph.name(inputs[0]), graph.name(target)
    channels = graph.shape(inputs[0])[1]
    slope = graph.constant(inputs[1]).astype(np.float32).reshape(channels, 1, 1, 1)
    graph.weights[f"{name}_slope"], graph.weights[f"{name}_rest"] = slope, np.float32(1) - slope
    each: dict[str, Any] = {"group": channels, "kernel_shape": [1, 1]}
    return [
        helper.make_node("Relu", [source], [f"{name}_positive"]),
        helper.make_node("Conv", [source, f"{name}_slope"], [f"{name}_sloped"], **each),
        helper.make_node("Conv", [f"{name}_positive", f"{name}_rest"], [f"{name}_added"], **each),
        helper.make_node("Add", [f"{name}_sloped", f"{name}_added"], [name]),
    ]


def _add(graph: _Graph, inputs: list[int], target: int, table: Any) -> list[onnx.NodeProto]:
    _options(tflite.AddOptions, table)
    return [helper.make_node("Add", [graph.name(index) for index in inputs], [graph.name(target)])]


def _pad(graph: _Graph, inputs: list[int], target: int, _table: Any) -> list[onnx.NodeProto]:
    name = graph.name(inputs[1])
    graph.weights[name] = graph.constant(inputs[1])[_TO_NCHW].T.reshape(-1).astype(np.int64)
    return [helper.make_node("Pad", [graph.name(inputs[0]), name], [graph.name(target)])]


def _reshape(graph: _Graph, inputs: list[int], target: int, _table: Any) -> list[onnx.NodeProto]:
    if graph.shape(inputs[0])[2:] != [1, 1]:
        raise ValueError("reshaping an image of more than one pixel would mix its axes")
    name = f"{graph.name(target)}_shape"
    graph.weights[name] = np.array(graph.shape(target), np.int64)
    return [helper.make_node("Reshape", [graph.name(inputs[0]), name], [graph.name(target)])]


def _dequantise(graph: _Graph, inputs: list[int], target: int, _table: Any) -> list[onnx.NodeProto]:
    if graph.constant(inputs[0]).dtype != np.float16:
        raise ValueError("only half-precision weights are known here")
    graph.share(inputs[0], target)
    return []


_TRANSLATE: dict[str, Callable[[_Graph, list[int], int, Any], list[onnx.NodeProto]]] = {
    "ADD": _add,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _dequantise,
    "MAX_POOL_2D": _max_pool,
    "PAD": _pad,
    "PRELU": _prelu,
    "RESHAPE": _reshape,
}
