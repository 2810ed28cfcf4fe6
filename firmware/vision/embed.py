"""SFace: an aligned grey crop to a unit vector."""

import numpy as np
from numpy.typing import NDArray

from drivers.npu.interface import Network, NetworkError
from firmware.vision.align import CROP_PX

EMBEDDING_SIZE = 128


class Embedder:
    """Embeds crops with SFace; keeps nothing between them."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def embed(self, crop: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (128,) float32 unit embedding of a (112, 112) float32 crop, 0..255.

        Raises:
            NetworkError: the network refused the crop, or its output is no direction.
        """
        tensor = np.ascontiguousarray(np.broadcast_to(crop.astype(np.float32), (1, 3, CROP_PX, CROP_PX)))
        raw = self._network.run(tensor)[0].reshape(-1)
        length = float(np.linalg.norm(raw))
        if raw.shape != (EMBEDDING_SIZE,) or not np.isfinite(length) or length < 1e-6:
            raise NetworkError(f"network sface: output of shape {raw.shape} and length {length} is no embedding")
        return (raw / np.float32(length)).astype(np.float32)
