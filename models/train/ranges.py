"""`python -m models.train.ranges`: measure activation ranges on rendered people, and what int8 then changes.

Per tensor the lowest and the highest value of each image, averaged over the images (MinMax with moving average), which
outliers cannot stretch. The ranges are rounded and committed under `models/ranges`; set-up only applies them.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from rich.progress import track

from drivers.npu.interface import Network
from drivers.npu.onnx import open_network
from firmware.vision.align import CROP_PX, align
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face
from firmware.vision.networks import load_network
from models.build import read_source
from models.fold import fold
from models.manifest import load_manifest
from models.quantise import Ranges, named, quantise, quantised_nodes
from models.train.rendered import AGREEMENT_PEOPLE, RANGE_PEOPLE, probes

PROBES = 3
NETWORK = "sface"
FLOAT_CONVOLUTIONS = 5


def crops(detector: Detector, seeds: Iterable[int]) -> Iterator[NDArray[np.float32]]:
    """Yield the aligned crop of every probe in which the detector finds a face."""
    for seed in seeds:
        for frames in probes(seed, PROBES):
            face = detector.find(frames)
            if isinstance(face, Face):
                yield align(frames.ir, face.points_px)


def measure(
    model: onnx.ModelProto, inputs: Iterable[NDArray[np.float32]]
) -> tuple[dict[str, tuple[float, float]], int]:
    """Return averaged lowest and highest values of every tensor the quantiser asks for, and the number of inputs."""
    nodes = quantised_nodes(named(model), FLOAT_CONVOLUTIONS)
    names = sorted({name for node in nodes for name in (node.input[0], node.output[0])})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    present = {output.name for output in probe.graph.output}
    probe.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names if name not in present
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    values = [
        [(float(value.min()), float(value.max())) for value in session.run(names, {feed: item})] for item in inputs
    ]
    mean = np.mean(np.array(values), axis=0)
    return {name: (_digits(low), _digits(high)) for name, (low, high) in zip(names, mean, strict=True)}, len(values)


def _digits(value: Any) -> float:
    return float(f"{value:.4g}")


def agreement(exact: Network, quantised: Network, items: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Cosine between float and int8 embedding of each crop."""
    one, other = Embedder(exact), Embedder(quantised)
    return np.array([float(one.embed(item) @ other.embed(item)) for item in items])


def main() -> int:
    """Measure, write `models/ranges/sface.json`, print the agreement on other people."""
    entry = load_manifest()[NETWORK]
    model = fold(read_source(entry), tuple(entry.input_shape))
    exact = open_network(model.SerializeToString(), name=f"{NETWORK} in float")
    detector = Detector(load_network("yunet"))
    shape = (1, 3, CROP_PX, CROP_PX)
    seen = crops(detector, track(RANGE_PEOPLE, description="ranges"))
    tensors, images = measure(model, (np.ascontiguousarray(np.broadcast_to(crop, shape)) for crop in seen))
    ranges = Ranges(
        network=NETWORK,
        measured_on=f"{len(RANGE_PEOPLE)} rendered people, {PROBES} poses each; extremes averaged over images",
        images=images,
        tensors=tensors,
    )
    path = Path(__file__).parents[1] / "ranges" / f"{NETWORK}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(ranges), indent=1) + b"\n")
    quantised = quantise(model, ranges, FLOAT_CONVOLUTIONS).SerializeToString(deterministic=True)
    others = crops(detector, track(AGREEMENT_PEOPLE, description="agreement"))
    cosines = agreement(exact, open_network(quantised, name=f"{NETWORK} in int8"), others)
    sys.stdout.write(
        f"{path}: {images} images, {len(tensors)} tensors\nint8 against float on {len(cosines)} crops of other people: "
        f"cosine mean {cosines.mean():.4f}, least {cosines.min():.4f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
