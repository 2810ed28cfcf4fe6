"""A trained PyTorch network to the files that run: float ONNX, int8 ONNX, int8 TFLite.

Rules kept here:
- The same parameters and faces give the same bytes: one thread, no names, dates or versions in the files.
- Batch normalisation is folded. int8 means all of it, inputs and outputs of the TFLite file too: nothing is left for
  an NPU to hand back to the CPU.
- Activation ranges are those of faces of training people. Where faces are of groups that excite a network unlike each
  other, each tensor's range is the widest of any group's: an average over all would cut off the strongest.
"""

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from models.fold import IR_VERSION
from models.quantise import WHOLE, Ranges, quantise
from models.train.activations import measure

OPSET = 17
F32 = NDArray[np.float32]


def float_onnx(network: torch.nn.Module, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Return `network`, in evaluation mode, as ONNX with input `input` of `shape` and output `embedding`."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter that folds batch norms is the old one
        torch.onnx.export(
            network,
            (torch.zeros(shape),),
            file,
            input_names=["input"],
            output_names=["embedding"],
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(file.getvalue())
    model.producer_name, model.producer_version, model.ir_version = "tessera", "", IR_VERSION
    _constants_to_weights(model.graph)
    left = {node.op_type for node in model.graph.node} - set(WHOLE)
    if left:
        raise ValueError(f"operators that stay float in int8: {', '.join(sorted(left))}")
    onnx.checker.check_model(model)
    return model


def _constants_to_weights(graph: onnx.GraphProto) -> None:
    constants = [node for node in graph.node if node.op_type == "Constant"]
    for node in constants:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)


def int8_onnx(model: onnx.ModelProto, groups: Sequence[F32], name: str) -> onnx.ModelProto:
    """Return a QDQ int8 twin of `model`, its ranges measured on groups of (N, C, H, W) faces."""
    measured = [measure(model, (face[None] for face in faces), 0, WHOLE) for faces in groups]
    tensors = {
        tensor: (min(one[tensor][0] for one, _ in measured), max(one[tensor][1] for one, _ in measured))
        for tensor in measured[0][0]
    }
    count = sum(own for _, own in measured)
    ranges = Ranges(network=name, measured_on="faces of training people", images=count, tensors=tensors)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return quantise(copy, ranges, 0, WHOLE)


def int8_tflite(network: torch.nn.Module, groups: Sequence[F32], log: Path) -> bytes:
    """Return `network` as a full int8 TFLite file, NHWC, calibrated on groups of (N, C, H, W); chatter to `log`."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    with log.open("w") as chatter, contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter):
        # converters that take seconds to import and speak while they do
        import litert_torch
        from ai_edge_quantizer import quantizer, recipe

        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = str(Path(folder) / "float.tflite")
            sample = torch.zeros(1, *groups[0].shape[2:], groups[0].shape[1])
            litert_torch.convert(litert_torch.to_channel_last_io(network, args=[0]), (sample,)).export(path)
            made = quantizer.Quantizer(path)
            made.load_quantization_recipe(recipe.static_wi8_ai8())
            measured = [
                made.calibrate(
                    {
                        "serving_default": [
                            {"args_0": np.ascontiguousarray(one.transpose(1, 2, 0)[None])} for one in faces
                        ]
                    }
                )
                for faces in groups
            ]
            return bytes(made.quantize(_widest(measured)).quantized_model)


def _widest(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the ranges of each tensor, `min` and `max`, the least and the largest."""
    ends = {"min": np.minimum, "max": np.maximum}
    return {
        tensor: {
            key: reduce(ends[key], [one[tensor][key] for one in measured]) if key in ends else value
            for key, value in own.items()
        }
        for tensor, own in measured[0].items()
    }
