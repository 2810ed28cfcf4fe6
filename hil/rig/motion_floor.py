"""`python -m hil.rig.motion_floor`: what is left of an aligned rigid head, per sensor and distance. Simulated.

Painted printed heads of ICT people, held as still as one stands and turned when asked, filmed at eight frames a second.
Nothing they show is deformation: it is the floor below which none can be seen. Beside it the time a frame takes.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.liveness.limits import load_limits
from firmware.liveness.motion import Motion
from firmware.vision.detect import Detector
from firmware.vision.networks import DETECTOR, load_network
from hil.people.living import PromptKind
from hil.rig.motion_trials import TURNS, Moved, Trial, filmed, measured

SENSORS = ("ideal", "structured-light", "d4xx")
DISTANCES_MM = (350.0, 500.0, 650.0, 800.0)
HEADS, FRAMES = 2, 20
SHOWN = "printed_head_painted"


def main(root: Annotated[Path | None, typer.Option(help="Folder to keep the frames in.")] = None) -> None:
    """Print the deformation that rigid heads seem to show, and what registration leaves of their upper faces."""
    console, detector, (limits, _) = Console(width=150), Detector(load_network(DETECTOR)), load_limits()
    with tempfile.TemporaryDirectory() as folder:
        where = root or Path(folder)
        for turned in (False, True):
            way = "turned up to 25 degrees" if turned else "held still"
            table = Table(
                "sensor",
                *(f"{z:.0f} mm" for z in DISTANCES_MM),
                title=f"{way}: lower / upper face / sigma, mm, median (largest)",
            )
            for sensor in track(SENSORS, way, console=console, transient=True):
                row = []
                for z_mm in DISTANCES_MM:
                    found = [
                        moved
                        for head in range(HEADS)
                        for moved in measured(_trial(head, sensor, z_mm, turned), detector, limits, where)
                    ]
                    row.append(_cell(found))
                table.add_row(sensor, *row)
            console.print(table)
        console.print(f"{_cost_ms(detector, where):.1f} ms a frame, CPU, median")


def _trial(head: int, sensor: str, distance_mm: float, turned: bool) -> Trial:
    ask: PromptKind | None = TURNS[2 * head % 3] if turned else None
    return Trial(SHOWN, head, None, ask, sensor=sensor, distance_mm=distance_mm, frames=FRAMES)


def _cell(found: list[Moved]) -> str:
    if not found:
        return "not measured"
    lower, upper, sigma = (
        [getattr(moved.deformation, name) for moved in found] for name in ("lower_mm", "upper_mm", "sigma_mm")
    )
    values = " / ".join(f"{np.median(of):.2f} ({max(of):.2f})" for of in (lower, upper))
    return f"{values} / {np.median(sigma):.2f}"


def _cost_ms(detector: Detector, root: Path) -> float:
    limits, _ = load_limits()
    taken = []
    for z_mm in DISTANCES_MM:
        motion = Motion(limits)
        for seen in filmed(_trial(0, SENSORS[1], z_mm, False), detector, root):
            if seen.face is None:
                continue
            start = time.thread_time()
            motion.follow(seen.frames, seen.face)
            taken.append(time.thread_time() - start)
    return float(np.median(taken) * 1000)


if __name__ == "__main__":
    typer.run(main)
