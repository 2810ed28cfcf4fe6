"""`tessera rig load`: the measurement of `load`, as a table."""

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hil.machine import machine
from hil.rig.ended import end_in_good_order
from hil.rig.load import Kind, Measured, field, measure_echoes, measure_payments

# one terminal against the echo: so many turns of so many answers each
TURNS, EACH = 6, 60
# of an authorization's envelope, bytes: what the echo commits and sends
SIZE = 760
RESAMPLED = 2000
PARTS = ("backend", "database", "echo", "broker", "callers")


class Report(msgspec.Struct, frozen=True):
    """What a run came to. `ratio`: payments' median over the echo's, one terminal, and 95 % of its resamples."""

    machine: dict[str, str | int | None]
    database: Kind
    workers: int
    ratio: tuple[float, float, float]
    turns: list[Measured]
    growth: list[Measured]


def load(
    database: Annotated[Kind, typer.Option(help="sqlite or postgresql, each a private one.")] = "postgresql",
    workers: Annotated[int, typer.Option(min=1, max=8, help="Processes that judge.")] = 2,
    terminals: Annotated[str, typer.Option(help="How many at once, one measurement each.")] = "1,10,50,100,300",
    answers: Annotated[int, typer.Option(min=100, help="In each of them, at least.")] = 1200,
    out: Annotated[Path | None, typer.Option(help="Keep the figures in this JSON file.")] = None,
) -> None:
    """Measure authorizations a second, times and CPU, beside an echo with the same two durable commits."""
    crowds = _crowds(terminals)
    if out is not None:
        _see_that_it_can_be_written(out)
    console = Console()
    end_in_good_order()
    with tempfile.TemporaryDirectory(prefix="tessera-load-", dir="/tmp") as folder, Progress(transient=True) as bar:
        task = bar.add_task("keys and certificates", total=2 * TURNS + len(crowds))
        turns: list[Measured] = []
        growth: list[Measured] = []
        with field(Path(folder), database, workers, max(crowds)) as ground:
            # what is made once is not measured
            measure_echoes(ground, 1, EACH, SIZE)
            measure_payments(ground, 1, EACH)
            for _ in range(TURNS):
                for measured in (measure_echoes(ground, 1, EACH, SIZE), measure_payments(ground, 1, EACH)):
                    turns.append(measured)
                    bar.update(task, advance=1, description="one terminal and the echo, in turns")
            for number in crowds:
                bar.update(task, description=f"{number} terminals")
                growth.append(measure_payments(ground, number, max(2, -(-answers // number))))
                bar.advance(task)
    report = Report(machine(), database, workers, ratio_of(turns), turns, growth)
    _show(report, console)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


def _crowds(terminals: str) -> list[int]:
    try:
        crowds = [int(number) for number in terminals.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--terminals {terminals}: expected numbers, e.g. 1,10,50") from error
    if min(crowds) < 1:
        raise typer.BadParameter(f"--terminals {terminals}: at least one at once")
    return crowds


def _see_that_it_can_be_written(out: Path) -> None:
    """Before minutes of measuring; what is in it stays until then."""
    try:
        out.open("ab").close()
    except OSError as error:
        raise typer.BadParameter(f"--out {out}: {error.strerror}") from error


def ratio_of(turns: list[Measured]) -> tuple[float, float, float]:
    """The median answer of payments over the echo's, and the 2.5th and 97.5th percentile over resampled answers."""
    random = np.random.default_rng(0)
    paid, echoed = (
        np.concatenate([turn.milliseconds for turn in turns if turn.what == what]) for what in ("payments", "echo")
    )
    drawn = [
        np.median(random.choice(paid, len(paid))) / np.median(random.choice(echoed, len(echoed)))
        for _ in range(RESAMPLED)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(np.median(paid) / np.median(echoed)), float(low), float(high)


def _show(report: Report, console: Console) -> None:
    where = ", ".join(f"{key} {value}" for key, value in report.machine.items())
    console.print(f"simulated terminals on one machine ({where}); {report.database}, {report.workers} workers")
    console.print("one question at a time each; CPU in milliseconds an answer")
    parts = [name for name in PARTS if name in report.growth[0].cpu_ms]
    table = Table("what", "terminals", "answers", "a second", "p50 ms", "p99 ms", *parts)
    for one in (*report.turns, *report.growth):
        figures = (f"{one.per_second:.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}")
        used = [f"{one.cpu_ms[name]:.2f}" for name in parts]
        table.add_row(one.what, str(one.terminals), str(one.answers), *figures, *used)
    console.print(table)
    ratio, low, high = report.ratio
    console.print(f"payments' median is {ratio:.2f} times the echo's ({low:.2f} to {high:.2f})")
