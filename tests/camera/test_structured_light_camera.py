"""The structured-light camera on the virtual sensor: whole cycles, and every fault in its one cause. Simulated."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest

from drivers.camera import CameraError, CameraLostError, Cause, Emitter, FrameSet
from drivers.camera.structured_light import Exposure, StructuredLightCamera
from drivers.camera.structured_light.module_file import Module, digest_of
from drivers.emitter.patterns import by_exposure
from firmware.liveness.gates import geometry_gates, load_limits
from firmware.vision.align import align
from firmware.vision.calibration import load_calibration
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face
from firmware.vision.match import cosines
from firmware.vision.networks import DETECTOR, EMBEDDER, load_network
from hil.emitter.light import Light, write_light
from hil.sensor.bench import Bench, Target, write_bench
from hil.sensor.stage import Person, Stage, write_stage
from hil.sensor.virtual_exposures import VirtualExposures, VirtualExposuresOptions, makers_module


def lit(*levels: Emitter) -> tuple[Emitter, ...]:
    return by_exposure(levels, "dark-flood-dots")


FULL = Light(armed=True, levels=lit(Emitter(flood=1.0, dots=1.0)))
WELL = Bench()
FRAMES = 5


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@dataclass
class Rig:
    """A virtual module whose files a test rewrites."""

    folder: Path
    module: Module
    options: VirtualExposuresOptions
    clock: Clock

    def set(self, bench: Bench = WELL, light: Light = FULL) -> None:
        write_bench(self.folder / "bench.json", bench)
        write_light(self.folder / "light.json", light)

    def open(self, module: Module | None = None) -> StructuredLightCamera:
        source = VirtualExposures(self.options, self.clock, self.clock.wait)
        return StructuredLightCamera(source, module or self.module, self.clock)

    def frames(self, count: int = FRAMES, module: Module | None = None) -> list[FrameSet]:
        camera = self.open(module)
        camera.start()
        try:
            return [camera.read(1.0) for _ in range(count)]
        finally:
            camera.close()


OPTIONS = VirtualExposuresOptions(fps=10.0, roll_deg=0.6, yaw_deg=-0.8)


@pytest.fixture(scope="module")
def module() -> Module:
    return makers_module(OPTIONS)


@pytest.fixture
def rig(tmp_path: Path, module: Module) -> Rig:
    write_stage(tmp_path / "stage.json", Stage(subject=Person(3), distance_mm=500))
    paths = {name: str(tmp_path / f"{name}.json") for name in ("stage", "bench", "light")}
    made = Rig(tmp_path, module, msgspec.structs.replace(OPTIONS, **paths), Clock())
    made.set()
    return made


def valid(frames: FrameSet) -> int:
    return int(np.isfinite(frames.depth_mm[160:320, 250:390]).sum())


def test_a_person_is_seen_whole(rig: Rig) -> None:
    frames = rig.frames()
    assert [one.sequence for one in frames] == list(range(FRAMES))
    for one in frames:
        assert valid(one) > 0.85 * 160 * 140
        assert one.ambient is not None
        assert one.dots is not None
        assert one.ir.mean() > 4 * one.ambient.mean()
        assert abs(np.nanmedian(one.depth_mm[220:260, 300:340]) - 495) < 25
        assert one.camera.calibration_digest == rig.module.digest
    # a flood's time, and cycles at their pace
    assert np.diff([one.timestamp_ns for one in frames]).tolist() == [10**8] * (FRAMES - 1)
    assert frames[0].timestamp_ns == 10**12 - 8_333_000


def read_on(camera: StructuredLightCamera, look: Callable[[], object] = lambda: None) -> None:
    """Read until something ends it."""
    for _ in range(40):
        camera.read(1.0)
        look()


LIT = FULL.levels
FAULTS: list[tuple[str, Cause, Bench, Light]] = [
    ("rows off by 1 px", "row_drift", Bench(rows_off_px=1.0), FULL),
    ("rows off by -1.5 px", "row_drift", Bench(rows_off_px=-1.5), FULL),
    ("rows off by 2 px", "row_drift", Bench(rows_off_px=2.0), FULL),
    ("dots at 20 % power", "weak_dots", Bench(), Light(armed=True, levels=LIT, dots_scale=0.2)),
    ("dots at 5 % power", "weak_dots", Bench(), Light(armed=True, levels=LIT, dots_scale=0.05)),
    ("light stuck on", "emitter_stuck_on", Bench(), Light(armed=True, levels=LIT, stuck="on")),
    ("light stuck off", "emitter_stuck_off", Bench(), Light(armed=True, levels=LIT, stuck="off")),
    ("a board that is not armed", "emitter_stuck_off", Bench(), Light()),
    ("no dots", "emitter_stuck_off", Bench(), Light(armed=True, levels=lit(Emitter(flood=1.0, dots=0.0)))),
    ("no flood", "emitter_stuck_off", Bench(), Light(armed=True, levels=lit(Emitter(flood=0.0, dots=1.0)))),
    ("half exposures", "partial", Bench(half=1.0), FULL),
    ("most exposures lost", "partial", Bench(lost=0.7), FULL),
]


@pytest.mark.parametrize(("cause", "bench", "light"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_has_one_cause_and_ends_when_mended(rig: Rig, cause: Cause, bench: Bench, light: Light) -> None:
    rig.set(bench, light)
    camera = rig.open()
    camera.start()
    with pytest.raises(CameraError) as caught:
        read_on(camera)
    assert caught.value.cause == cause
    camera.stop()
    rig.set()
    camera.start()
    assert valid(camera.read(1.0)) > 0.85 * 160 * 140
    camera.close()


@pytest.mark.parametrize("off_px", [-0.5, 0.25, 0.5])
def test_row_drift_is_measured_while_depth_lives(rig: Rig, off_px: float) -> None:
    rig.set(Bench(rows_off_px=off_px))
    camera = rig.open()
    camera.start()
    frames = [camera.read(1.0) for _ in range(FRAMES)]
    assert camera.health.row_drift_px == pytest.approx(off_px, abs=0.06)
    assert ("calibrate before depth is lost" in camera.health.advice) == (abs(off_px) > 0.3)
    assert valid(frames[-1]) > 0.75 * 160 * 140
    camera.close()


def test_a_slow_drift_is_told_before_it_is_a_fault(rig: Rig) -> None:
    """0.8 px a second: a module warming in the sun, sped up."""
    rig.set(Bench(rows_px_per_s=0.8))
    camera = rig.open()
    camera.start()
    advice: list[str] = []
    with pytest.raises(CameraError, match=r"rows are off by \+0.8 px") as caught:
        read_on(camera, lambda: advice.append(camera.health.advice))
    assert caught.value.cause == "row_drift"
    assert 3 <= advice.index(next(one for one in advice if one)) <= len(advice) - 4
    camera.close()


def test_fading_dots_are_told_before_they_are_a_fault(rig: Rig) -> None:
    rig.set(light=Light(armed=True, levels=LIT, dots_scale=0.5))
    camera = rig.open()
    camera.start()
    for _ in range(FRAMES):
        camera.read(1.0)
    assert "of their light" in camera.health.advice
    camera.close()


def test_a_dimmed_flood_is_no_fault(rig: Rig) -> None:
    """The emitter's code dims the flood from cycle to cycle."""
    levels = lit(*(Emitter(flood=level, dots=1.0) for level in (1.0, 0.3, 0.6)))
    rig.set(light=Light(armed=True, levels=levels))
    camera = rig.open()
    camera.start()
    means = [float(camera.read(1.0).ir[160:320, 250:390].mean()) for _ in range(FRAMES)]
    assert means[1] < 0.5 * means[0]
    assert camera.health.advice == ""
    camera.close()


