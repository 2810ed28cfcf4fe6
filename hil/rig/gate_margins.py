"""`python -m hil.rig.gate_margins`: how far living heads and prints lie from the first gates' limits. Simulated.

People, prints and noise come from seeds that no demo, test or calibration uses. The limits in
`firmware/liveness/limits.toml` were chosen with this table; it claims nothing about real faces or real paper.
"""

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from drivers.camera import CameraInfo, Emitter, FrameSet
from firmware.liveness.gates import geometry_gates, load_limits
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts import bent_print, flat_print
from hil.people import Head, james, virtual_person
from hil.sensor.capture import capture
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene
from hil.sensor.surface import Surface

FIRST_SEED = 500_000
DISTANCES_MM = (320.0, 450.0, 600.0, 750.0, 900.0)
YAWS_DEG = (-15.0, 0.0, 15.0)
CAMERA = CameraInfo("VIRTUAL-0001", "simulated", "", True)


def one_frame(scene: Scene, rng: np.random.Generator) -> FrameSet:
    """A single frame of `scene` by the plain virtual sensor."""
    shot = capture(scene, rng)
    return FrameSet(0, 0, shot.ir, shot.depth_mm, INTRINSICS, Emitter(1, 1), shot.exposure_us, shot.gain, CAMERA)


def main(
    people: Annotated[int, typer.Option(help="How many virtual people.")] = 20,
    data: Annotated[Path | None, typer.Option(help="Folder of the test data, for the real scan.")] = None,
) -> None:
    """Print the smallest, median and largest gate value per kind and distance."""
    detector, (limits, _) = Detector(load_network(DETECTOR)), load_limits()
    heads: list[tuple[str, Callable[[], Head]]] = [
        ("virtual people", functools.partial(virtual_person, FIRST_SEED + k)) for k in range(people)
    ]
    if data is not None:
        heads.append(("james (real scan)", functools.partial(james, data)))
    found: dict[tuple[str, float, str], list[float]] = {}
    console = Console()
    for number, (kind, make) in enumerate(track(heads, "looking", console=console, transient=True)):
        head = make()
        shown: list[tuple[str, Surface]] = [
            (kind, head),
            (f"flat print of {kind}", flat_print(head, seed=number)),
            (f"bent print of {kind}", bent_print(head, seed=number)),
        ]
        for (name, surface), z_mm, yaw in itertools.product(shown, DISTANCES_MM, YAWS_DEG):
            rng = np.random.default_rng([FIRST_SEED, number, int(z_mm), int(yaw) % 360])
            frames = one_frame(Scene((Placed(surface, Pose(z_mm=z_mm, yaw_deg=yaw)),)), rng)
            face = detector.find(frames)
            if isinstance(face, Face):
                for gate in geometry_gates(frames, face, limits):
                    found.setdefault((name, z_mm, gate.name), []).append(gate.value)
    table = Table("what", "distance mm", "gate", "n", "min", "median", "max", title="first gates, simulated sensor")
    for (name, z_mm, gate_name), values in sorted(found.items()):
        low, middle, high = np.nanmin(values), np.nanmedian(values), np.nanmax(values)
        table.add_row(name, f"{z_mm:.0f}", gate_name, str(len(values)), f"{low:.2f}", f"{middle:.2f}", f"{high:.2f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
