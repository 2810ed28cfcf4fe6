"""`tessera camera calibrate`: the calibration file of a structured-light module, from a flat target at known distances.

Rules kept here:
- Nothing is written unless every limit holds, and never over an existing file without `--replace`.
- A fault at one distance does not lose the others: mend it, and press Enter again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from drivers.camera import CameraError
from drivers.camera.flood import WHITE
from drivers.camera.structured_light import ExposureSource, load_lens, save_module
from drivers.camera.structured_light.calibrate import Calibrated
from drivers.camera.structured_light.calibrate import calibrate as calibrate_module
from drivers.camera.structured_light.flat_target import Stack, take_stack
from firmware.commands.camera_capture import looked_after
from firmware.commands.camera_choice import (
    Choice,
    ConfigChoice,
    OptionChoice,
    ReflectanceChoice,
    SourceChoice,
    choose,
    opened_exposures,
)
from firmware.commands.findings import named_fault, pinning, tell_fault
from firmware.core.errors import TerminalError

DISTANCES_MM = (300.0, 400.0, 500.0, 650.0, 800.0)
CYCLES = 12  # averaged at each distance


def calibrate(
    lens: Annotated[Path, typer.Option(metavar="FILE", help="The lens's intrinsics and distortion, by its maker.")],
    config: ConfigChoice = None,
    source: SourceChoice = None,
    option: OptionChoice = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The calibration to make; default: the one in the options.")
    ] = None,
    distance: Annotated[
        list[float] | None,
        typer.Option(min=100, max=3000, metavar="MM", help="Of the target from the lens; three or more; repeatable."),
    ] = None,
    reflectance: ReflectanceChoice = WHITE,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: something else moves the target.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write over an existing calibration.")] = False,
) -> None:
    """Calibrate a structured-light module: a flat, light, matt target fills the view at each distance."""
    console = Console()
    choice = choose(config, source, option)
    path = _target(choice, out, replace)
    distances = sorted(distance or DISTANCES_MM)
    with named_fault(console):
        maker = load_lens(lens)
        with opened_exposures(choice) as sensor:
            console.print(f"sensor {sensor.serial}, {sensor.width}x{sensor.height}", markup=False)
            stacks = [_stack(sensor, at_mm, yes, console) for at_mm in distances]
            serial = sensor.serial
        with Progress(console=console, transient=True) as progress:
            made = calibrate_module(
                stacks, maker, serial, progress=_bar(progress, "calibrating"), reflectance=reflectance
            )
        console.print(table_of(made))
        if made.refusals:
            for refusal in made.refusals:
                console.print(f"[red]refused:[/] {refusal}", highlight=False, soft_wrap=True)
            console.print("Nothing was written.")
            raise typer.Exit(1)
        save_module(path, made.module)
    console.print(f"\nwritten: {path}\n\n{_pinning(choice, path, made)}", markup=False, highlight=False, soft_wrap=True)


def _target(choice: Choice, out: Path | None, replace: bool) -> Path:
    """Where to write. Raises TerminalError unless that is said, and free."""
    named = choice.options.get("calibration")
    if out is None and not isinstance(named, str):
        raise TerminalError("say where the calibration goes: --out FILE")
    path = out or Path(str(named))
    if path.exists() and not replace:
        raise TerminalError(f"{path}: exists; to make it anew give --replace, or another --out")
    if not path.parent.is_dir():
        raise TerminalError(f"{path.parent}: no such folder")
    return path


def _stack(sensor: ExposureSource, distance_mm: float, yes: bool, console: Console) -> Stack:
    """Take the target at one distance; ask again after a fault, where somebody is there to be asked."""
    while True:
        if not yes:
            _ask(console, f"Put the target at {distance_mm:g} mm from the lens, square to it, and press Enter: ")
        try:
            with looked_after(console) as alive, Progress(console=console, transient=True) as progress:
                advance = _bar(progress, f"{distance_mm:g} mm", alive)
                return take_stack(sensor, distance_mm, CYCLES, advance)
        except CameraError as error:
            if yes:
                raise
            tell_fault(console, error)


def _ask(console: Console, text: str) -> None:
    try:
        console.input(text, markup=False)
    except EOFError as error:
        raise TerminalError("nobody is there to move the target; with --yes nothing is asked") from error


def _bar(progress: Progress, name: str, alive: Callable[[], None] = lambda: None) -> Callable[[int, int], None]:
    task = progress.add_task(name, total=None)

    def advance(done: int, count: int) -> None:
        alive()
        progress.update(task, completed=done, total=count)

    return advance


def table_of(made: Calibrated) -> Table:
    """Return what every distance measures as with the new calibration."""
    table = Table("set, mm", "measured, mm", "plane RMS, mm", "valid", "rows, px", "tilt, degrees")
    for plane, tilt_deg in zip(made.module.planes, made.tilts_deg, strict=True):
        table.add_row(
            f"{plane.distance_mm:g}",
            f"{plane.measured_mm:.1f}",
            f"{plane.rms_mm:.2f}",
            f"{plane.valid:.1%}",
            f"{plane.rows_px:.2f}",
            f"{tilt_deg:.2f}",
        )
    found = made.module.calibration
    table.caption = (
        f"baseline {found.baseline_mm:.2f} mm, lens turned {made.roll_deg:+.2f} and {made.yaw_deg:+.2f} degrees "
        f"against the projector; it will measure {found.range_mm[0]:.0f} to {found.range_mm[1]:.0f} mm; "
        f"white at 1 m returns {made.module.flood_response:.1%} of full scale per millisecond of flood, if the target "
        f"returns {made.module.target_reflectance:.0%}; a dot's sigma is {made.module.dot_sigma_px:.2f} px"
    )
    return table


def _pinning(choice: Choice, path: Path, made: Calibrated) -> str:
    options = choice.options | {"calibration": str(path.resolve())}
    return f"To use and pin it:\n\n{pinning(choice.source, made.module.serial, made.module.digest, options)}"
