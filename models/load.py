"""From a name in the manifest to a network that runs: verified bytes, on the runtime asked for.

Rule kept here: a network with no file for the runtime asked for runs on the CPU (`onnx`), where every network has one;
`runtime_of` says which it is, and `tessera doctor` and `tessera models list` print it.
"""

from pathlib import Path
from types import MappingProxyType

from drivers import plugins
from drivers.npu.interface import Network, NetworkError, Options
from models.manifest import BUILT_DIR, CPU, ModelError, Runtime, find, read_network


def runtime_of(name: str, runtime: Runtime) -> Runtime:
    """Return the runtime that network `name` runs on where `runtime` is asked for. Raises NetworkError."""
    try:
        return runtime if runtime in find(name).files else CPU
    except ModelError as error:
        raise NetworkError(str(error)) from error


def load_network(
    name: str,
    models_dir: Path = BUILT_DIR,
    threads: int = 1,
    runtime: Runtime = CPU,
    options: Options = MappingProxyType({}),
) -> Network:
    """Load a network of the manifest: the bytes that were verified are the bytes that run.

    Args:
        name: in the manifest.
        models_dir: where built networks lie; committed ones come with this package.
        threads: at least 1.
        runtime: plug-in of the group `tessera.npu`.
        options: for `runtime`, such as the path of a delegate.

    Raises:
        NetworkError: unknown, not built, wrong hash, or refused by the runtime; says what to do.
        PluginError: the runtime is not installed.
    """
    plugins.load(plugins.NETWORKS, runtime)  # one that is not there is an error, whatever runs elsewhere
    where = runtime_of(name, runtime)
    try:
        model = read_network(name, models_dir, where)
        layout = find(name).files[where].layout
    except ModelError as error:
        raise NetworkError(str(error)) from error
    opened: Network = plugins.load(plugins.NETWORKS, where)(
        model, threads, name, layout, options if where == runtime else {}
    )
    return opened
