"""`python -m models.train.cues_left_out`: all cues together, against a species that neither tables nor network saw.

For each group of instruments: the network that `liveness_left_out` trained without it gives the values of cue
`network`, the tables are fitted without it, and the least sum is where the rule of `calibrate_cues` puts it. Prints
how many instruments of each species reach that, and keeps it in `models/cards/cues_left_out.json`. Frames are those of
`calibrate_cues`; what is missing is rendered. Everything is simulated.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.liveness.cues.network import F32, alive, view
from firmware.liveness.patch import patch
from hil.artefacts.species import SPECIES
from hil.evaluate.cue_fit import CUES, LIVING, fit, load_values, total
from models.train.calibrate_cues import FRAMES, INSTRUMENTS, PEOPLE_SHOWN, crossed, least_sum
from models.train.cue_presentations import presentation
from models.train.liveness_faces import GROUPS
from models.train.liveness_network import LivenessNetwork

KEPT = Path(__file__).parents[1] / "cards" / "cues_left_out.json"
NONE = "none"
ABOUT = (
    "SIMULATED, training presentations, cues alone: instruments of each species whose sum of all five cues reaches the "
    "least sum that refuses one in 200 living people; `seen`: network and tables saw the species; `left_out`: neither."
)


class Count(msgspec.Struct, frozen=True):
    """Of `shown` instruments of a species: how many reach the least sum if all saw it, and if nothing did."""

    shown: int
    seen: int
    left_out: int


def main() -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="python -m models.train.cues_left_out")
    parser.add_argument("--networks", type=Path, default=Path("build/liveness/left-out"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shown = {name: list(_presentations(name)) for name in track((LIVING, *SPECIES), description="frames")}
    with_all = _passed(shown, asked.networks / NONE, ())
    found: dict[str, Count] = {}
    for group, species in GROUPS.items():
        if group != LIVING:
            without = _passed(shown, asked.networks / group, species)
            found |= {one: Count(with_all[one][0], with_all[one][1], without[one][1]) for one in species}
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode({"about": ABOUT, "species": found}), indent=1) + b"\n")
    table = Table("species", "n", "past the least sum", "neither tables nor network saw it", title="SIMULATED")
    for name, count in found.items():
        table.add_row(name, *map(str, (count.shown, count.seen, count.left_out)))
    Console(width=110).print(table)
    return 0


def _presentations(species: str) -> Iterator[F32]:
    """Of each presentation in which a face was found, (N, 4, ROWS, COLUMNS) of its frames; N may be 0."""
    for number in range(PEOPLE_SHOWN if species == LIVING else INSTRUMENTS):
        frames = presentation(species, number, FRAMES)
        if frames:
            made = [(seen, patch(seen.frames, seen.face)) for seen in frames]
            views = [view(seen.frames, seen.face, region) for seen, region in made if region is not None]
            fed = [one.channels().astype(np.float16) for one in views if one is not None]
            yield np.concatenate(fed) if fed else np.empty((0,), np.float32)


@torch.inference_mode()
def _passed(shown: dict[str, list[F32]], folder: Path, without: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """By species, how many and how many reach the least sum, by the network of `folder` and tables without some."""
    network = LivenessNetwork().eval()
    network.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["network"])
    values = load_values()
    for species, rows in values.items():
        for row, fed in zip(rows, shown[species], strict=True):
            said = [alive(one) for one in network(torch.from_numpy(fed).float()).numpy()] if len(fed) else []
            row["network"] = float(np.median(said)) if said else float("nan")
    fitted_on = {name: rows for name, rows in values.items() if name not in without}
    least = least_sum(crossed(fitted_on, CUES))
    tables = fit(fitted_on)
    return {name: (len(rows), sum(total(tables, one, CUES) >= least for one in rows)) for name, rows in values.items()}


if __name__ == "__main__":
    sys.exit(main())
