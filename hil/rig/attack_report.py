"""`python -m hil.rig.attack_report`: what finished searches found, as the table of docs/red-team.md. Simulated.

With `--keep` the worst cases are kept where the tests present them anew; with `--sheet` they are drawn.
"""

import collections
import shutil
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from hil.rig.attack import TRIED, WORST
from hil.rig.attack_sheet import draw
from hil.rig.attack_trial import Tried
from hil.rig.attack_worst import KEPT, WorstCase, read

HEAD = (
    "species", "tried", "accepted", "nearest, of 3", "decided by", "cues, nats", "motion, of what rigid things reach",
    "what decided the others", "held",
)  # fmt: skip


def main(
    searches: Annotated[list[Path], typer.Argument(help="Folders of `tessera rig attack`.")],
    sheet: Annotated[Path | None, typer.Option(help="Draw the worst cases into this PNG.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Copy them to hil/rig/regressions.")] = False,
) -> None:
    """Print the table."""
    typer.echo(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    worst: list[Tried] = []
    for folder in searches:
        case = read(folder / WORST)
        worst.append(case.worst)
        typer.echo(f"| {' | '.join(_row(case, folder))} |")
        if keep:
            shutil.copyfile(folder / WORST, KEPT / f"{case.worst.shot.species}.json")
    if sheet is not None:
        draw(worst, sheet)


def _row(case: WorstCase, folder: Path) -> tuple[str, ...]:
    one = case.worst
    tried = [msgspec.json.decode(line, type=Tried) for line in (folder / TRIED).read_bytes().splitlines()]
    others = collections.Counter(other.reason for other in tried if other != one)
    parameters = dict(one.shot.parameters)
    return (
        f"`{one.shot.species}`",
        str(case.tried),
        "**1**" if one.accepted else "0",
        f"{one.score:.2f}",
        "-" if one.accepted else " ".join(f"`{word}`" for word in dict.fromkeys((one.reason, one.stopped_by)) if word),
        "-" if one.llr is None else f"{one.llr:+.1f}",
        "-" if one.excess is None else f"{one.excess:.2f}",
        ", ".join(f"`{reason}` {count}" for reason, count in others.most_common()),
        f"{parameters['distance_mm']:.0f} mm, yaw {parameters['yaw_deg']:+.0f}, pitch {parameters['pitch_deg']:+.0f}",
    )


if __name__ == "__main__":
    typer.run(main)
