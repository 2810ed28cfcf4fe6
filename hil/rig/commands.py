"""`tessera rig`: recordings of people and artefacts that do not exist, and the table of species."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hil.artefacts.instrument import ArtefactError, Limits
from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.people import PeopleError
from hil.rig.attack_commands import attack, worst_case
from hil.rig.chaos_commands import chaos
from hil.rig.emitter import emitter
from hil.rig.load_command import load
from hil.rig.render import render as render_take
from hil.rig.scenario import BONA_FIDE, ScenarioError, Take, read_scenario, take_of
from hil.rig.species_sheet import draw

rig = typer.Typer(help="Simulated recordings, attacks and boards.", no_args_is_help=True)
rig.command()(emitter)
rig.command()(attack)
rig.command()(worst_case)
rig.command()(chaos)
rig.command()(load)


@rig.command()
def render(
    out: Annotated[Path, typer.Option(help="New recording (.mcap); with --scenario, the folder for its recordings.")],
    scenario: Annotated[Path | None, typer.Option(help="TOML file of several takes, instead of the options.")] = None,
    person: Annotated[str | None, typer.Option(help="makehuman-N, or, needing TESSERA_DATA, ict-N or james.")] = None,
    scan: Annotated[Path | None, typer.Option(help="Mesh of a real head (.obj), instead of --person.")] = None,
    texture: Annotated[Path | None, typer.Option(help="Picture of the scan.")] = None,
    wearer: Annotated[str, typer.Option(help="Who wears a worn artefact.")] = "makehuman-13",
    artefact: Annotated[str, typer.Option(help="A species or stream (`tessera rig species`).")] = BONA_FIDE,
    sensor: Annotated[str, typer.Option(help="Preset of the sensor.")] = "structured-light",
    width: Annotated[int, typer.Option(help="640 or 1280 pixels.")] = 640,
    seed: Annotated[int, typer.Option(help="Of motion, noise, workmanship and emitter code.")] = 0,
    seconds: Annotated[float, typer.Option(help="Length.")] = 2.0,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A parameter: k=0.9. May be repeated.")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="What is asked: smile@0.5. May be repeated.")] = None,
    consent: Annotated[str, typer.Option(help="Whose consent covers a scan, and where it is kept.")] = "",
) -> None:
    """Render a simulated recording: of a person, or of an artefact made after one."""
    console = Console(stderr=True)
    try:
        if scenario is not None:
            takes = read_scenario(scenario).take
            out.mkdir(parents=True, exist_ok=True)
            folder = out
        else:
            folder = out.parent
            takes = (
                take_of(
                    out=out.name, person=person, scan=_text(scan), texture=_text(texture), wearer=wearer,
                    artefact=artefact, sensor=sensor, width=width, seed=seed, seconds=seconds,
                    parameters=dict(_number(word) for word in setting or ()),
                    prompts=[dict(zip(("kind", "at_s"), _ask(word), strict=True)) for word in prompt or ()],
                    consent=consent,
                ),
            )  # fmt: skip
        _render_all(takes, folder, console)
    except (ScenarioError, ArtefactError, PeopleError) as error:
        raise typer.BadParameter(str(error)) from error


@rig.command()
def species(
    sheet: Annotated[Path | None, typer.Option(help="Draw the contact sheet of every species into this PNG.")] = None,
    seed: Annotated[int, typer.Option(help="Of the people and the noise.")] = 8,
) -> None:
    """List every species and stream, or draw them all."""
    if sheet is not None:
        draw(seed, sheet)
        Console().print(f"{len(SPECIES)} species in {sheet}. Simulated.")
        return
    console = Console()
    table = Table("species", "kind", "level", "made from", "EUR", "parameters", "not modelled", show_lines=True)
    for one in SPECIES.values():
        table.add_row(
            one.name, f"{one.kind}{', worn' if one.worn else ''}", one.level, one.access, _euros(one.cost_eur),
            _limits(one.shape), one.not_modelled,
        )  # fmt: skip
    console.print(table)
    streams = Table(
        "stream", "what it does", "level", "access", "EUR", "parameters", "what stops it", "not modelled",
        show_lines=True,
    )  # fmt: skip
    for stream in STREAMS.values():
        streams.add_row(
            stream.name, stream.does, stream.level, stream.access, _euros(stream.cost_eur),
            _limits(stream.parameters), stream.stops, stream.not_modelled,
        )  # fmt: skip
    console.print(streams)


def _render_all(takes: tuple[Take, ...], folder: Path, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("rendering", total=sum(take.frames for take in takes))
        for take in takes:
            progress.update(task, description=f"{take.out}: {take.artefact}, {take.sensor}")
            for _ in render_take(take, folder / take.out):
                progress.advance(task)
            console.print(f"{folder / take.out}: {take.frames} frames, simulated", highlight=False)


def _euros(cost: tuple[int, int]) -> str:
    return f"{cost[0]}-{cost[1]}"


def _limits(limits: Limits) -> str:
    return "\n".join(f"{name} {limit.low:g}..{limit.high:g} {limit.unit}" for name, limit in limits.items())


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _number(word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise ScenarioError(f"--set {word}: expected NAME=NUMBER") from error


def _ask(word: str) -> tuple[str, float]:
    kind, _, at_s = word.partition("@")
    try:
        return kind, float(at_s)
    except ValueError as error:
        raise ScenarioError(f"--prompt {word}: expected KIND@SECONDS") from error
