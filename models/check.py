"""`tessera models check`: is every file the one in the manifest, and does every runtime here answer as it must?"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from drivers.npu.interface import Network, NetworkError, Options
from drivers.plugins import PluginError
from models.answers import Answers, agreement, load_answers
from models.load import load_network
from models.manifest import BUILT_DIR, CPU, ModelError, Runtime, load_manifest, read_file

RUNS = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """One file looked at.

    Attributes:
        network, file, runtime, precision: which.
        good: whether it may run here.
        text: what was found, or what is wrong and what to do.
        median_ms: of `RUNS` runs on one thread; None where it was not run.
    """

    network: str
    file: str
    runtime: str
    precision: str
    good: bool
    text: str
    median_ms: float | None = None


def examine(
    models_dir: Path = BUILT_DIR, runtimes: tuple[Runtime, ...] = (CPU,), options: Options = MappingProxyType({})
) -> Iterator[Finding]:
    """Yield a finding for every file of the manifest that is for one of `runtimes`, and for each float parent.

    Args:
        models_dir: where built networks lie.
        runtimes: plug-ins to ask.
        options: for the runtimes other than the CPU's, such as the path of a delegate.
    """
    for name, entry in load_manifest().items():
        if entry.parent is not None:
            try:
                read_file(entry, entry.parent, f"network {name}", models_dir)
                good, text = True, "hash as in the manifest; does not run on a terminal"
            except ModelError as error:
                good, text = False, str(error)
            yield Finding(name, entry.parent.file, "-", entry.parent.precision, good, text)
        for runtime in sorted(entry.files.keys() & set(runtimes)):
            wanted = entry.files[runtime]
            try:
                network = load_network(name, models_dir, 1, runtime, options if runtime != CPU else {})
                answers = load_answers(name)
                found = agreement(network, answers)
                text = (
                    f"hash as in the manifest; {found.count} answers to {answers.people}: "
                    f"cosine to float {found.median:.4f} median, {found.worst:.4f} worst"
                )
                yield Finding(
                    name,
                    wanted.file,
                    runtime,
                    wanted.precision,
                    found.holds(wanted.precision),
                    text,
                    _median_ms(network, answers),
                )
            except (ModelError, NetworkError, PluginError) as error:
                yield Finding(name, wanted.file, runtime, wanted.precision, False, str(error))


def _median_ms(network: Network, answers: Answers) -> float:
    tensor, times = answers.tensor(0), []
    for _ in range(RUNS):
        start = time.perf_counter()
        network.run(tensor)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3
