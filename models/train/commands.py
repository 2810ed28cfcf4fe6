"""`tessera models train` and `tessera models export`: the workshop's commands, found by entry point `tessera.models`.

PyTorch and the converters are imported when a command runs: they take seconds, and every `tessera` command passes here.
"""

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from models.manifest import ModelError

BUILD = Path("build") / "depth-identity"
INSTALL = "make its environment with tools/train-env, and run `tools/train-env tessera models ...`"

Network = Annotated[Literal["depth-identity"], typer.Argument(help="The network.")]
Faces = Annotated[Path, typer.Option(help="Where rendered faces are kept; what is missing is made.")]
Out = Annotated[Path, typer.Option(help="Folder of the checkpoint.")]


def _need(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelError(f"{', '.join(missing)}: not installed; {INSTALL}")


def train(
    network: Network,
    faces: Faces = BUILD / "faces",
    out: Out = BUILD,
    people: Annotated[int | None, typer.Option(help="How many people to train on; default: the plan's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Default: the plan's.")] = None,
) -> None:
    """Train a network, or go on where it was stopped; checkpoints after every epoch."""
    _need("torch")
    from models.train import depth_identity

    changes = {key: value for key, value in (("people", people), ("epochs", epochs)) if value is not None}
    depth_identity.train(depth_identity.Plan(**changes), faces, out)
    Console().print(f"{out / 'checkpoint.pt'}: trained; next: tessera models export {network}")


def export(network: Network, faces: Faces = BUILD / "faces", out: Out = BUILD) -> None:
    """Turn the trained checkpoint into the files, manifest lines, answers and card that the repository keeps."""
    _need("torch", "litert_torch", "ai_edge_quantizer", "ai_edge_litert", "onnx", "matplotlib")
    from models.train import export_depth

    console = Console()
    console.print(f"exporting {network}: about two minutes")
    export_depth.export(out / "checkpoint.pt", faces, console)
