"""What every export of a network of ours does: three files, opened, compared with float, written with their hashes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from drivers.npu import onnx as onnx_runtime
from drivers.npu import tflite as tflite_runtime
from drivers.npu.interface import Network
from models.answers import Answers
from models.manifest import WEIGHTS_DIR, ModelError, find
from models.train import convert
from models.train.macs import macs

MOST_BYTES = 2_000_000
ANSWERED = 20
ANSWER_STEPS = 500
"""The kept answers' inputs are rounded to steps of 1/500, four times finer than int8 itself."""

F32 = NDArray[np.float32]
Sections = dict[str, dict[str, str | int]]


def digest_of(parameters: dict[str, torch.Tensor]) -> str:
    """SHA-256 of the parameters, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(parameters.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def converted(network: torch.nn.Module, calibration: Sequence[F32], name: str, log: Path) -> dict[str, bytes]:
    """`parent`, `onnx`, `tflite`: float ONNX and both int8 files, calibrated on groups of (N, C, H, W)."""
    model = convert.float_onnx(network, (1, *calibration[0].shape[1:]))
    return {
        "parent": model.SerializeToString(deterministic=True),
        "onnx": convert.int8_onnx(model, calibration, name).SerializeToString(deterministic=True),
        "tflite": convert.int8_tflite(network, calibration, log),
    }


def opened(made: dict[str, bytes]) -> dict[str, Network]:
    """Each of the three on its runtime."""
    return {
        "parent": onnx_runtime.open_network(made["parent"], name="parent"),
        "onnx": onnx_runtime.open_network(made["onnx"], name="onnx"),
        "tflite": tflite_runtime.open_network(made["tflite"], name="tflite", layout="NHWC"),
    }


def run(network: Network, inputs: F32) -> F32:
    """(N, M) of (N, C, H, W), one after another."""
    return np.concatenate([network.run(one[None])[0] for one in inputs])


def answers(parent: Network, inputs: F32, people: str) -> Answers:
    """What float answers to (N, C, H, W) `inputs`, rounded as they are kept."""
    rounded = np.rint(inputs * ANSWER_STEPS).astype(np.int16)
    asked = Answers(rounded, 1 / ANSWER_STEPS, 1, np.empty(0, np.float32), people)
    outputs = np.concatenate([parent.run(asked.tensor(index))[0] for index in range(len(rounded))])
    return Answers(rounded, asked.unit, 1, outputs.astype(np.float32), people)


def write(name: str, made: dict[str, bytes], digest: str) -> Sections:
    """Write the files; the manifest's lines of them are returned. Raises ModelError where it does not name one."""
    entry = find(name)
    files = {key: entry.parent if key == "parent" else entry.files[key] for key in made}
    sections: Sections = {}
    WEIGHTS_DIR.mkdir(exist_ok=True)
    for key, file in files.items():
        if file is None:
            raise ModelError(f"manifest: {name} names no {key}")
        (WEIGHTS_DIR / file.file).write_bytes(made[key])
        table = "parent" if key == "parent" else f"files.{key}"
        sections[f"{name}.{table}"] = {"bytes": len(made[key]), "sha256": hashlib.sha256(made[key]).hexdigest()}
    sections[f"{name}.made"] = {"checkpoint": digest}
    sections[name] = {"macs": macs(onnx.load_model_from_string(made["parent"]), list(entry.macs_shape))}
    return sections
