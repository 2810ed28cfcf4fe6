"""`tessera bench --only drift`: what drifting rows do to depth, how well they are measured, what it costs. Simulated.

A person at 0.5 m before the virtual module, through the whole driver: raw exposures in, FrameSets out. The fault that
service would raise is written down instead of ending the measurement. And a calibration of that module, whose true
geometry is known.
"""

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from drivers.camera import CameraLostError
from drivers.camera.structured_light.calibrate import calibrate
from drivers.camera.structured_light.decoder import Decoder
from drivers.camera.structured_light.drift import Drift
from drivers.camera.structured_light.exposures import Exposure
from drivers.camera.structured_light.flat_target import take_stack
from drivers.camera.structured_light.module_file import MeasuredPlane
from drivers.camera.structured_light.probe import Probe
from drivers.camera.structured_light.rectify import Rectifier
from drivers.camera.structured_light.region import lit_region
from drivers.camera.structured_light.sorter import Sorter
from hil.sensor.bench import Bench, Target, write_bench
from hil.sensor.stage import Person, Stage, write_stage
from hil.sensor.virtual_exposures import VirtualExposures, VirtualExposuresOptions, makers_module

BENCH_SEED = 95_000
OFF_PX = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
FRAMES = 8
DISTANCE_MM = 500.0
TARGETS_MM, CYCLES = (350.0, 500.0, 650.0, 800.0), 12
FACE_MM = (45.0, 60.0)  # about the point between the eyes: half as wide, and as far down


class Row(msgspec.Struct, frozen=True):
    """Of `frames` frames with rows `off_px` lower than calibrated.

    Attributes:
        measured_px: by the monitor, median; `worst_px`: its largest error.
        valid_pct: of the face's pixels.
        says: what service says: nothing, advice, or a fault's name.
        frames: how many.
    """

    off_px: float
    measured_px: float
    worst_px: float
    valid_pct: float
    says: str
    frames: int


class Costs(msgspec.Struct, frozen=True):
    """CPU ms per FrameSet, median: rectifying three exposures, looking at them (sorting, row drift), decoding, all."""

    rectify_ms: float
    look_ms: float
    decode_ms: float
    whole_ms: float


class Recovered(msgspec.Struct, frozen=True):
    """A calibration made of `CYCLES` cycles at each distance, beside the true geometry; `planes` as in its file."""

    baseline_mm: tuple[float, float]
    roll_deg: tuple[float, float]
    yaw_deg: tuple[float, float]
    planes: tuple[MeasuredPlane, ...]


class Report(msgspec.Struct, frozen=True):
    """Drift and a calibration at 640 x 480, costs by width."""

    drift: list[Row]
    costs: dict[str, Costs]
    calibrated: Recovered


def measure() -> Report:
    """Measure on one thread, so that CPU time is one core's."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        drift, costs = [_row(off_px) for off_px in OFF_PX], {str(width): _costs(width) for width in (640, 1280)}
        return Report(drift, costs, _calibrated())
    finally:
        cv2.setNumThreads(threads)


def show(console: Console, report: Report) -> None:
    """Print as two tables."""
    table = Table("rows off, px", "measured, px", "largest error", "valid, % of the face", "service says")
    for row in report.drift:
        numbers = f"{row.off_px:.2f}", f"{row.measured_px:.2f}", f"{row.worst_px:.2f}", f"{row.valid_pct:.0f}"
        table.add_row(*numbers, row.says)
    console.print(table)
    table = Table("width", "rectify, CPU ms", "look", "decode", "whole FrameSet")
    for width, cost in report.costs.items():
        times = (cost.rectify_ms, cost.look_ms, cost.decode_ms, cost.whole_ms)
        table.add_row(width, *(f"{ms:.1f}" for ms in times))
    console.print(table)
    made = report.calibrated
    table = Table("calibrated", "found", "true")
    for name, unit in (("baseline", "mm"), ("roll", "deg"), ("yaw", "deg")):
        found, true = getattr(made, f"{name}_{unit}")
        table.add_row(f"{name}, {unit}", f"{found:.3f}", f"{true:.3f}")
    console.print(table)
    table = Table("target, mm", "measured", "plane RMS, mm", "rows, px", "valid, %")
    for plane in made.planes:
        numbers = f"{plane.measured_mm:.2f}", f"{plane.rms_mm:.2f}", f"{plane.rows_px:.3f}", f"{100 * plane.valid:.0f}"
        table.add_row(f"{plane.distance_mm:g}", *numbers)
    console.print(table)


class _Stages:
    """The driver's own steps, one by one."""

    def __init__(self, options: VirtualExposuresOptions) -> None:
        module = makers_module(options)
        reference, calibration = module.reference(), module.calibration
        self.rectify = Rectifier(module.lens, module.turn, calibration.intrinsics)
        self.sorter = Sorter(Probe(reference, calibration), module.dots_per_flood)
        self.decoder = Decoder(reference, calibration)
        self.drift = Drift(module.dots_per_flood)


