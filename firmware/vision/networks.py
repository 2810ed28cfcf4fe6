"""The two networks of recognition, verified against the manifest and loaded on onnxruntime."""

from pathlib import Path

from drivers import plugins
from drivers.npu.interface import Network, NetworkError
from models.manifest import BUILT_DIR, ModelError, read_network

RUNTIME = "onnx"
DETECTOR = "yunet"
EMBEDDER = "sface"


def load_network(name: str, models_dir: Path = BUILT_DIR, threads: int = 1) -> Network:
    """Load a network of the manifest: the bytes that were verified are the bytes that run.

    Raises:
        NetworkError: unknown, not built, wrong hash, or refused by the runtime; says what to do.
    """
    try:
        model = read_network(name, models_dir)
    except ModelError as error:
        raise NetworkError(str(error)) from error
    network: Network = plugins.load(plugins.NETWORKS, RUNTIME)(model, threads, name)
    return network