def test_full_sun_is_no_fault(rig: Rig) -> None:
    rig.options = msgspec.structs.replace(rig.options, sun=1.0)
    assert valid(rig.frames()[-1]) > 0.6 * 160 * 140


def test_daylight_hides_no_fault(rig: Rig) -> None:
    rig.options = msgspec.structs.replace(rig.options, sun=0.3)
    rig.set(light=Light(armed=True, levels=LIT, dots_scale=0.2))
    with pytest.raises(CameraError) as caught:
        rig.frames()
    assert caught.value.cause == "weak_dots"


def test_a_lost_exposure_costs_one_cycle(rig: Rig) -> None:
    rig.set(Bench(lost=0.12))
    camera = rig.open()
    camera.start()
    frames = [camera.read(1.0) for _ in range(9)]
    assert camera.health.dropped == frames[-1].sequence - 8 > 0
    assert all(valid(one) > 0.85 * 160 * 140 for one in frames)
    camera.close()


def test_the_calibration_of_another_sensor_does_not_open(rig: Rig) -> None:
    other = msgspec.structs.replace(rig.module, serial="SOMEBODY-ELSE")
    with pytest.raises(CameraError, match="SOMEBODY-ELSE") as caught:
        rig.open(msgspec.structs.replace(other, digest=digest_of(other)))
    assert caught.value.cause == "wrong_camera"


