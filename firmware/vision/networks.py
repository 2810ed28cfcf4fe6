"""The networks of recognition by name; `load_network` verifies them against the manifest."""

import hashlib

from models.load import load_network, runtime_of
from models.manifest import find

DETECTOR = "yunet"
EMBEDDER = "sface"
DEPTH_EMBEDDER = "depth_identity"
MESH = "mesh"
IRIS = "iris"

__all__ = ["DEPTH_EMBEDDER", "DETECTOR", "EMBEDDER", "IRIS", "MESH", "load_network", "runtime_of", "template_networks"]


def template_networks() -> bytes:
    """SHA-256 over the trained weights of both embedders: templates of others cannot be compared. Raises ModelError."""
    return hashlib.sha256("\0".join(find(name).weights for name in (EMBEDDER, DEPTH_EMBEDDER)).encode()).digest()
