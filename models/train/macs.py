"""`python -m models.train.macs`: count the multiplications of each network, and write them into the manifest."""

import math
import sys

import onnx

from models.manifest import CPU, find, load_manifest, read_network
from models.train.manifest_lines import rewrite


def macs(model: onnx.ModelProto, shape: list[int]) -> int:
    """Multiplications and additions of the convolutions and matrix products of one run at an input of `shape`."""
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = size
    for output in model.graph.output:  # sizes follow from the input's
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {
        item.name: [dimension.dim_value for dimension in item.type.tensor_type.shape.dim]
        for item in (*inferred.value_info, *inferred.output)
    }
    sizes |= {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    sizes |= {
        node.output[0]: sizes[node.input[0]]
        for node in inferred.node
        if node.input and node.input[0] in sizes and node.op_type == "DequantizeLinear"
    }
    total = 0
    for node in inferred.node:
        if node.op_type in ("Conv", "Gemm"):
            weights = sizes[node.input[1]]
            places = math.prod(sizes[node.output[0]][2:]) if node.op_type == "Conv" else 1
            total += math.prod(weights) * places
    return total


def main() -> int:
    """Count, write, print."""
    for name, entry in load_manifest().items():
        count = macs(onnx.load_model_from_string(read_network(name, runtime=CPU)), entry.macs_shape)
        rewrite({name: {"macs": count}})
        sys.stdout.write(f"{name}: {count / 1e6:.1f} million at {tuple(find(name).macs_shape)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
