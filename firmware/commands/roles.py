"""`tessera roles`: who of the staff may do what at a terminal."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from firmware.commands.login import LOGIN_S, AsOption, ConfigOption, PassphraseOption, passphrase, signed_in
from firmware.core.client import ask, control
from firmware.runtime.config import load_config
from firmware.runtime.messages import AddStaff, FirstTechnician, ListStaff, RemoveStaff, Role

roles = typer.Typer(
    help="Staff: operators serve people, technicians serve the terminal, auditors read its log.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="Small letters, digits, dot, dash; no name of a customer.")]
TheirsOption = Annotated[
    Path | None, typer.Option("--new-passphrase-file", help="File with the new passphrase; without it it is typed.")
]


@roles.command("first")
def first(name: NameArgument, config: ConfigOption, theirs: TheirsOption = None) -> None:
    """Make the first technician, while there is none."""
    loaded, _ = load_config(config)
    with control(loaded) as core:
        chosen = passphrase(f"New passphrase of {name}", theirs, confirm=True)
        ask(core, FirstTechnician(name=name, passphrase=chosen), LOGIN_S)
    Console().print(f"{name} is technician")


@roles.command("add")
def add(
    name: NameArgument,
    role: Annotated[Role, typer.Argument(help="operator, technician or auditor.")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
    theirs: TheirsOption = None,
) -> None:
    """Add somebody in one role."""
    with signed_in(config, who, file) as core:
        chosen = passphrase(f"New passphrase of {name}", theirs, confirm=True)
        ask(core, AddStaff(name=name, role=role, passphrase=chosen), LOGIN_S)
    Console().print(f"{name} is {role}")


@roles.command("remove")
def remove(name: NameArgument, config: ConfigOption, who: AsOption, file: PassphraseOption = None) -> None:
    """Remove somebody: from now on they may ask for nothing."""
    with signed_in(config, who, file) as core:
        ask(core, RemoveStaff(name=name), LOGIN_S)
    Console().print(f"{name} is removed")


@roles.command("list")
def list_roles(config: ConfigOption, who: AsOption, file: PassphraseOption = None) -> None:
    """List the staff."""
    with signed_in(config, who, file) as core:
        staff = ask(core, ListStaff(), timeout_s=5)
    table = Table("name", "role")
    for member in staff.members:
        table.add_row(member.name, member.role)
    Console().print(table)
