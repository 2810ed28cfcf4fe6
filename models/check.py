"""`tessera models check`: is every file the one in the manifest, and does every runtime here answer as it must?"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from drivers.npu.interface import Network, NetworkError, Options
from drivers.plugins import PluginError
from models.answers import Agreement, Answers, agreement, load_answers
from models.load import load_network
from models.manifest import BUILT_DIR, CPU, Entry, File, ModelError, Runtime, load_manifest, read_file

RUNS = 25
HASH = "hash as in the manifest"


@dataclass(frozen=True, slots=True)
class Finding:
    """One file looked at.

    Attributes:
        network, file, runtime, precision: which.
        good: whether it may run here.
        text: what is right, or what is wrong and what to do.
        agreement: with the float parent; None where it was not asked.
        cpu_ms: CPU time of one run, the median of `RUNS` on one thread; what an NPU does is not in it.
    """

    network: str
    file: str
    runtime: str
    precision: str
    good: bool
    text: str
    agreement: Agreement | None = None
    cpu_ms: float | None = None


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
            yield _parent(name, entry, entry.parent, models_dir)
        for runtime in sorted(entry.files.keys() & set(runtimes)):
            yield _file(name, entry.files[runtime], runtime, models_dir, options if runtime != CPU else {})


def _parent(name: str, entry: Entry, file: File, models_dir: Path) -> Finding:
    try:
        read_file(entry, file, f"network {name}", models_dir)
    except ModelError as error:
        return Finding(name, file.file, "-", file.precision, False, str(error))
    return Finding(name, file.file, "-", file.precision, True, f"{HASH}; runs nowhere, the int8 files are made of it")


def _file(name: str, file: File, runtime: Runtime, models_dir: Path, options: Options) -> Finding:
    try:
        network = load_network(name, models_dir, 1, runtime, options)
        answers = load_answers(name)
        found = agreement(network, answers)
        spent = _cpu_ms(network, answers)
    except (ModelError, NetworkError, PluginError) as error:
        return Finding(name, file.file, runtime, file.precision, False, str(error))
    good = found.holds(file.precision)
    text = HASH if good else f"{HASH}, but it answers otherwise than it must: do not run it here"
    return Finding(name, file.file, runtime, file.precision, good, text, found, spent)


def _cpu_ms(network: Network, answers: Answers) -> float:
    tensor, times = answers.tensor(0), []
    for _ in range(RUNS):
        start = time.thread_time()
        network.run(tensor)
        times.append(time.thread_time() - start)
    return statistics.median(times) * 1e3