def _source(options: VirtualExposuresOptions) -> VirtualExposures:
    """On a clock that runs only while somebody waits."""
    now_ns = [10**12]

    def wait(seconds: float) -> None:
        now_ns[0] += round(seconds * 1e9)

    return VirtualExposures(options, lambda: now_ns[0], wait)


def _exposures(options: VirtualExposuresOptions, cycles: int) -> list[Exposure]:
    source = _source(options)
    source.start()
    return [source.read(1.0) for _ in range(3 * cycles)]


def _calibrated() -> Recovered:
    with tempfile.TemporaryDirectory() as folder:
        options = _set_up(Path(folder), 640, Bench())
        source, stacks = _source(options), []
        for distance_mm in TARGETS_MM:
            write_bench(Path(folder) / "bench.json", Bench(target=Target(distance_mm)))
            stacks.append(take_stack(source, distance_mm, CYCLES))
    true = makers_module(options)
    made = calibrate(stacks, true.lens, options.serial)
    return Recovered(
        baseline_mm=(round(made.module.calibration.baseline_mm, 3), true.calibration.baseline_mm),
        roll_deg=(round(made.roll_deg, 3), options.roll_deg),
        yaw_deg=(round(made.yaw_deg, 3), options.yaw_deg),
        planes=made.module.planes,
    )


def _set_up(folder: Path, width: int, bench: Bench) -> VirtualExposuresOptions:
    stage, state = folder / "stage.json", folder / "bench.json"
    write_stage(stage, Stage(subject=Person(BENCH_SEED), distance_mm=DISTANCE_MM))
    write_bench(state, bench)
    return VirtualExposuresOptions(
        stage=str(stage), bench=str(state), width=640 if width == 640 else 1280, roll_deg=0.6, yaw_deg=-0.8
    )


def _row(off_px: float) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        options = _set_up(Path(folder), 640, Bench(rows_off_px=off_px))
        exposures = _exposures(options, FRAMES)
    stages, valid, seen = _Stages(options), [], []
    camera, says = options.sensor.intrinsics, ""
    half_x, down = (round(mm / DISTANCE_MM * camera.fx) for mm in FACE_MM)
    x, y = round(camera.cx), round(camera.cy)
    face = slice(y - down // 3, y + down), slice(x - half_x, x + half_x)
    for exposure in exposures:
        cycle = stages.sorter.add(exposure, stages.rectify(exposure.image))
        if cycle is None:
            continue
        stages.drift.add(cycle)
        seen.append(cycle.dots.look.rows_px)
        depth_mm = stages.decoder.decode(cycle.dots.image, lit_region(cycle.flood.small, cycle.dark.small))
        valid.append(float(np.isfinite(depth_mm[face]).mean()))
        says = stages.drift.advice
        try:
            stages.drift.check()
        except CameraLostError as error:
            says = f"fault: {error.cause}"
    worst = max(abs(one - off_px) for one in seen)
    valid_pct = 100 * statistics.mean(valid)
    return Row(off_px, round(statistics.median(seen), 3), round(worst, 3), round(valid_pct, 1), says, len(seen))


def _costs(width: int) -> Costs:
    with tempfile.TemporaryDirectory() as folder:
        options = _set_up(Path(folder), width, Bench())
        exposures = _exposures(options, FRAMES)
    stages = _Stages(options)
    spent: list[tuple[float, float, float]] = []
    rectify_ms = look_ms = 0.0
    for exposure in exposures:
        begun = time.process_time_ns()
        image = stages.rectify(exposure.image)
        straight = time.process_time_ns()
        cycle = stages.sorter.add(exposure, image)
        if cycle is not None:
            stages.drift.add(cycle)
        looked = time.process_time_ns()
        rectify_ms, look_ms = rectify_ms + (straight - begun) / 1e6, look_ms + (looked - straight) / 1e6
        if cycle is not None:
            stages.decoder.decode(cycle.dots.image, lit_region(cycle.flood.small, cycle.dark.small))
            spent.append((rectify_ms, look_ms, (time.process_time_ns() - looked) / 1e6))
            rectify_ms = look_ms = 0.0
    rectify, look, decode = (round(statistics.median(column), 1) for column in zip(*spent, strict=True))
    return Costs(rectify, look, decode, round(statistics.median(sum(one) for one in spent), 1))
