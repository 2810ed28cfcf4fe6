"""`python -m models.train.liveness_left_out`: the same recipe without each group of instruments in turn.

What a network makes of instruments it never saw is what counts: the next attacker brings one. Writes
`models/cards/liveness.json` after each group, and prints the table. Fewer people are trained on, and shorter, than for
the network that is shipped (`PEOPLE`, `EPOCHS`); both columns of the table are of networks trained so.
"""

import argparse
import sys
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.table import Table

from hil.evaluate.cue_fit import LIVING
from models.train.liveness import Plan, load, train, values
from models.train.liveness_batches import Batches
from models.train.liveness_faces import GROUPS, TUNE_PEOPLE
from models.train.liveness_network import LivenessNetwork
from models.train.liveness_rates import RATES, Rates, Row, load_rates, rows

PEOPLE, EPOCHS = 260, 5
ABOUT = (
    "SIMULATED, no error rate of any real artefact. Faces of tuning people, a value a frame. `seen`: by a network that "
    "was trained on all groups; `left_out`: by one that never saw the group. `passed`: share at or above the value "
    "that a fiftieth of living faces falls below; `ranked`: chance that a living face has the larger value."
)


def main() -> int:
    """Train, or go on; measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m models.train.liveness_left_out")
    parser.add_argument("--faces", type=Path, default=Path("build/liveness/faces"))
    parser.add_argument("--out", type=Path, default=Path("build/liveness/left-out"))
    parser.add_argument("--people", type=int, default=PEOPLE)
    asked = parser.parse_args()
    tune, batches, console = load(TUNE_PEOPLE[: Plan().tune_people], asked.faces), Batches(0), Console(width=120)
    found: dict[str, dict[str, Row]] = {}
    for name in ("", *(name for name in GROUPS if name != LIVING)):
        out = asked.out / (name or "none")
        train(Plan(people=asked.people, epochs=EPOCHS, without=name), asked.faces, out)
        network = LivenessNetwork()
        network.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["network"])
        found[name] = rows(values(network, tune, batches), tune)
        unseen = {name: found[name][name] for name in found if name}
        rates = Rates(ABOUT, asked.people, EPOCHS, found[""], unseen)
        RATES.write_bytes(msgspec.json.format(msgspec.json.encode(rates), indent=1) + b"\n")
    report(load_rates(), console)
    return 0


def report(rates: Rates, console: Console) -> None:
    """Print the table."""
    table = Table("group", "faces", "seen: passed", "ranked", "left out: passed", "ranked", title="SIMULATED")
    for name, row in rates.seen.items():
        other = rates.left_out.get(name)
        unseen = ("", "") if other is None else (f"{100 * other.passed:.1f} %", f"{other.ranked:.3f}")
        table.add_row(name, str(row.faces), f"{100 * row.passed:.1f} %", f"{row.ranked:.3f}", *unseen)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
