"""OpenCV zoo's `int8bq` files store weights block-quantised behind DequantizeLinear; here they become plain float32.

onnxruntime refuses the files as shipped (their weights are graph inputs). Folded, they give OpenCV's own result to
the last bit (cosine 1.00000, 0.00 px). Batch normalisation is folded into the convolution before it.
Only element-wise float32 arithmetic is used, so the result is the same bytes on every machine.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Weights = dict[str, NDArray[Any]]
IR_VERSION = 10


def fold(source: bytes, input_shape: tuple[int | str, ...]) -> onnx.ModelProto:
    """Fold an `int8bq` model to float32.

    Args:
        source: the file's content.
        input_shape: sizes of the single input; a name stands for a free one.

    Raises:
        ValueError: the graph is not of the kind expected.
    """
    model = onnx.load_model_from_string(source)
    weights: Weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = _bypass_dropout(_dequantise(list(model.graph.node), weights))
    nodes = _fold_normalisation(nodes, weights)
    return _assemble(model, nodes, weights, input_shape)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _dequantise(nodes: list[onnx.NodeProto], weights: Weights) -> list[onnx.NodeProto]:
    kept = []
    for node in nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            attributes = _attributes(node)
            quantised, scale, zero = (weights[name] for name in node.input)
            axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
            if block:
                scale, zero = (_unblock(array, block, axis, quantised.shape[axis]) for array in (scale, zero))
            weights[node.output[0]] = (quantised.astype(np.float32) - zero.astype(np.float32)) * scale
        elif node.op_type == "Reshape" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]].reshape(weights[node.input[1]])
        else:
            kept.append(node)
    return kept


def _unblock(array: NDArray[Any], block: int, axis: int, length: int) -> NDArray[Any]:
    return np.take(np.repeat(array, block, axis=axis), np.arange(length), axis=axis)


def _bypass_dropout(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    alias = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Dropout"}
    kept = [node for node in nodes if node.op_type != "Dropout"]
    for node in kept:
        node.input[:] = [alias.get(name, name) for name in node.input]
    return kept


def _fold_normalisation(nodes: list[onnx.NodeProto], weights: Weights) -> list[onnx.NodeProto]:
    """Fold each BatchNormalization whose only source is a convolution into that convolution."""
    producer = {node.output[0]: node for node in nodes if node.op_type == "Conv"}
    readers: dict[str, int] = {}
    for name in (name for node in nodes for name in node.input):
        readers[name] = readers.get(name, 0) + 1
    kept = []
    for node in nodes:
        conv = producer.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or readers[node.input[0]] != 1:
            kept.append(node)
            continue
        gamma, beta, mean, variance = (weights[name] for name in node.input[1:5])
        factor = gamma / np.sqrt(variance + np.float32(_attributes(node).get("epsilon", 1e-5)))
        bias = weights[conv.input[2]] if len(conv.input) > 2 else np.zeros_like(mean)
        name = conv.input[1]
        weights[f"{name}_folded"] = weights[name] * factor.reshape(-1, 1, 1, 1)
        weights[f"{name}_bias"] = (bias - mean) * factor + beta
        conv.input[:] = [conv.input[0], f"{name}_folded", f"{name}_bias"]
        conv.output[0] = node.output[0]
    return kept


def _assemble(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], weights: Weights, input_shape: tuple[int | str, ...]
) -> onnx.ModelProto:
    """Build a fresh model, so that nothing of the source file's incidental content remains."""
    used = {name for node in nodes for name in node.input}
    inputs = [item.name for item in model.graph.input if item.name in used and item.name not in weights]
    if len(inputs) != 1:
        raise ValueError(f"expected one input, found {inputs}")
    free = any(isinstance(size, str) for size in input_shape)
    outputs = [
        onnx.helper.make_tensor_value_info(
            item.name,
            onnx.TensorProto.FLOAT,
            [f"n_{item.name}" if free and axis == 1 else d.dim_value for axis, d in enumerate(_dims(item))],
        )
        for item in model.graph.output
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "folded",
        [onnx.helper.make_tensor_value_info(inputs[0], onnx.TensorProto.FLOAT, input_shape)],
        outputs,
        [numpy_helper.from_array(np.ascontiguousarray(weights[n]), n) for n in sorted(used & weights.keys())],
    )
    folded = onnx.helper.make_model(graph, producer_name="tessera", opset_imports=list(model.opset_import))
    folded.ir_version = IR_VERSION
    onnx.checker.check_model(folded)
    return folded


def _dims(item: onnx.ValueInfoProto) -> list[Any]:
    return list(item.type.tensor_type.shape.dim)
