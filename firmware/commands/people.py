"""`tessera people`: who is enrolled, and what they may ask: to see, to withdraw, to be erased, to object."""

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from firmware.commands.enrol import NO_MANDATE, GuardianOption
from firmware.commands.files import read_file, write_private
from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.commands.people_page import page_of
from firmware.core.client import ask
from firmware.runtime.messages import Dispute, Erase, Erased, Export, ListPeople, Purpose, Renew, Withdraw

# everybody who stays is sealed anew
ERASE_S = 60.0

people = typer.Typer(help="Who is enrolled, and what they may ask.", no_args_is_help=True)

PersonArgument = Annotated[str, typer.Argument(help="The id that `tessera people list` shows.")]


@people.command("list")
def list_people(config: ConfigOption, who: AsOption, file: PassphraseOption = None) -> None:
    """List everybody enrolled: metadata only, never a template."""
    with signed_in(config, who, file) as core:
        page = ask(core, ListPeople(), timeout_s=5)
        people = page.people
        while page.people and len(people) < page.total:
            page = ask(core, ListPeople(start=len(people)), timeout_s=5)
            people += page.people
    table = Table(Column("person", no_wrap=True), "purposes", "payer", "enrolled", "erased by itself")
    for person in people:
        dates = [
            datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%d")
            for at in (person.enrolled_at, person.retain_until)
        ]
        table.add_row(person.person, ", ".join(person.purposes), person.payer, *dates)
    console = Console()
    console.print(table)
    for person in people:
        asked = f"must be asked anew: {person.asked}" if person.asked else ""
        disputes = f"wrong matches reported: {person.disputes}" if person.disputes else ""
        pin = f"PIN: {person.pin}" if person.pin else ""
        for told in filter(None, (person.tries, asked, disputes, pin)):
            console.print(f"{person.person}: {told}", highlight=False)


@people.command("export")
def export(
    person: PersonArgument,
    out: Annotated[Path, typer.Option(help="Where to write it; a second file beside it, .html, is to be read.")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Write everything that is kept of a person but the template: JSON, and a page to be read."""
    with signed_in(config, who, file) as core:
        document = ask(core, Export(person=person), ERASE_S).document
    page = out.with_suffix(".html")
    for path, data in ((out, document), (page, page_of(document))):
        write_private(path, data)
    Console().print(f"what is kept of {person}: {out} and {page}")


@people.command("withdraw")
def withdraw(
    person: PersonArgument,
    purpose: Annotated[Purpose, typer.Argument(help="What they no longer agree to.")],
    receipt: Annotated[Path, typer.Option(help="Where to write the signed receipt.")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Withdraw one purpose; with the last one the person is erased. Write the signed receipt."""
    with signed_in(config, who, file) as core:
        answer = ask(core, Withdraw(person=person, purpose=purpose), ERASE_S)
    if isinstance(answer, Erased):
        write_private(receipt, answer.receipt)
        Console().print(f"{purpose} was the last purpose: erased {person}; signed receipt in {receipt}")
    else:
        write_private(receipt, answer.record)
        Console().print(f"{person} is no longer matched for {purpose}; the consent that is left: {receipt}")


@people.command("erase")
def erase_person(
    person: PersonArgument,
    config: ConfigOption,
    receipt: Annotated[Path, typer.Option(help="Where to write the signed erasure receipt.")],
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Erase a person and write the signed receipt. Asking again gives the same receipt again."""
    with signed_in(config, who, file) as core:
        answer = ask(core, Erase(person=person), ERASE_S)
    write_private(receipt, answer.receipt)
    Console().print(f"erased {person}; signed receipt in {receipt} ({len(answer.receipt)} bytes)")


@people.command("dispute")
def dispute(person: PersonArgument, config: ConfigOption, who: AsOption, file: PassphraseOption = None) -> None:
    """Note that somebody was wrongly taken for a person: from now on their match must be ten times better."""
    with signed_in(config, who, file) as core:
        done = ask(core, Dispute(person=person), timeout_s=10)
    Console().print(
        f"noted; {done.detail} so far. A match of {person} must be 10^{done.detail} times better from now on"
    )


@people.command("renew")
def renew(
    person: PersonArgument,
    consent: Annotated[Path, typer.Option(help="The new signed consent record (`tessera consent`).")],
    config: ConfigOption,
    who: AsOption,
    guardian: GuardianOption = None,
    file: PassphraseOption = None,
) -> None:
    """Go on under a new consent: after a changed notice, before the old one ends, from the 14th birthday on."""
    request = Renew(
        person=person,
        consent=read_file(consent, "without consent nobody is matched"),
        guardian=b"" if guardian is None else read_file(guardian, NO_MANDATE),
    )
    with signed_in(config, who, file) as core:
        ask(core, request, ERASE_S)
    Console().print(f"{person} goes on under the new consent")
