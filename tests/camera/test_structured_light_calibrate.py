"""Calibrating and checking the virtual module, whose true geometry is known. Simulated."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from drivers.camera import CameraError
from drivers.camera.structured_light import CalibrationError, Lens, Module, load_lens, load_module, save_module
from drivers.camera.structured_light.calibrate import Calibrated, calibrate
from drivers.camera.structured_light.check import check
from drivers.camera.structured_light.flat_target import Stack, take_stack
from drivers.camera.structured_light.sorter import Seen
from hil.emitter.light import Light, write_light
from hil.sensor.bench import Bench, Target, write_bench
from hil.sensor.virtual_exposures import VirtualExposures, VirtualExposuresOptions, makers_module

OPTIONS = VirtualExposuresOptions(fps=10.0, roll_deg=0.6, yaw_deg=-0.8)
DISTANCES = (350.0, 500.0, 700.0)
Take = Callable[..., Stack]


@pytest.fixture(scope="module")
def true_module() -> Module:
    return makers_module(OPTIONS)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Bench], VirtualExposures]:
    """Return what puts the module on a bench, on a clock that runs while it waits."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    now_ns = [10**12]

    def wait(seconds: float) -> None:
        now_ns[0] += round(seconds * 1e9)

    def put(state: Bench) -> VirtualExposures:
        write_bench(path, state)
        options = msgspec.structs.replace(OPTIONS, bench=str(path))
        return VirtualExposures(options, lambda: now_ns[0], wait)

    return put


@pytest.fixture(scope="module")
def take(bench: Callable[[Bench], VirtualExposures]) -> Take:
    """Return a taker of stacks of a target at a true distance, told as another perhaps."""

    def taken(distance_mm: float, told_mm: float | None = None, tilt_deg: float = 0.0, rows_off: float = 0.0) -> Stack:
        source = bench(Bench(target=Target(distance_mm, tilt_deg), rows_off_px=rows_off))
        return take_stack(source, told_mm or distance_mm, cycles=3)

    return taken


@pytest.fixture(scope="module")
def stacks(take: Take) -> list[Stack]:
    return [take(distance_mm) for distance_mm in DISTANCES]


@pytest.fixture(scope="module")
def made(stacks: list[Stack], true_module: Module) -> Calibrated:
    return calibrate(stacks, true_module.lens, OPTIONS.serial)


def test_the_true_geometry_is_recovered(made: Calibrated, true_module: Module) -> None:
    assert made.refusals == ()
    assert made.module.calibration.baseline_mm == pytest.approx(true_module.calibration.baseline_mm, rel=0.002)
    assert made.roll_deg == pytest.approx(OPTIONS.roll_deg, abs=0.05)
    assert made.yaw_deg == pytest.approx(OPTIONS.yaw_deg, abs=0.05)
    between = made.module.turn @ true_module.turn.T
    assert np.degrees(np.abs(between - np.eye(3)).max()) < 0.05
    assert made.module.dots_per_flood == pytest.approx(true_module.dots_per_flood, rel=0.05)
    assert made.module.flood_response == pytest.approx(true_module.flood_response, rel=0.02)
    assert made.module.dot_sigma_px == pytest.approx(true_module.dot_sigma_px, rel=0.08)


def test_every_distance_is_reported_as_it_will_be_in_service(made: Calibrated) -> None:
    assert [plane.distance_mm for plane in made.module.planes] == list(DISTANCES)
    for plane in made.module.planes:
        assert plane.measured_mm == pytest.approx(plane.distance_mm, rel=0.002)
        assert 0 < plane.rms_mm < 0.0015 * plane.distance_mm
        assert plane.valid > 0.98
        assert plane.rows_px < 0.05
        assert plane.flood_response == pytest.approx(made.module.flood_response, rel=0.02)


def test_the_response_is_as_right_as_the_targets_reflectance(
    stacks: list[Stack], true_module: Module, made: Calibrated
) -> None:
    grey = calibrate(stacks, true_module.lens, OPTIONS.serial, reflectance=0.4).module
    assert grey.target_reflectance == 0.4
    assert grey.flood_response == pytest.approx(2 * made.module.flood_response, rel=1e-4)
    assert grey.digest != made.module.digest


