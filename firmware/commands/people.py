"""`tessera people`: who is enrolled, and erasure on withdrawal of consent."""

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask
from firmware.runtime.messages import Erase, ListPeople

people = typer.Typer(help="Who is enrolled; erase somebody who withdraws consent.", no_args_is_help=True)


@people.command("list")
def list_people(config: ConfigOption, who: AsOption, file: PassphraseOption = None) -> None:
    """List everybody enrolled: metadata only, never a template."""
    with signed_in(config, who, file) as core:
        page = ask(core, ListPeople(), timeout_s=5)
        people = page.people
        while page.people and len(people) < page.total:
            page = ask(core, ListPeople(start=len(people)), timeout_s=5)
            people += page.people
    table = Table("person", "purposes", "payer", "enrolled", "erased by itself")
    for person in people:
        dates = [
            datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%d")
            for at in (person.enrolled_at, person.retain_until)
        ]
        table.add_row(person.person, ", ".join(person.purposes), person.payer, *dates)
    console = Console()
    console.print(table)
    for person in people:
        if person.tries:
            console.print(f"{person.person}: {person.tries}", highlight=False)


@people.command("erase")
def erase_person(
    person: Annotated[str, typer.Argument(help="The id that `tessera people list` shows.")],
    config: ConfigOption,
    receipt: Annotated[Path, typer.Option(help="Where to write the signed erasure receipt.")],
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Erase a person and write the signed receipt. Asking again gives the same receipt again."""
    with signed_in(config, who, file) as core:
        answer = ask(core, Erase(person=person), timeout_s=10)
    receipt.write_bytes(answer.receipt)
    Console().print(f"erased {person}; signed receipt in {receipt} ({len(answer.receipt)} bytes)")