def test_another_modules_dots_are_a_wrong_calibration(rig: Rig) -> None:
    """Same sensor, its projector replaced: the reference shows other dots."""
    module = makers_module(msgspec.structs.replace(rig.options, preset="ideal"))
    other = msgspec.structs.replace(module, lens=rig.module.lens)
    with pytest.raises(CameraError) as caught:
        rig.frames(module=other)
    assert caught.value.cause == "calibration"


@pytest.mark.parametrize(("artefact", "passes"), [(None, True), ("flat_print", False), ("bent_print", False)])
def test_a_person_passes_the_gates_through_the_driver_and_a_print_does_not(
    rig: Rig, models_dir: Path, artefact: Literal["flat_print", "bent_print"] | None, passes: bool
) -> None:
    write_stage(rig.folder / "stage.json", Stage(subject=Person(3), distance_mm=500, artefact=artefact))
    detector = Detector(load_network(DETECTOR, models_dir))
    frames = rig.frames(2)[-1]
    face = detector.find(frames)
    assert isinstance(face, Face)
    failed = {gate.name for gate in geometry_gates(frames, face, load_limits()[0]) if not gate.passed}
    assert not failed if passes else failed >= {"relief", "solid_relief"}
    if passes:
        embedder, calibration = Embedder(load_network(EMBEDDER, models_dir)), load_calibration("virtual")
        write_stage(rig.folder / "stage.json", Stage(subject=Person(3), distance_mm=420))
        again = rig.frames(1)[0]
        there = detector.find(again)
        assert isinstance(there, Face)
        one, other = (embedder.embed(align(shot.ir, seen.points_px)) for shot, seen in ((frames, face), (again, there)))
        likeness = float(cosines(one, other[None, None], calibration.ir)[0])
        assert calibration.ir.llr(likeness) >= calibration.threshold(1e-4, ("ir",)).llr


def test_a_flat_target_is_flat_through_the_driver(rig: Rig) -> None:
    rig.set(Bench(target=Target(distance_mm=600)))
    depth = rig.frames(2)[-1].depth_mm[160:320, 220:420]
    assert np.isfinite(depth).mean() > 0.95
    assert abs(np.nanmedian(depth) - 600) < 8


def sorted_as(rig: Rig, camera: StructuredLightCamera, exposures: list[Exposure]) -> list[int] | None:
    """Where dark, flood and dots were seen when these come one after the other; None where they are no cycle."""
    camera._begin()
    for place, one in enumerate(exposures):
        timed = Exposure(place, 10**9 + place * 8_333_000, one.image, one.exposure_us, one.gain)
        cycle = camera._sorter.add(timed, camera._rectify(timed.image))
    return [one.exposure.number for one in (cycle.dark, cycle.flood, cycle.dots)] if cycle is not None else None


def test_a_cycle_may_begin_with_any_exposure(rig: Rig) -> None:
    """Nothing says where in it the sensor started: pictures decide."""
    source = VirtualExposures(rig.options, rig.clock, rig.clock.wait)
    source.start()
    dark, flood, dots = (source.read(1.0) for _ in range(3))
    camera = rig.open()
    assert sorted_as(rig, camera, [dark, flood, dots]) == [0, 1, 2]
    assert sorted_as(rig, camera, [flood, dots, dark]) == [2, 0, 1]
    assert sorted_as(rig, camera, [dots, dark, flood]) == [1, 2, 0]


def test_dots_in_the_flood_exposure_are_not_ours(rig: Rig) -> None:
    """Attack: printed dots shine in our flood and swallow our own, or a projector in step with our strobe throws dots
    then and drowns ours later. Taken for ours, they would give a flat sheet any depth that was printed on it."""
    source = VirtualExposures(rig.options, rig.clock, rig.clock.wait)
    source.start()
    dark, flood, dots = (source.read(1.0) for _ in range(3))
    camera = rig.open()
    for theirs in ([dark, dots, flood], [dots, flood, dark], [flood, dark, dots]):
        assert sorted_as(rig, camera, theirs) is None
    # and while it goes on it has a name
    with pytest.raises(CameraLostError) as caught:
        sorted_as(rig, camera, [dark, dots, flood] * 40)
    assert caught.value.cause == "emitter_stuck_on"
