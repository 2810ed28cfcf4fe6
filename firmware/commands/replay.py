"""`tessera replay`: what the terminal makes of a recording, frame by frame. Nobody is matched, nothing is paid.

Rule kept here: a recording that ends early is judged as far as it goes, with one warning and an exit code of its own.
"""

import collections
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from drivers.camera import CameraLostError, CameraNotFoundError, open_camera
from firmware.commands.inspect_recording import CUT_SHORT
from firmware.core.analysis import Finding
from firmware.core.parts import open_analyst
from firmware.liveness.gates import Freshness
from firmware.runtime.config import load_profile
from models.manifest import BUILT_DIR

SOURCES = {".mcap": "recording", ".db3": "realsense", ".bag": "realsense"}
FRAME_TIMEOUT_S = 5.0


def replay(
    file: Annotated[Path, typer.Argument(help="A recording: .mcap (Tessera), .db3 or .bag (librealsense).")],
    profile: Annotated[str, typer.Option(help="Whose limits apply.")] = "rig",
    models: Annotated[Path, typer.Option(help="Folder of the built networks.")] = BUILT_DIR,
    every: Annotated[bool, typer.Option("--every", help="Print a line for every frame.")] = False,
) -> None:
    """Play a recording through detection and the gates; exit code 3 if it ends early, 1 if it holds no frame."""
    console = Console()
    source = SOURCES.get(file.suffix)
    if source is None:
        raise CameraNotFoundError(f"{file}: unknown kind of recording; known: {', '.join(SOURCES)}")
    terms = load_profile(profile)
    analyst, _, _ = open_analyst(terms, models)
    key = "path" if source == "recording" else "file"
    camera = open_camera(source, {key: str(file)})
    # A recording is not live: its frames are judged at their own time, so only order and repetition can fail.
    freshness = Freshness(terms.stale_s)
    counts: collections.Counter[str] = collections.Counter()
    shown = Table("frame", "finding", *VALUES)
    cut_short = ""
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
        task = progress.add_task("playing")
        camera.start()
        try:
            for frames in camera.frames(FRAME_TIMEOUT_S):
                finding = analyst.look(frames, freshness, frames.timestamp_ns)
                counts[finding.reason or "good"] += 1
                if every:
                    shown.add_row(*_row(frames.sequence, finding))
                progress.update(task, description=f"frame {frames.sequence}: {finding.sentence or 'all gates hold'}")
        except CameraLostError as error:
            if not counts:
                raise
            cut_short = str(error)
        finally:
            camera.stop()
            camera.close()
    if every:
        console.print(shown)
    summary = Table("finding", "frames")
    for reason, count in counts.most_common():
        summary.add_row(reason, str(count))
    console.print(summary)
    console.print(f"{sum(counts.values())} frames of {file.name}, camera {camera.info.serial}, profile {profile}")
    if cut_short:
        warning = f"tessera: warning: {cut_short}; what stands above is of the frames before that"
        Console(stderr=True).print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(CUT_SHORT)


VALUES = ("depth_coverage", "relief", "eye_distance")


def _row(sequence: int, finding: Finding) -> list[str]:
    values = [f"{finding.values[name]:.2f}" if name in finding.values else "-" for name in VALUES]
    return [str(sequence), finding.reason or "good", *values]
