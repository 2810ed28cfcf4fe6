"""`tessera models train` and `tessera models export`: the workshop's commands, found by entry point `tessera.models`.

PyTorch and the converters are imported when a command runs: they take seconds, and every `tessera` command passes here.
"""

import importlib.util
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from models.manifest import ModelError

BUILD = Path("build")
INSTALL = "make its environment with tools/train-env, and run `tools/train-env tessera models ...`"

Network = Annotated[Literal["depth-identity", "liveness"], typer.Argument(help="The network.")]
Faces = Annotated[
    Path | None,
    typer.Option(help="Where rendered faces are kept; what is missing is made. Default: build/NETWORK/faces."),
]
Out = Annotated[Path | None, typer.Option(help="Folder of the checkpoint. Default: build/NETWORK.")]


def _need(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelError(f"{', '.join(missing)}: not installed; {INSTALL}")


def train(
    network: Network,
    faces: Faces = None,
    out: Out = None,
    people: Annotated[int | None, typer.Option(help="How many people to train on; default: the plan's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Default: the plan's.")] = None,
) -> None:
    """Train a network, or go on where it was stopped; checkpoints after every epoch."""
    _need("torch")
    changes: dict[str, Any] = {
        key: value for key, value in (("people", people), ("epochs", epochs)) if value is not None
    }
    out = out or BUILD / network
    faces = faces or BUILD / network / "faces"
    if network == "liveness":
        from models.train import liveness

        liveness.train(liveness.Plan(**changes), faces, out)
    else:
        from models.train import depth_identity

        depth_identity.train(depth_identity.Plan(**changes), faces, out)
    Console().print(f"{out / 'checkpoint.pt'}: trained; next: tessera models export {network}")


def export(network: Network, faces: Faces = None, out: Out = None) -> None:
    """Turn the trained checkpoint into the files, manifest lines, answers and card that the repository keeps."""
    _need("torch", "litert_torch", "ai_edge_quantizer", "ai_edge_litert", "onnx", "matplotlib")
    console = Console()
    console.print(f"exporting {network}: about two minutes")
    checkpoint, faces = (out or BUILD / network) / "checkpoint.pt", faces or BUILD / network / "faces"
    if network == "liveness":
        from models.train import export_liveness

        export_liveness.export(checkpoint, faces, console)
    else:
        from models.train import export_depth

        export_depth.export(checkpoint, faces, console)
