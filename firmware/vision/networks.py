"""The networks of recognition by name; `load_network` verifies them against the manifest."""

from models.load import load_network, runtime_of

DETECTOR = "yunet"
EMBEDDER = "sface"
DEPTH_EMBEDDER = "depth_identity"

__all__ = ["DEPTH_EMBEDDER", "DETECTOR", "EMBEDDER", "load_network", "runtime_of"]
