"""`python -m hil.rig.species_gates`: which presentation attack instruments the static gates let through. Simulated.

Each instrument is drawn within its physical limits, held between 0.3 and 0.95 m, and shown for one frame; what fails
no gate has passed. Identity is not asked. People, wearers and draws come from seeds that no demo, test or calibration
uses. A rigid head and a worn mask are expected to pass: static geometry cannot tell them, and the authorization says
assurance `geometry` for that reason.
"""

import collections
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.liveness.gates import Limits, geometry_gates, load_limits
from firmware.vision.detect import Detector
from firmware.vision.face import NoFace
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.instrument import Attacker, Limit
from hil.artefacts.species import SPECIES
from hil.people.generators import make_actor
from hil.rig.gate_margins import one_frame
from hil.rig.render import living
from hil.sensor.scene import Performance, Scene

FIRST_SEED = 600_000
DISTANCE_MM, YAW_DEG, PITCH_DEG = (300.0, 950.0), (-15.0, 15.0), (-10.0, 10.0)


def main(
    people: Annotated[int, typer.Option(min=1, help="How many victims.")] = 8,
    draws: Annotated[int, typer.Option(min=1, help="Instruments of each species made of each victim.")] = 4,
) -> None:
    """Print, per species, how many instruments passed every gate, and what stopped the others."""
    console = Console()
    detector, (limits, _) = Detector(load_network(DETECTOR)), load_limits()
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for number in track(range(people), "attacking", console=console, transient=True):
        victim = make_actor("makehuman", FIRST_SEED + number)
        wearer = make_actor("makehuman", FIRST_SEED + 50_000 + number)
        for draw in range(draws):
            rng = np.random.default_rng([FIRST_SEED, number, draw])
            by = Attacker(FIRST_SEED + 100 * number + draw, wearer)
            held = {
                "distance_mm": float(rng.uniform(*DISTANCE_MM)),
                "yaw_deg": float(rng.uniform(*YAW_DEG)),
                "pitch_deg": float(rng.uniform(*PITCH_DEG)),
            }
            shown = {"bona fide": living(victim, by, **held).performance}
            for name, species in SPECIES.items():
                drawn = {key: _drawn(limit, rng) for key, limit in species.shape.items()}
                shown[name] = species.perform(victim, by, **drawn, **held)
            for name, performance in shown.items():
                found[name][_first_reason(performance, detector, limits, rng) or "passed"] += 1
    table = Table("species", "n", "passed", "stopped by", title="static gates, simulated; one frame each")
    for name, counts in found.items():
        stopped = ", ".join(f"{reason} {count}" for reason, count in counts.most_common() if reason != "passed")
        table.add_row(name, str(counts.total()), str(counts["passed"]), stopped)
    console.print(table)


def _drawn(limit: Limit, rng: np.random.Generator) -> float:
    return float(
        rng.integers(int(limit.low), int(limit.high) + 1) if limit.whole else rng.uniform(limit.low, limit.high)
    )


def _first_reason(performance: Performance, detector: Detector, limits: Limits, rng: np.random.Generator) -> str:
    frames = one_frame(Scene(performance(0.5)), rng)
    face = detector.find(frames)
    if isinstance(face, NoFace):
        return face.reason.value
    return next((gate.reason for gate in geometry_gates(frames, face, limits) if not gate.passed), "")


if __name__ == "__main__":
    typer.run(main)