def _lit(stack: Stack, level: float) -> Stack:
    """The same, its flood at `level`."""
    dark, flood = stack.cycle.dark, stack.cycle.flood
    image = np.clip(dark.image + level * (flood.image.astype(float) - dark.image), 0, 255).astype(np.uint8)
    return replace(stack, cycle=replace(stack.cycle, flood=Seen(flood.exposure, image, flood.look)))


def test_a_flood_that_is_not_the_same_at_every_distance_is_refused(stacks: list[Stack], true_module: Module) -> None:
    wrong = calibrate([stacks[0], stacks[1], _lit(stacks[2], 0.7)], true_module.lens, OPTIONS.serial)
    assert any("at 700 mm the flood is" in said for said in wrong.refusals)


def test_a_distance_at_which_the_picture_is_full_says_nothing_of_the_flood(
    stacks: list[Stack], true_module: Module
) -> None:
    full = calibrate([_lit(stacks[0], 9), *stacks[1:]], true_module.lens, OPTIONS.serial)
    assert full.module.planes[0].flood_response is None
    assert full.module.flood_response == pytest.approx(true_module.flood_response, rel=0.02)
    assert not full.refusals
    with pytest.raises(CalibrationError, match="too bright or too dim"):
        calibrate([_lit(one, 9) for one in stacks], true_module.lens, OPTIONS.serial)


def test_a_tape_read_wrong_is_refused(take: Take, stacks: list[Stack], true_module: Module) -> None:
    wrong = calibrate([stacks[0], stacks[1], take(700, told_mm=660)], true_module.lens, OPTIONS.serial)
    assert any("measured right?" in said for said in wrong.refusals)


def test_a_tilted_target_is_refused(take: Take, stacks: list[Stack], true_module: Module) -> None:
    wrong = calibrate([stacks[0], stacks[1], take(700, tilt_deg=3)], true_module.lens, OPTIONS.serial)
    assert any("set it square" in said for said in wrong.refusals)


def test_a_module_knocked_between_two_distances_is_refused(
    take: Take, stacks: list[Stack], true_module: Module
) -> None:
    """Rows that moved once look like a turned lens at first, but not at every distance."""
    wrong = calibrate([stacks[0], stacks[1], take(700, rows_off=1.0)], true_module.lens, OPTIONS.serial)
    assert any("rows are" in said for said in wrong.refusals)


def test_another_modules_lens_is_refused(stacks: list[Stack], true_module: Module) -> None:
    intrinsics = msgspec.structs.replace(true_module.lens.intrinsics, cy=280.0)
    lens = msgspec.structs.replace(true_module.lens, intrinsics=intrinsics, distortion=(0.3, 0.0, 0.0, 0.0, 0.0))
    try:
        refusals = calibrate(stacks, lens, OPTIONS.serial).refusals
    except CalibrationError as error:
        refusals = (str(error),)
    assert refusals


@pytest.mark.parametrize("chosen", [(0, 1), (0, 0, 0), (1, 1, 2)])
def test_too_few_distances_are_refused(stacks: list[Stack], true_module: Module, chosen: tuple[int, ...]) -> None:
    with pytest.raises(CalibrationError, match="at least 3 are needed"):
        calibrate([stacks[k] for k in chosen], true_module.lens, OPTIONS.serial)


def test_a_bench_without_light_is_no_calibration(tmp_path: Path, bench: Callable[[Bench], VirtualExposures]) -> None:
    bench(Bench(target=Target()))
    write_light(tmp_path / "light.json", Light())
    dark = VirtualExposures(msgspec.structs.replace(OPTIONS, light=str(tmp_path / "light.json")))
    with pytest.raises(CameraError) as caught:
        take_stack(dark, 500)
    assert caught.value.cause == "emitter_stuck_off"


def test_a_good_module_passes_the_check_wherever_the_target_stands(
    made: Calibrated, bench: Callable[[Bench], VirtualExposures]
) -> None:
    checked = check(bench(Bench(target=Target(580, 6))), made.module, cycles=4)
    assert checked.refusals == ()
    assert checked.distance_mm == pytest.approx(580, rel=0.01)
    assert abs(checked.rows_px) < 0.05
    assert checked.dots == pytest.approx(1.0, abs=0.1)
    assert checked.flood == pytest.approx(1.0, abs=0.03)


