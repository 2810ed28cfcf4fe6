"""The two networks that tell people apart, from the manifest or, for a candidate that is not in it, from a file."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.npu.interface import Network
from drivers.npu.onnx import open_network
from firmware.vision.canonical import Canonical
from firmware.vision.embed import MODALITIES, DepthEmbedder, Embedded, Embedder, Modality
from firmware.vision.networks import DEPTH_EMBEDDER, EMBEDDER, load_network
from firmware.vision.templates import make_templates
from hil.evaluate.errors import EvaluateError
from models.manifest import CPU, load_manifest, read_file

F32 = NDArray[np.float32]
GUIDED_NAMES = ("front", "right", "left", "down", "up")  # in the order of `presentations.GUIDED`
NAMES: dict[Modality, str] = {"ir": EMBEDDER, "depth": DEPTH_EMBEDDER}
MAX_BYTES = 256 * 1024 * 1024


class Reader:
    """One network, and the SHA-256 that names it."""

    def __init__(self, network: Network, digest: str, about: str) -> None:
        self.digest, self.about = digest, about
        self._ir, self._depth = Embedder(network), DepthEmbedder(network)

    def embed_crop(self, crop: F32) -> F32:
        """(128,) unit vector of an infrared crop. Raises NetworkError."""
        return self._ir.embed(crop)

    def embed_shape(self, shape: Canonical) -> F32:
        """(128,) unit vector of a canonical face. Raises NetworkError."""
        return self._depth.embed(shape)


def float_parent(modality: Modality) -> Reader | None:
    """The float network that the int8 one of the manifest was made of; None where it is not kept. Raises ModelError."""
    name = NAMES[modality]
    entry = load_manifest()[name]
    if entry.parent is None:
        return None
    raw = read_file(entry, entry.parent, f"network {name}")
    return Reader(open_network(raw, 1, entry.parent.file), entry.parent.sha256, f"float parent of {name}")


def reader(modality: Modality, candidate: Path | None = None, threads: int = 1) -> Reader:
    """The network of `modality`: of the manifest, or the ONNX file `candidate` instead.

    Raises:
        NetworkError, ModelError: it is not there or not what the manifest names.
        EvaluateError: the candidate cannot be read.
    """
    if candidate is None:
        name = NAMES[modality]
        network = load_network(name, threads=threads)
        digest = load_manifest()[name].files[CPU].sha256
        return Reader(network, digest, f"{name} of the manifest")
    try:
        with candidate.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise EvaluateError(f"{candidate}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise EvaluateError(f"{candidate}: larger than {MAX_BYTES} bytes")
    digest = hashlib.sha256(raw).hexdigest()
    return Reader(open_network(raw, threads, candidate.name), digest, f"{candidate.name}, not in the manifest")


def template_of(modality: Modality, poses: list[F32]) -> F32:
    """(views, 128) templates of the five guided poses' vectors, as the terminal makes them. Raises TemplateError."""
    by_name = {name: Embedded(**{modality: vector}) for name, vector in zip(GUIDED_NAMES, poses, strict=True)}
    made = make_templates(by_name)[MODALITIES.index(modality)]
    return np.asarray(made[made.any(axis=1)], np.float32)
