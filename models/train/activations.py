"""What goes through a float network: the ranges that its quantisation needs.

Per tensor the lowest and the highest value of each input, averaged over the inputs (MinMax with moving average), which
outliers cannot stretch.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from models.quantise import OPERATORS, named, quantised_nodes, quantised_tensors


def measure(
    model: onnx.ModelProto,
    inputs: Iterable[NDArray[np.float32]],
    float_convolutions: int,
    operators: tuple[str, ...] = OPERATORS,
) -> tuple[dict[str, tuple[float, float]], int]:
    """Return averaged lowest and highest values of every tensor the quantiser asks for, and the number of inputs."""
    probe = onnx.ModelProto()
    probe.CopyFrom(named(model))
    names = sorted(quantised_tensors(probe, quantised_nodes(probe, float_convolutions, operators)))
    feed = probe.graph.input[0].name
    inner = [name for name in names if name != feed]
    present = {output.name for output in probe.graph.output}
    probe.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inner if name not in present
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # one order of additions, one result
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    seen = []
    for item in inputs:
        values = dict(zip(inner, session.run(inner, {feed: item}), strict=True)) | {feed: item}
        seen.append([(float(values[name].min()), float(values[name].max())) for name in names])
    mean = np.mean(np.array(seen), axis=0)
    return {name: (_digits(low), _digits(high)) for name, (low, high) in zip(names, mean, strict=True)}, len(seen)


def _digits(value: Any) -> float:
    return float(f"{value:.4g}")
