"""Static QDQ int8 with weights per channel: of the operators named, the rest stays float.

Measured on 200 crops of real grey portraits: quantising every operator of SFace costs 1.3 points of TAR; quantising
Conv and Gemm only, with the first five convolutions in float, 0.2 (cosine to float 0.997). A network of our own is
quantised whole (`WHOLE`), so that an NPU has nothing to hand back.
Activation ranges come from a committed file, so set-up calibrates nothing and the result is the same bytes everywhere.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import onnx
from msgspec import Meta
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

OPERATORS = ("Conv", "Gemm")
WHOLE = ("Add", "Clip", "Conv", "Flatten")
"""Every operator of a network of ours."""


class Ranges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Activation ranges of one network, and what they were measured on.

    Attributes:
        network: name in the manifest.
        measured_on: images, method; for people, not for programs.
        tensors: lowest and highest value by tensor name.
    """

    network: str
    measured_on: str
    images: Annotated[int, Meta(ge=1)]
    tensors: dict[str, tuple[float, float]]


def load_ranges(path: Path) -> Ranges:
    """Decode a ranges file strictly. Raises OSError or msgspec.ValidationError."""
    return msgspec.json.decode(path.read_bytes(), type=Ranges)


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node a name from its operator and place, so that it can be spoken of. Changes `model`."""
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
        node.name = f"{node.op_type}_{counts[node.op_type]}"
    return model


def quantised_nodes(
    model: onnx.ModelProto, float_convolutions: int, operators: tuple[str, ...] = OPERATORS
) -> list[onnx.NodeProto]:
    """Return the nodes to quantise: those of `operators`, without the first `float_convolutions`."""
    return [node for node in model.graph.node if node.op_type in operators][float_convolutions:]


def quantised_tensors(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> set[str]:
    """Return the names of the activations that enter or leave `nodes`."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return {name for node in nodes for name in (*node.input, *node.output) if name and name not in weights}


def quantise(
    model: onnx.ModelProto, ranges: Ranges, float_convolutions: int, operators: tuple[str, ...] = OPERATORS
) -> onnx.ModelProto:
    """Insert QDQ pairs around the operators named, int8 activations and per-channel int8 weights.

    Args:
        model: float model, without batch normalisation.
        ranges: of every activation that enters or leaves a quantised node.
        float_convolutions: how many of the first convolutions stay float.
        operators: what to quantise.

    Raises:
        ValueError: `ranges` lacks a tensor.
    """
    model = named(model)
    nodes = quantised_nodes(model, float_convolutions, operators)
    missing = quantised_tensors(model, nodes) - ranges.tensors.keys()
    if missing:
        raise ValueError(f"ranges of {ranges.network} lack {sorted(missing)}; run `python -m models.train.ranges`")
    quantizer = QDQQuantizer(
        model,
        True,  # per channel
        False,  # reduce_range
        QuantType.QInt8,
        QuantType.QInt8,
        {
            name: TensorData(lowest=np.float32(low), highest=np.float32(high))
            for name, (low, high) in ranges.tensors.items()
        },
        [node.name for node in nodes],
        [],
        list(operators),
        {"MinimumRealRange": 1e-4},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    result: onnx.ModelProto = quantizer.model.model
    del result.graph.value_info[:]
    del result.metadata_props[:]
    result.producer_name, result.producer_version = "tessera", ""
    onnx.checker.check_model(result)
    return result
