"""`tessera rig chaos`: thousands of payments while everything is killed, cut and shifted, and what came of each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hil.rig.chaos import run
from hil.rig.chaos_judge import Kind
from hil.rig.chaos_round import Database, Plan, Round
from hil.rig.ended import end_in_good_order

ROUNDS = "rounds.jsonl"
DATABASES: tuple[Database, ...] = get_args(Database)
KINDS: tuple[Kind, ...] = get_args(Kind)
SURE = 0.95


def chaos(
    out: Annotated[Path, typer.Option(help="Folder of the run. One that is there is gone on with.")],
    payments: Annotated[int, typer.Option(min=1, help="At tills on a recorded verdict, in all.")] = 4000,
    looked: Annotated[int, typer.Option(min=0, help="Further ones before the virtual camera, in all.")] = 60,
    rounds: Annotated[int, typer.Option(min=1, help="A round is a town of its own and is judged by itself.")] = 12,
    tills: Annotated[int, typer.Option(min=1, help="On a recorded verdict, in a town.")] = 10,
    counting: Annotated[int, typer.Option(min=0, help="Of these with a TPM in software: they may pay offline.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the first round; the others count on from it.")] = 1,
    database: Annotated[str, typer.Option(help="sqlite, postgresql, or both in turns.")] = "both",
) -> None:
    """Pay while processes are killed, wires cut and clocks shifted; simulated. Exit 0 only if nothing is wrong.

    Run it again with the same numbers, after Ctrl-C or a crash, and it goes on with the rounds that are missing.
    """
    kinds = [kind for kind in DATABASES if database in (kind, "both")]
    if not kinds:
        raise typer.BadParameter(f"--database {database}: sqlite, postgresql or both")
    # whole: configurations laid out in it say where their files are
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    end_in_good_order()
    plans = [
        Plan(
            seed=seed + number,
            database=kinds[number % len(kinds)],
            orders=_share(payments, rounds, number),
            looked=_share(looked, rounds, number),
            tills=tills,
            counting=min(counting, tills),
        )
        for number in range(rounds)
    ]
    console = Console()
    played = list(_shown(plans, out, console))
    console.print(table(played))
    (out / "chaos.json").write_bytes(msgspec.json.format(msgspec.json.encode(played)))
    raise typer.Exit(any(one.violations for one in played))


def _shown(plans: list[Plan], out: Path, console: Console) -> Iterator[Round]:
    """Play, with a bar of the orders meanwhile and a line for each round."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=sum(plan.orders + plan.looked for plan in plans))

        def tell(what: str, over: int) -> None:
            bar.update(task, description=what, advance=over)

        over = 0
        for plan, one in zip(plans, run(plans, out / ROUNDS, out, tell), strict=True):
            over += plan.orders + plan.looked
            bar.update(task, completed=over)
            worst = (
                f"[red]{len(one.violations)} violations[/red]" if one.violations else "nothing lost, nothing doubled"
            )
            console.print(f"round {one.seed}, {one.database}: {one.orders} orders in {one.seconds:.0f} s, {worst}")
            yield one


def table(played: Iterable[Round]) -> Table:
    """What all rounds together came to."""
    rounds = list(played)
    orders, looked = sum(one.orders for one in rounds), sum(one.looked for one in rounds)
    shown = Table("", "", "counted", title=f"{len(rounds)} rounds, simulated: virtual people, recorded verdicts")
    shown.add_row("orders", "all", f"{orders}")
    shown.add_row("", "before the virtual camera", f"{looked}")
    for database in DATABASES:
        shown.add_row("", f"on {database}", f"{sum(one.orders for one in rounds if one.database == database)}")
    for title, counted in (
        ("register's last word", _all(one.ends for one in rounds)),
        ("screen said unknown", _all(one.resolved for one in rounds)),
        ("taken offline", _all(one.offline for one in rounds)),
        ("faults", _all(one.faults for one in rounds)),
        ("passed the broker", _all(one.passed for one in rounds)),
    ):
        for number, (name, count) in enumerate(counted.most_common()):
            shown.add_row(
                title if number == 0 else "", name or "none", f"{count}", end_section=number == len(counted) - 1
            )
    shown.add_row("faults", "aimed at what just passed", f"{sum(one.aimed for one in rounds)}")
    shown.add_row("processes", "started again", f"{sum(one.deaths for one in rounds)}")
    shown.add_row("calls", "never answered", f"{sum(len(one.problems) for one in rounds)}", end_section=True)
    found = Counter(violation.kind for one in rounds for violation in one.violations)
    for kind in KINDS:
        shown.add_row("judged", kind, f"{found[kind]} of {orders}{_bound(found[kind], orders)}")
    return shown


def _bound(found: int, orders: int) -> str:
    """Of none in so many: the share that is ruled out (one-sided, exact)."""
    return f"; below {1 - (1 - SURE) ** (1 / orders):.2%} ({SURE:.0%})" if orders and not found else ""


def _all(counts: Iterable[dict[str, int]]) -> Counter[str]:
    return sum((Counter(one) for one in counts), Counter())


def _share(total: int, rounds: int, number: int) -> int:
    """What falls to round `number` of `rounds`, so that all together are `total`."""
    return total // rounds + (number < total % rounds)
