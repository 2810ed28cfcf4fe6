"""`tessera camera check`: does this camera deliver what a terminal needs? What it is, how it delivers, what is wrong.

Rules kept here:
- Exit code 1 on a fault or beyond a limit; a fault is named, with what to do.
- Valid depth is judged only where a flat target is said to stand (`--plane`): an empty room has none.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from drivers.camera import Camera, CameraError, FrameSet
from drivers.camera.flood import WHITE
from drivers.camera.meter import Meter
from drivers.camera.plane import Plane, fit_plane
from drivers.camera.structured_light import load_module
from drivers.camera.structured_light.check import check as check_module
from firmware.commands.camera_capture import engaged, looked_after
from firmware.commands.camera_choice import (
    Choice,
    ConfigChoice,
    OptionChoice,
    ReflectanceChoice,
    SourceChoice,
    choose,
    opened_exposures,
)
from firmware.commands.camera_report import delivery, flatness, health_of, identity, light, module
from firmware.commands.findings import Finding, pinning, table_of, tell_fault
from firmware.runtime.pins import check_pinned

PLANES = 8  # frames a plane is fitted to


def check(
    config: ConfigChoice = None,
    source: SourceChoice = None,
    option: OptionChoice = None,
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="How long to look.")] = 3.0,
    plane: Annotated[bool, typer.Option("--plane", help="A flat, light, matt target fills the middle.")] = False,
    reflectance: ReflectanceChoice = WHITE,
) -> None:
    """Look at one camera: identity, pins, rate, drops, depth, health. Exit code 1 on a fault or beyond a limit."""
    console = Console()
    choice = choose(config, source, option)
    with engaged(choice, console) as (camera, frames):
        findings, fault = examine(camera, frames, choice, seconds, reflectance if plane else None, console)
        info = camera.info
    if plane and fault is None and isinstance(choice.options.get("calibration"), str):
        try:
            findings += calibrated(choice, reflectance, console)
        except CameraError as error:
            fault = error
    console.print(table_of(findings))
    pins = pinning(choice.source, info.serial, info.calibration_digest, choice.options)
    console.print(f"\nTo pin it:\n\n{pins}", markup=False, highlight=False, soft_wrap=True)
    try:
        if choice.config is not None:
            check_pinned(choice.config.camera, info)
    except CameraError as error:
        fault = fault or error
    if fault is not None:
        tell_fault(console, fault)
    if fault is not None or any(finding.good is False for finding in findings):
        raise typer.Exit(1)


def examine(
    camera: Camera,
    frames: Iterable[FrameSet],
    choice: Choice,
    seconds: float,
    target: float | None,
    console: Console,
) -> tuple[list[Finding], CameraError | None]:
    """Capture for `seconds`; return what was found, and the fault that ended it early, if any.

    `target`: reflectance of the flat target in the middle; None where none stands there.
    """
    findings = identity(camera.info, choice)
    meter, planes, kept = Meter(), list[Plane | None](), list[FrameSet]()
    fault: CameraError | None = None
    try:
        with Progress(console=console, transient=True) as progress:
            task, until = progress.add_task("looking", total=seconds), 0.0
            for one in frames:
                until = until or time.monotonic() + seconds
                meter.take(one, time.monotonic_ns())
                if target is not None and len(planes) < PLANES:
                    planes.append(fit_plane(one.depth_mm, one.intrinsics))
                    kept.append(one)
                left_s = until - time.monotonic()
                progress.update(task, completed=seconds - left_s)
                if left_s <= 0:
                    break
    except CameraError as error:
        fault = error
    findings += delivery(meter.figures)
    findings += health_of(camera.health)
    if target is not None:
        findings += flatness(planes) + light(kept, target)
    return findings, fault


def calibrated(choice: Choice, reflectance: float, console: Console) -> list[Finding]:
    """Whether a structured-light module still is as it was calibrated. Raises CameraError."""
    known = load_module(Path(str(choice.options["calibration"])))
    with looked_after(console) as alive, opened_exposures(choice) as sensor:
        return module(check_module(sensor, known, progress=lambda *_: alive(), reflectance=reflectance))
