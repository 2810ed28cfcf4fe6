"""`tessera rig attack`: looks for the worst case of a species; `tessera rig worst-case` makes its recording again."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drivers.camera.recording import RecordingWriteError
from drivers.npu.interface import NetworkError
from hil.evaluate.progress import progress
from hil.people import PeopleError
from hil.rig.attack import WORST, Search, shipped
from hil.rig.attack_trial import Tried
from hil.rig.attack_worst import AttackError, WorstCase, read, record

RECORDING = "worst.mcap"
INTERRUPTED = 130  # exit code, after Ctrl-C


def attack(
    species: Annotated[str, typer.Option(help="Of which instrument (`tessera rig species`).")],
    budget: Annotated[int, typer.Option(min=1, help="Presentations to judge, those of an earlier run included.")],
    policy: Annotated[str, typer.Option(help="demo, door, payment or payment_high.")] = "payment",
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Its folder; default attacks/SPECIES-POLICY-SEED.")] = None,
) -> None:
    """Search what an attacker can choose for what comes nearest to being accepted; simulated.

    Run it again with a larger budget, or after Ctrl-C, and it goes on where it was.
    """
    console = Console(stderr=True)
    folder = out or Path("attacks") / f"{species}-{policy}-{seed}"
    try:
        search = Search(species, policy, seed, folder)
        interrupted = _run(search, budget, console)
        case = search.case
        if case is None:
            raise typer.Exit(INTERRUPTED)
        console.print(
            f"{len(search.tried)} of {budget} tried, simulated. Nearest: {_told(case.worst)}", highlight=False
        )
        _write_anew(case, search, folder / RECORDING)
    except (AttackError, NetworkError, PeopleError, RecordingWriteError) as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"written: {folder / WORST} and {folder / RECORDING}", highlight=False)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def worst_case(
    case: Annotated[Path, typer.Argument(help="A worst.json, or a file of hil/rig/regressions.")],
    out: Annotated[Path, typer.Option(help="New recording (.mcap).")],
) -> None:
    """Make the recording of a worst case again, and say what this version makes of it; simulated."""
    try:
        kept = read(case)
        system = shipped(kept.policy)
        tried = record(kept, system, out)
    except (AttackError, NetworkError, PeopleError, RecordingWriteError) as error:
        raise typer.BadParameter(str(error)) from error
    same = "the same" if system.basis.digest.hex() == kept.digest else "other"
    Console().print(f"then, {same} limits, policy and cues: {_told(kept.worst)}\nnow: {_told(tried)}", highlight=False)


def _run(search: Search, budget: int, console: Console) -> bool:
    """Show how it goes; tells whether it was interrupted."""
    try:
        with progress(console, search.species, budget) as step:
            step(len(search.tried))
            for one in search.run(budget):
                step(len(search.tried))
                if one is search.worst:
                    console.print(f"{len(search.tried)}: {_told(one)}", highlight=False)
    except KeyboardInterrupt:
        return True
    return False


def _write_anew(case: WorstCase, search: Search, path: Path) -> None:
    aside = path.with_suffix(".partial")
    aside.unlink(missing_ok=True)
    record(case, search.system, aside)
    os.replace(aside, path)


def _told(one: Tried) -> str:
    why = "" if one.accepted else f" ({' by '.join(filter(None, (one.reason, one.stopped_by)))})"
    return f"{one.decision}{why}, {one.score:.3f} of 3, {one.frames} frames"
