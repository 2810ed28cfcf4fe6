"""`python -m hil.rig.species_gates`: which presentation attack instruments the gates let through. Simulated.

Each instrument is drawn within its physical limits, held between 0.32 and 0.95 m, and filmed for as many frames as the
shorter emitter code takes, under a code of its own; it has passed where every gate of shape and light holds in all of
them. The code itself is not asked (it stops recordings, and all of these answer it), nor are soft cues, nor identity. A
rigid head and a worn mask are expected to pass: geometry cannot tell them. Victims, wearers and people are ICT's, of
seeds that no demo, test or evaluation uses.
"""

import collections
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.liveness.evidence import PENDING
from firmware.liveness.gates import load_limits
from firmware.liveness.limits import Limits
from firmware.vision.detect import Detector
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.species import SPECIES
from hil.evaluate.shots import Shot
from hil.rig.gate_margins import FIRST_SEED, held, judged
from hil.rig.scenario import BONA_FIDE

DISTANCE_MM = (320.0, 950.0)
FRAMES = 7  # twelve bits at two a frame, after the first, which gives the scale


def main(
    people: Annotated[int, typer.Option(min=1, help="How many victims.")] = 8,
    draws: Annotated[int, typer.Option(min=1, help="Instruments of each species made of each victim.")] = 2,
) -> None:
    """Print, per species, how many instruments passed every gate, and what stopped the others."""
    console, detector, (limits, _) = Console(width=140), Detector(load_network(DETECTOR)), load_limits()
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as folder:
        for number in track(range(people), "attacking", console=console, transient=True):
            for draw in range(draws):
                for name in (BONA_FIDE, *SPECIES):
                    rng = np.random.default_rng([FIRST_SEED, number, draw, *name.encode()])
                    shot = held(name, FIRST_SEED + number, rng, float(rng.uniform(*DISTANCE_MM)), FRAMES)
                    found[name][first_doubt(shot, detector, limits, Path(folder)) or "passed"] += 1
    table = Table("species", "n", "passed", "first doubt", title=f"gates, simulated; {FRAMES} frames each")
    for name, counts in found.items():
        stopped = ", ".join(f"{reason} {count}" for reason, count in counts.most_common() if reason != "passed")
        table.add_row("people" if name == BONA_FIDE else name, str(counts.total()), str(counts["passed"]), stopped)
    console.print(table)


def first_doubt(shot: Shot, detector: Detector, limits: Limits, root: Path) -> str:
    """The gate that failed first, or why no face was seen; empty where every gate held in every frame."""
    for gates in judged(shot, detector, limits, root):
        if isinstance(gates, str):
            return gates
        failed = next((gate for gate in gates if not gate.passed and gate.reason != PENDING), None)
        if failed is not None:
            return f"{failed.name} ({failed.reason})"
    return ""


if __name__ == "__main__":
    typer.run(main)
