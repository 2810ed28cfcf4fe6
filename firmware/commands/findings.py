"""What a command looked at and what it found, as one table; and a camera's fault as three lines."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drivers.camera import FAULTS, CameraError

MARKS = {True: "[green]ok[/green]", False: "[red]!![/red]", None: "[dim]--[/dim]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what was looked at.
        good: None where there is nothing to judge it by.
        text: what is there, or what is wrong and what to do.
    """

    name: str
    good: bool | None
    text: str


def table_of(findings: Iterable[Finding]) -> Table:
    """Return them as a table: mark, name, text."""
    table = Table("", "what", "finding")
    for finding in findings:
        table.add_row(MARKS[finding.good], escape(finding.name), escape(plain(finding.text)))
    return table


def plain(text: str) -> str:
    """Return `text` without what a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


@contextmanager
def named_fault(console: Console) -> Iterator[None]:
    """Where a camera fails: say which fault it is, what happened and what to do, and end with exit code 1."""
    try:
        yield
    except CameraError as error:
        tell_fault(console, error)
        raise typer.Exit(1) from error


def tell_fault(console: Console, error: CameraError) -> None:
    """Print the fault: its name and what it is, what happened, what to do."""
    what, remedy = FAULTS[error.cause]
    console.print(f"[bold red]{error.cause}[/]: {escape(what)}", highlight=False, soft_wrap=True)
    console.print(f"  {escape(plain(str(error)))}", highlight=False, soft_wrap=True)
    console.print(f"  [bold]What to do:[/] {escape(remedy)}", highlight=False, soft_wrap=True)


def pinning(source: str, serial: str, digest: str, options: Mapping[str, object]) -> str:
    """Return the lines of a terminal's configuration that choose this camera and pin it, to be copied."""
    lines = ["[camera]", *_lines({"source": source, "serial": serial, "calibration_digest": digest})]
    lines += ["[camera.options]", *_lines(options)] if options else []
    return "".join(f"    {line}\n" for line in lines)


def _lines(table: Mapping[str, object]) -> list[str]:
    # what JSON writes of text, numbers, true and false, TOML reads as the same
    return [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in table.items()]
