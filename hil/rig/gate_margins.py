"""`python -m hil.rig.gate_margins`: how far living people and sheets lie from the gates' limits. Simulated.

Each is held at each distance, turned a little, and filmed for two frames under an emitter code of its own by the sensor
`structured-light`, its depth decoded from the dots. People are ICT's, of seeds that no demo, test or evaluation uses.
The limits in `firmware/liveness/limits.toml` were chosen on such people; it claims nothing about real ones, or real
paper.
"""

import collections
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.liveness.albedo import albedo_gate, exposure_gate
from firmware.liveness.coherence import Coherence
from firmware.liveness.evidence import Gate
from firmware.liveness.gates import geometry_gates
from firmware.liveness.limits import Limits, load_limits
from firmware.liveness.patch import patch
from firmware.vision.detect import Detector
from firmware.vision.face import NoFace
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.species import SPECIES
from hil.evaluate.protocol import drawn
from hil.evaluate.shots import Shot, emitted, frames_of
from hil.rig.scenario import BONA_FIDE

FIRST_SEED = 2_300_000
WEARER = 50_000  # seeds further on
DISTANCES_MM = (350.0, 500.0, 650.0, 790.0, 950.0)
YAW_DEG, PITCH_DEG = (-12.0, 12.0), (-8.0, 8.0)
SHOWN = (BONA_FIDE, "flat_print_toner", "bent_print", "folded_print", "touched_print", "cutout_print", "glossy_print")
NARROWED = {"scale": (0.85, 1.15)}  # much smaller or larger, and size alone decides


def main(people: Annotated[int, typer.Option(min=1, help="How many people.")] = 12) -> None:
    """Print the smallest, median and largest value of every gate, by what is shown and by distance."""
    console, detector, (limits, _) = Console(width=140), Detector(load_network(DETECTOR)), load_limits()
    found: dict[tuple[str, str, float], list[float]] = collections.defaultdict(list)
    names: dict[str, None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in track(range(people), "looking", console=console, transient=True):
            for name in SHOWN:
                for z_mm in DISTANCES_MM:
                    rng = np.random.default_rng([FIRST_SEED, number, int(z_mm)])
                    shot = held(name, FIRST_SEED + number, rng, z_mm, frames=2)
                    for gates in judged(shot, detector, limits, Path(folder)):
                        for gate in gates if isinstance(gates, tuple) else ():
                            names[gate.name] = None
                            found[gate.name, name, z_mm].append(gate.value)
    for gate_name in names:
        table = Table("shown", *(f"{z_mm:.0f} mm" for z_mm in DISTANCES_MM), title=f"{gate_name}, simulated")
        for name in SHOWN:
            table.add_row(
                "people" if name == BONA_FIDE else name,
                *(_range(found[gate_name, name, z_mm]) for z_mm in DISTANCES_MM),
            )
        console.print(table)


def held(name: str, person: int, rng: np.random.Generator, distance_mm: float, frames: int) -> Shot:
    """Somebody, or an instrument made of them and drawn within its physical limits, turned a little."""
    species = SPECIES.get(name)
    shape = {} if species is None else species.shape
    parameters = {key: drawn(limit, rng, NARROWED.get(key)) for key, limit in shape.items()}
    parameters |= {
        "distance_mm": distance_mm,
        "yaw_deg": float(rng.uniform(*YAW_DEG)),
        "pitch_deg": float(rng.uniform(*PITCH_DEG)),
    }
    return Shot(
        person=person,
        seed=int(rng.integers(2**31)),
        generator="ict",
        species=name,
        parameters=tuple(parameters.items()),
        wearer=person + WEARER if species is not None and species.worn else None,
        family="training",
        sensor="structured-light",
        frames=frames,
    )


def judged(shot: Shot, detector: Detector, limits: Limits, root: Path) -> Iterator[tuple[Gate, ...] | str]:
    """Of each frame every gate but freshness and the code, or the reason why there is no face."""
    code, coherence = emitted(shot), Coherence(limits)
    for frames in frames_of(shot, root):
        face = detector.find(frames)
        if isinstance(face, NoFace):
            coherence.reset()
            yield face.reason.value
            continue
        seen = patch(frames, face)
        yield (
            *geometry_gates(frames, face, limits),
            exposure_gate(seen, limits),
            albedo_gate(seen, frames, code.level(frames.sequence), limits),
            coherence.check(frames, face, seen),
        )


def _range(values: list[float]) -> str:
    known = [value for value in values if np.isfinite(value)]
    return f"{min(known):.2f} / {np.median(known):.2f} / {max(known):.2f}" if known else ""


if __name__ == "__main__":
    typer.run(main)
