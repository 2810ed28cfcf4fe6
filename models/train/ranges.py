"""`python -m models.train.ranges`: measure SFace's activation ranges on rendered people, and what int8 then changes.

The ranges are rounded and committed under `models/ranges`; set-up only applies them.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from drivers.npu.interface import Network
from drivers.npu.onnx import open_network
from firmware.vision.align import CROP_PX, align
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face
from firmware.vision.networks import load_network
from models.build import exact
from models.manifest import find
from models.quantise import Ranges, quantise
from models.train.activations import measure
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


def agreement(parent: Network, quantised: Network, items: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Cosine between float and int8 embedding of each crop."""
    one, other = Embedder(parent), Embedder(quantised)
    return np.array([float(one.embed(item) @ other.embed(item)) for item in items])


def main() -> int:
    """Measure, write `models/ranges/sface.json`, print the agreement on other people."""
    model = exact(find(NETWORK))
    parent = open_network(model.SerializeToString(), name=f"{NETWORK} in float")
    detector = Detector(load_network("yunet"))
    shape = (1, 3, CROP_PX, CROP_PX)
    seen = crops(detector, track(RANGE_PEOPLE, description="ranges"))
    tensors, images = measure(
        model, (np.ascontiguousarray(np.broadcast_to(crop, shape)) for crop in seen), FLOAT_CONVOLUTIONS
    )
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
    cosines = agreement(parent, open_network(quantised, name=f"{NETWORK} in int8"), others)
    sys.stdout.write(
        f"{path}: {images} images, {len(tensors)} tensors\nint8 against float on {len(cosines)} crops of other people: "
        f"cosine mean {cosines.mean():.4f}, least {cosines.min():.4f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