def test_a_flood_that_has_faded_fails_the_check(made: Calibrated, bench: Callable[[Bench], VirtualExposures]) -> None:
    bright = msgspec.structs.replace(made.module, flood_response=made.module.flood_response / 0.7)
    checked = check(bench(Bench(target=Target(500))), bright, cycles=4)
    assert checked.flood == pytest.approx(0.7, abs=0.03)
    assert any("the flood has 7" in said for said in checked.refusals)


@pytest.mark.parametrize("rows_off", [0.5, 1.0, 2.0])
def test_a_knocked_module_fails_the_check(
    made: Calibrated, bench: Callable[[Bench], VirtualExposures], rows_off: float
) -> None:
    checked = check(bench(Bench(target=Target(500), rows_off_px=rows_off)), made.module, cycles=4)
    assert checked.rows_px == pytest.approx(rows_off, abs=0.15)
    assert any("rows are off" in said for said in checked.refusals)


def test_the_check_refuses_another_sensors_calibration(
    made: Calibrated, bench: Callable[[Bench], VirtualExposures]
) -> None:
    with pytest.raises(CameraError) as caught:
        check(bench(Bench()), msgspec.structs.replace(made.module, serial="SOMEBODY-ELSE"))
    assert caught.value.cause == "wrong_camera"


def test_a_module_file_comes_back_as_it_was_written(made: Calibrated, tmp_path: Path) -> None:
    path = tmp_path / "module.json"
    save_module(path, made.module)
    assert load_module(path) == made.module
    content = json.loads(path.read_bytes())
    assert content["digest"] == made.module.digest
    assert len(made.module.digest) == len(hashlib.sha256().hexdigest())


def _altered(raw: bytes, old: bytes, new: bytes) -> bytes:
    assert old in raw
    return raw.replace(old, new, 1)


ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda raw: raw[: len(raw) // 2],
    "empty": lambda raw: b"",
    "not json": lambda raw: b"\x89PNG" + raw,
    "a field changed": lambda raw: _altered(raw, b'"baseline_mm": ', b'"baseline_mm": 1'),
    "another serial": lambda raw: _altered(raw, b"VIRTUAL-SL-0001", b"VIRTUAL-SL-0002"),
    "an unknown field": lambda raw: _altered(raw, b'{\n  "serial"', b'{\n  "extra": 1,\n  "serial"'),
    "a missing field": lambda raw: _altered(raw, b'"dots_per_flood"', b'"dots_per_flod"'),
    "not a number": lambda raw: _altered(raw, b'"fx": 600', b'"fx": "600"'),
    "no reflectance": lambda raw: _altered(raw, b'"target_reflectance": 0.8', b'"target_reflectance": 0.0'),
    "a response below zero": lambda raw: _altered(raw, b'"flood_response": ', b'"flood_response": -'),
    "an older format": lambda raw: _altered(raw, b"structured-light-2", b"structured-light-1"),
    "no rotation": lambda raw: _altered(raw, b'"rotation": [\n    0', b'"rotation": [\n    5'),
    "digest cut off": lambda raw: _altered(raw, b'"digest": "', b'"digest": "0'),
    "nested without end": lambda raw: b"[" * 100_000,
    "too large": lambda raw: raw + b" " * (17 << 20),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_a_damaged_or_altered_file_is_no_calibration(
    made: Calibrated, tmp_path: Path, attack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "module.json"
    save_module(path, made.module)
    path.write_bytes(attack(path.read_bytes()))
    with pytest.raises(CalibrationError, match=r"module\.json") as caught:
        load_module(path)
    assert caught.value.cause == "calibration"


def test_a_missing_file_is_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_module(tmp_path / "none.json")


def test_a_lens_file_is_read_strictly(tmp_path: Path, true_module: Module) -> None:
    path = tmp_path / "lens.json"
    path.write_bytes(msgspec.json.encode(true_module.lens))
    assert load_lens(path) == true_module.lens
    path.write_bytes(msgspec.json.encode(true_module.lens).replace(b"-0.08", b"-80"))
    with pytest.raises(CalibrationError, match="k1"):
        load_lens(path)
    assert isinstance(true_module.lens, Lens)
