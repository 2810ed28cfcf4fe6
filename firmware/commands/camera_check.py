"""`tessera camera check`: does this camera deliver what a terminal needs? What it is, how it delivers, what is wrong.

Rules kept here:
- Exit code 1 on a fault or beyond a limit; a fault is named, with what to do.
- Valid depth is judged only where a flat target is said to stand (`--plane`): an empty room has none.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from drivers.camera import FAULTS, Camera, CameraError, CameraInfo, FrameSet, Health
from drivers.camera.meter import Figures, Meter
from drivers.camera.plane import Plane, fit_plane
from drivers.camera.structured_light import load_module
from drivers.camera.structured_light.check import check as check_module
from firmware.commands.camera_capture import engaged, not_hanging
from firmware.commands.camera_choice import Choice, ConfigChoice, OptionChoice, SourceChoice, choose, opened_exposures
from firmware.commands.findings import Finding, pinning, table_of, tell_fault
from firmware.runtime.pins import check_pinned

MAX_DROPPED = 0.05  # share of cycles
MAX_TAIL = 2.5  # 99th percentile of the intervals, in medians
MAX_LATENCY_MS = 250.0  # half of what the profiles call stale
PLANES = 16  # frames a plane is fitted to
MIN_VALID, MAX_WILD = 0.8, 0.1
MAX_TILT_DEG = 30.0
MAX_RMS = 0.005  # of the distance: 2.5 mm at 0.5 m, half the height of a nose wing


def check(
    config: ConfigChoice = None,
    source: SourceChoice = None,
    option: OptionChoice = None,
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="How long to look.")] = 3.0,
    plane: Annotated[bool, typer.Option("--plane", help="A flat, light, matt target fills the middle.")] = False,
) -> None:
    """Look at one camera: identity, pins, rate, drops, depth, health. Exit code 1 on a fault or beyond a limit."""
    console = Console()
    choice = choose(config, source, option)
    with engaged(choice, console) as (camera, frames):
        findings, fault = examine(camera, frames, choice, seconds, plane, console)
        info = camera.info
    if plane and fault is None and isinstance(choice.options.get("calibration"), str):
        try:
            findings += calibrated(choice, console)
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
    camera: Camera, frames: Iterable[FrameSet], choice: Choice, seconds: float, plane: bool, console: Console
) -> tuple[list[Finding], CameraError | None]:
    """Capture for `seconds`; return what was found, and the fault that ended it early, if any."""
    findings = identity(camera.info, choice)
    meter, planes = Meter(), list[Plane | None]()
    fault: CameraError | None = None
    try:
        with Progress(console=console, transient=True) as progress:
            task, until = progress.add_task("looking", total=seconds), 0.0
            for one in frames:
                until = until or time.monotonic() + seconds
                meter.take(one, time.monotonic_ns())
                if plane and len(planes) < PLANES:
                    planes.append(fit_plane(one.depth_mm, one.intrinsics))
                left_s = until - time.monotonic()
                progress.update(task, completed=seconds - left_s)
                if left_s <= 0:
                    break
    except CameraError as error:
        fault = error
    findings += delivery(meter.figures)
    findings += health_of(camera.health)
    if plane:
        findings += flatness(planes)
    return findings, fault


def identity(info: CameraInfo, choice: Choice) -> list[Finding]:
    """Who the camera says it is, against what is pinned: a misconfiguration check, not authentication."""
    profile = choice.profile
    needed = profile is not None and profile.require_flood
    return [
        Finding("camera", None, f"{info.serial}, firmware {info.firmware or 'unnamed'}, plug-in {choice.source}"),
        _pin("serial", info.serial, choice.serial, info.serial == choice.serial),
        _pin(
            "calibration",
            info.calibration_digest,
            choice.calibration_digest,
            info.calibration_digest.startswith(choice.calibration_digest or ""),
        ),
        Finding(
            "flood light",
            info.flood or (False if needed else None),
            "of its own"
            if info.flood
            else f"none; profile {profile.name} refuses every session without"
            if profile is not None and needed
            else "none: infrared is lit by dots and by the room",
        ),
    ]


def _pin(name: str, found: str, pinned: str | None, same: bool) -> Finding:
    if pinned is None:
        return Finding(name, None, f"{_short(found)}, not pinned")
    if same:
        return Finding(name, True, f"{_short(found)}, the pinned one (a misconfiguration check)")
    return Finding(name, False, f"{_short(found)}, but {_short(pinned)} is pinned: the wrong one, or pin this one")


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:16] + "..."


def delivery(figures: Figures) -> list[Finding]:
    """How frames came."""
    if figures.interval_ms is None or figures.jitter_ms is None or figures.rate_hz is None:
        return [Finding("frames", False if not figures.frames else None, f"{figures.frames}: nothing to measure on")]
    median, tail = figures.interval_ms
    share = figures.dropped / (figures.frames + figures.dropped)
    found = [
        Finding("frames", True, f"{figures.frames}, {figures.rate_hz:.1f} a second"),
        Finding(
            "interval",
            tail <= MAX_TAIL * median,
            f"p50 {median:.1f}, p99 {tail:.1f} ms, jitter {figures.jitter_ms:.1f} ms "
            f"(limit: p99 of {MAX_TAIL:g} medians)",
        ),
        Finding(
            "dropped",
            share <= MAX_DROPPED,
            f"{figures.dropped} cycles, {share:.1%} (limit {MAX_DROPPED:.0%})"
            + ("" if share <= MAX_DROPPED else f". {FAULTS['overrun'][1]}"),
        ),
    ]
    if figures.latency_ms is None:
        found.append(Finding("latency", None, "none to measure: these frames were not taken now"))
    else:
        median, tail = figures.latency_ms
        told = f"p50 {median:.0f}, p99 {tail:.0f} ms from mid-exposure (limit {MAX_LATENCY_MS:.0f})"
        found.append(Finding("latency", tail <= MAX_LATENCY_MS, told))
    where = f", at {figures.distance_mm:.0f} mm" if figures.distance_mm is not None else "; is anything there?"
    found.append(Finding("valid depth", None, f"{figures.valid or 0:.1%} of the middle{where}"))
    return found


def health_of(health: Health) -> list[Finding]:
    """What the camera says of itself."""
    told = []
    if health.dropped:
        told.append(Finding("lost cycles", None, f"{health.dropped} by its own count"))
    if health.row_drift_px is not None:
        told.append(Finding("row drift", None, f"{health.row_drift_px:+.2f} px against the calibration"))
    if health.dot_contrast is not None:
        told.append(Finding("dot contrast", None, f"{health.dot_contrast:.0%} of that in the calibration"))
    if health.advice:
        told.append(Finding("advice", None, health.advice))
    return told


def calibrated(choice: Choice, console: Console) -> list[Finding]:
    """Whether a structured-light module still is as it was calibrated. Raises CameraError."""
    module = load_module(Path(str(choice.options["calibration"])))
    with opened_exposures(choice) as sensor, not_hanging(console) as alive:
        checked = check_module(sensor, module, progress=lambda *_: alive())
    dots = f", dots at {checked.dots:.0%} of their light" if checked.dots is not None else ""
    told = f"rows {checked.rows_px:+.2f} px from the reference{dots}"
    return [Finding("module", not checked.refusals, "; ".join([told, *checked.refusals]))]


def flatness(planes: Sequence[Plane | None]) -> list[Finding]:
    """What a flat target in the middle measures as: the median over frames."""
    fitted = [plane for plane in planes if plane is not None]
    if len(fitted) <= len(planes) // 2:
        return [Finding("plane", False, "no depth in the middle: put a flat, light, matt target there, square to it")]
    distance, tilt, rms, wild, valid = np.median(
        [(p.distance_mm, p.tilt_deg, p.rms_mm, p.wild, p.valid) for p in fitted], axis=0
    )
    if tilt > MAX_TILT_DEG:
        return [Finding("plane", False, f"nothing flat faces the camera at {distance:.0f} mm: put a flat target there")]
    return [
        Finding(
            "plane",
            bool(rms <= MAX_RMS * distance and wild <= MAX_WILD),
            f"RMS {rms:.2f} mm at {distance:.0f} mm, tilted {tilt:.1f} degrees (limit {MAX_RMS * distance:.2f} mm); "
            f"{wild:.1%} far off it (limit {MAX_WILD:.0%}: not flat, or it does not fill the middle)",
        ),
        Finding("plane depth", bool(valid >= MIN_VALID), f"{valid:.1%} of the middle (limit {MIN_VALID:.0%})"),
    ]
