"""`tessera replay`: what the terminal makes of a recording, frame by frame. Nobody is matched, nothing is paid.

Rules kept here:
- A recording that ends early is judged as far as it goes, with one warning and an exit code of its own.
- A recording answers no code of this terminal, so none of its frames could pass here, and none is called good. Its own
  code is judged by `tessera evaluate presentation`: what knows other draws than the terminal's is no part of it.
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
from firmware.liveness.look import Look
from firmware.liveness.verdict import GATES, UNKNOWN, holds
from firmware.runtime.config import load_profile
from models.manifest import BUILT_DIR

SOURCES = {".mcap": "recording", ".db3": "realsense", ".bag": "realsense"}
FRAME_TIMEOUT_S = 5.0
NO_CODE = "no_code"
"""Finding of a frame that nothing speaks against but that nobody here knows how it was lit."""
NOTE = (
    "no_code: what can be told without it holds, but a recording answers no code of this terminal, and none of its "
    "frames could pass here. `tessera evaluate presentation` judges recordings by their own code."
)
LIT = ("albedo", "coherent", "code")
"""Gates that need the light that was commanded, or come after one that does."""
VALUES = GATES[1:]  # all but whether the frame is fresh, which has no value worth a column


def replay(
    file: Annotated[Path, typer.Argument(help="A recording: .mcap (Tessera), .db3 or .bag (librealsense).")],
    profile: Annotated[str, typer.Option(help="Whose limits apply.")] = "rig",
    models: Annotated[Path, typer.Option(help="Folder of the built networks.")] = BUILT_DIR,
    every: Annotated[bool, typer.Option("--every", help="Print a line for every frame.")] = False,
) -> None:
    """Play a recording through detection and gates, without code; exit code 3 if it ends early, 1 without a frame."""
    console = Console()
    source = SOURCES.get(file.suffix)
    if source is None:
        raise CameraNotFoundError(f"{file}: unknown kind of recording; known: {', '.join(SOURCES)}")
    terms = load_profile(profile)
    analyst, _, _ = open_analyst(terms, models)
    key = "path" if source == "recording" else "file"
    camera = open_camera(source, {key: str(file)})
    # A recording is not live: its frames are judged at their own time, so only order and repetition can fail.
    look = Look(analyst.basis, NotDrawn(), terms.stale_s)
    counts: collections.Counter[str] = collections.Counter()
    shown = Table("frame", "finding", *VALUES)
    cut_short = ""
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
        task = progress.add_task("playing")
        camera.start()
        try:
            for frames in camera.frames(FRAME_TIMEOUT_S):
                finding = analyst.look(frames, look, frames.timestamp_ns)
                reason = found(finding)
                counts[reason] += 1
                if every:
                    values = [f"{finding.values[name]:.2f}" if name in finding.values else "-" for name in VALUES]
                    shown.add_row(str(frames.sequence), reason, *values)
                progress.update(task, description=f"frame {frames.sequence}: {reason}")
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
    if counts[NO_CODE]:
        console.print(NOTE)
    console.print(analyst.basis.told)
    console.print(f"{sum(counts.values())} frames of {file.name}, camera {camera.info.serial}, profile {profile}")
    if cut_short:
        warning = f"tessera: warning: {cut_short}; what stands above is of the frames before that"
        Console(stderr=True).print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(CUT_SHORT)


class NotDrawn:
    """A flood of which nobody here knows what it was told."""

    def level(self, sequence: int) -> float | None:  # noqa: ARG002 - of no cycle
        """As `firmware.liveness.code.Emitted.level`."""
        return None


def found(finding: Finding) -> str:
    """What speaks against a frame, or `NO_CODE`."""
    told = [gate for gate in finding.gates if gate.name not in LIT]
    without_light = finding.face is not None and finding.reason == UNKNOWN and all(map(holds, told))
    return NO_CODE if without_light else finding.reason
