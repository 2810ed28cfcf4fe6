"""`python -m models.train.calibrate_cues`: render training presentations, measure every cue, fit and write the tables.

Writes `firmware/liveness/cues/cues.toml`, the values it rests on (`hil/evaluate/cue_values.json`) and the figure of
docs/cues.md; chooses nothing else. Prints what least sum a policy needs to refuse a given share of bona fide people,
and how many instruments of each species then pass: people by fits that left them out, species by fits that left the
species out. (The network behind cue `network` saw every species while it was trained, of other people:
`liveness_left_out` is what leaves species out of that.) Everything is simulated. Frames are kept under `build/cues`, so
a cue that changed needs no rendering.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.liveness.cues import measure
from firmware.liveness.cues.calibration import CueCalibration
from firmware.liveness.cues.network import NETWORK
from firmware.liveness.patch import patch
from firmware.liveness.policy import CueName
from hil.artefacts.species import SPECIES
from hil.evaluate.cue_fit import CUES, LIVING, fit, load_values, total
from models.load import load_network
from models.train.cue_presentations import PEOPLE, VERSION, VICTIMS, WEARERS, presentation

FRAMES = Path("build") / "cues"
OUT, VALUES = Path("firmware/liveness/cues/cues.toml"), Path("hil/evaluate/cue_values.json")
FIGURE = Path("docs/cues.png")
PEOPLE_SHOWN, INSTRUMENTS = 200, 40
FOLDS = 10
REFUSED = 0.005
SETS: Mapping[str, tuple[CueName, ...]] = {
    "all five": CUES,
    "without network": ("photometric", "dot_halo", "eyes", "mask_edges"),
    "without dots": ("photometric", "eyes", "mask_edges", "network"),
    "without dots and network": ("photometric", "eyes", "mask_edges"),
}
ABOUT = (
    "Simulated, ICT people, training materials, preset structured-light: {people} living people (seeds from {first}) "
    "and {instruments} instruments of {species} species (victims from {victims}, wearers from {wearers}), frames "
    "version {version}, values {digest}. Says nothing of real people or real artefacts."
)


def main() -> int:
    """Render, measure, fit, report, write."""
    parser = argparse.ArgumentParser(prog="python -m models.train.calibrate_cues")
    parser.add_argument("--people", type=int, default=PEOPLE_SHOWN)
    parser.add_argument("--instruments", type=int, default=INSTRUMENTS, help="of each species")
    parser.add_argument("--report", action="store_true", help="of the values that are kept: renders and writes nothing")
    asked = parser.parse_args()
    console = Console(width=130)
    if not asked.report:
        found = {LIVING: _values(LIVING, asked.people, console)}
        found |= {name: _values(name, asked.instruments, console) for name in SPECIES}
        _keep({name: rows for name, rows in found.items() if rows})
    values = load_values()
    fitted = fit(values, about=_about(values))
    if not asked.report:
        OUT.write_text(to_toml(fitted))
        _draw(fitted, values)
    report(values, console)
    return 0


def _values(species: str, count: int, console: Console) -> list[list[float | None]]:
    """Of each presentation in which a face was found, the median of each cue."""
    rows: list[list[float | None]] = []
    network = load_network(NETWORK)
    for number in track(range(count), species, console=console, transient=True):
        frames = [
            measure(seen.frames, seen.face, patch(seen.frames, seen.face), None, network)
            for seen in presentation(species, number, FRAMES)
        ]
        if frames:
            rows.append([_median([one.get(name, math.nan) for one in frames]) for name in CUES])
    return rows


def _median(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return round(float(np.median(known)), 4) if known else None


def _keep(found: Mapping[str, list[list[float | None]]]) -> None:
    species = []
    for name, rows in found.items():
        lines = ",\n".join(json.dumps(row) for row in rows)
        species.append(f"{json.dumps(name)}: [\n{lines}\n]")
    about = json.dumps(f"SIMULATED. Of every training presentation, medians of {', '.join(CUES)}.")
    VALUES.write_text(f'{{"about": {about},\n"values": {{\n' + ",\n".join(species) + "\n}}\n")


def _about(values: Mapping[str, Sequence[object]]) -> str:
    return ABOUT.format(
        people=len(values[LIVING]),
        first=PEOPLE,
        instruments=sum(len(rows) for name, rows in values.items() if name != LIVING),
        species=len(values) - 1,
        victims=VICTIMS,
        wearers=WEARERS,
        version=VERSION,
        digest=hashlib.sha256((files("hil.evaluate") / "cue_values.json").read_bytes()).hexdigest()[:16],
    )


def to_toml(calibration: CueCalibration) -> str:
    """The file that `firmware.liveness.cues` reads."""
    lines = [
        "# Written by models.train.calibrate_cues; fitted, not chosen. llr: nats, larger is more alive.",
        f"about = {json.dumps(calibration.about)}",
    ]
    for name, table in calibration.tables.items():
        lines += ["", f"[tables.{name}]"]
        for field in ("values", "llr"):
            numbers: tuple[float, ...] = getattr(table, field)
            rows = [", ".join(map(str, numbers[at : at + 11])) for at in range(0, len(numbers), 11)]
            lines += [f"{field} = [", *(f"    {row}," for row in rows), "]"]
        lines.append(f"unknown = {table.unknown}")
    return "\n".join(lines) + "\n"


def report(values: Mapping[str, list[dict[CueName, float]]], console: Console) -> None:
    """Print the least sums and what passes them."""
    console.print("[bold]SIMULATED. Training presentations: a check of the fit, no error rate.[/bold]")
    for label, names in SETS.items():
        alive = np.sort(crossed(values, names))
        least = least_sum(alive)
        console.print(
            f"{label}: bona fide {len(alive)} people, sums {alive[0]:.2f} / {np.median(alive):.2f} / {alive[-1]:.2f}; "
            f"llr_min {least:.1f} refuses {int((alive < least).sum())}"
        )
        table = Table("species", "n", "sum: least", "median", "largest", f"past {least:.1f}", "past 0", title=label)
        for name in sorted(set(values) - {LIVING}):
            without = fit(values, leave_out=name)
            sums = np.array([total(without, one, names) for one in values[name]])
            table.add_row(
                name, str(len(sums)), *(f"{number:.2f}" for number in (sums.min(), np.median(sums), sums.max())),
                str(int((sums >= least).sum())), str(int((sums >= 0).sum())),
            )  # fmt: skip
        console.print(table)


def least_sum(alive: np.ndarray) -> float:
    """The least sum that refuses `REFUSED` of these bona fide sums, a tenth of a nat being near enough."""
    return math.floor(10 * float(np.quantile(alive, REFUSED))) / 10


def crossed(values: Mapping[str, list[dict[CueName, float]]], names: Sequence[CueName]) -> np.ndarray:
    """Sums of the bona fide, each by tables fitted without their fold."""
    people, sums = values[LIVING], []
    for fold in range(FOLDS):
        kept = [one for place, one in enumerate(people) if place % FOLDS != fold]
        fitted = fit({**values, LIVING: kept})
        sums += [total(fitted, one, names) for one in people[fold::FOLDS]]
    return np.array(sums)


def _draw(calibration: CueCalibration, values: Mapping[str, list[dict[CueName, float]]]) -> None:
    """The tables above the values they were fitted to."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(CUES), figsize=(18, 7), sharex="col", height_ratios=(2, 3))
    names = [LIVING, *sorted(set(values) - {LIVING})]
    for column, cue in enumerate(CUES):
        table = calibration.tables[cue]
        above, below = axes[0][column], axes[1][column]
        above.plot(table.values, table.llr, color="black")
        above.axhline(0, color="grey", linewidth=0.5)
        above.set(title=f"{cue} (unknown: {table.unknown:.2f})", ylim=(-3.2, 3.2))
        for row, name in enumerate(reversed(names)):
            own = [one[cue] for one in values[name] if math.isfinite(one[cue])]
            below.plot(own, [row] * len(own), "|", color="C2" if name == LIVING else "C3", alpha=0.6)
        below.set_yticks(range(len(names)), list(reversed(names)) if column == 0 else [""] * len(names), fontsize=8)
    axes[0][0].set_ylabel("log-likelihood ratio, nats")
    figure.suptitle("SIMULATED: soft cues on training presentations, one mark each, and what a value is worth")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=70)


if __name__ == "__main__":
    sys.exit(main())
