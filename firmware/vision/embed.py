"""From a face to the unit vectors that tell people apart: SFace for infrared, our own network for shape.

Rules kept here:
- A modality that could not be seen is missing (None), never guessed: infrared without a flood light of the camera's
  own, shape that could not be brought to the canonical pose.
- Nothing keeps a view of a frame.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from drivers.npu.interface import Network, NetworkError
from firmware.vision.align import CROP_PX, align
from firmware.vision.canonical import Canonical, canonical
from firmware.vision.face import Face

EMBEDDING_SIZE = 128
Modality = Literal["ir", "depth"]
MODALITIES: tuple[Modality, Modality] = ("ir", "depth")


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Who one frame shows: (128,) float32 unit vectors, None where that modality is missing."""

    ir: NDArray[np.float32] | None = None
    depth: NDArray[np.float32] | None = None

    def of(self, modality: Modality) -> NDArray[np.float32] | None:
        """The vector of one modality."""
        return self.ir if modality == "ir" else self.depth

    @property
    def seen(self) -> tuple[Modality, ...]:
        """The modalities that are there."""
        return tuple(modality for modality in MODALITIES if self.of(modality) is not None)


class Embedder:
    """Embeds infrared crops with SFace; keeps nothing between them."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def embed(self, crop: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (128,) float32 unit embedding of a (112, 112) float32 crop, 0..255.

        Raises:
            NetworkError: the network refused the crop, or its output is no direction.
        """
        tensor = np.ascontiguousarray(np.broadcast_to(crop.astype(np.float32), (1, 3, CROP_PX, CROP_PX)))
        return _unit(self._network.run(tensor)[0], "sface")


class DepthEmbedder:
    """Embeds canonical depth faces with the depth identity network; keeps nothing between them."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def embed(self, shape: Canonical) -> NDArray[np.float32]:
        """Return the (128,) float32 unit embedding of a canonical face. Raises NetworkError as `Embedder.embed`."""
        return _unit(self._network.run(shape.channels())[0], "depth_identity")


class FaceEmbedder:
    """Both modalities of a face in a frame."""

    def __init__(self, ir: Embedder, depth: DepthEmbedder) -> None:
        self._ir, self._depth = ir, depth

    def embed(self, frames: FrameSet, face: Face) -> Embedded:
        """Embed what can be seen of `face`. Raises NetworkError."""
        shape = canonical(frames.depth_mm, frames.intrinsics, face.points_mm)
        return Embedded(
            self._ir.embed(align(frames.ir, face.points_px)) if frames.camera.flood else None,
            None if shape is None else self._depth.embed(shape),
        )


def _unit(output: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    raw = output.reshape(-1)
    length = float(np.linalg.norm(raw))
    if raw.shape != (EMBEDDING_SIZE,) or not np.isfinite(length) or length < 1e-6:
        raise NetworkError(f"network {name}: output of shape {raw.shape} and length {length} is no embedding")
    return (raw / np.float32(length)).astype(np.float32)
