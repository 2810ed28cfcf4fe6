"""`tessera camera calibrate`, and `check --plane` of what it made: on the virtual module, simulated."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from drivers.camera.structured_light import Lens, load_module
from firmware.commands import camera_calibrate
from firmware.core.errors import TerminalError
from hil.sensor.bench import Bench, Target, write_bench
from hil.sensor.virtual_exposures import VirtualExposures, VirtualExposuresOptions
from tests.commands.camera_rig import run, said

Move = Callable[[float], Bench]


def square(distance_mm: float) -> Bench:
    return Bench(target=Target(distance_mm))


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the sensor was closed."""
    calls: list[str] = []
    monkeypatch.setattr(VirtualExposures, "close", lambda self: calls.append("close"))
    return calls


class Desk:
    """A folder with the virtual module's bench and lens file, and somebody who moves the target when asked to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bench, self.asked = folder, folder / "bench.json", list[str]()
        lens, (k1, k2, p1, p2) = VirtualExposuresOptions().sensor, VirtualExposuresOptions().sensor.lens.distortion
        (folder / "lens.json").write_bytes(msgspec.json.encode(Lens(lens.intrinsics, (k1, k2, p1, p2, 0.0))))
        write_bench(self.bench, Bench())

    @property
    def camera(self) -> tuple[object, ...]:
        return ("--source", "virtual-exposures", "--option", f"bench={self.bench}", "--option", "fps=10",
                "--option", "roll_deg=1")  # fmt: skip

    def calibrate(self, move: Move, *more: object, monkeypatch: pytest.MonkeyPatch) -> Any:
        def listen(console: Console, prompt: str, **_: object) -> str:
            self.asked.append(prompt)
            write_bench(self.bench, move(float(re.findall(r"at ([\d.]+) mm", prompt)[0])))
            return ""

        monkeypatch.setattr(Console, "input", listen)
        monkeypatch.setattr(camera_calibrate, "CYCLES", 3)
        distances = [part for at_mm in (300, 500, 800) for part in ("--distance", at_mm)]
        lens = ("--lens", self.folder / "lens.json")
        return run("calibrate", *self.camera, *lens, "--out", self.folder / "module.json", *distances, *more)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Any]:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        result = desk.calibrate(square, monkeypatch=monkeypatch)
    return desk, result


def test_the_wizard_asks_for_each_distance_and_writes_what_holds(calibrated: tuple[Desk, Any]) -> None:
    desk, result = calibrated
    assert result.exit_code == 0, result.output
    assert [re.findall(r"at (\d+) mm", text)[0] for text in desk.asked] == ["300", "500", "800"]
    module = load_module(desk.folder / "module.json")
    told = said(result)
    for plane in module.planes:
        assert f"{plane.measured_mm:.1f}" in told
    assert "baseline 50." in told
    assert module.target_reflectance == 0.8
    assert f"returns {module.flood_response:.1%} of full scale" in told
    assert f'serial = "VIRTUAL-SL-0001" calibration_digest = "{module.digest}" [camera.options]' in told
    assert f'calibration = "{desk.folder / "module.json"}"' in told
    assert "roll_deg = 1" in told


def test_an_existing_calibration_stays_unless_told_otherwise(
    calibrated: tuple[Desk, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, _ = calibrated
    before = (desk.folder / "module.json").read_bytes()
    desk.asked.clear()
    result = desk.calibrate(square, monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "exists; to make it anew give --replace" in str(result.exception)
    assert not desk.asked
    assert (desk.folder / "module.json").read_bytes() == before


def test_check_finds_the_module_as_it_was_calibrated(calibrated: tuple[Desk, Any]) -> None:
    desk, _ = calibrated
    write_bench(desk.bench, square(450))
    option = f"calibration={desk.folder / 'module.json'}"
    result = run("check", *desk.camera, "--option", option, "--plane", "--seconds", 1)
    told = said(result)
    assert re.search(r"ok │ plane +│ RMS 0\.\d+ mm at 4[45]\d mm", result.output), result.output
    assert re.search(
        r"ok │ module +│ rows [+-]0\.0\d px from the reference, dots at \d+% of their light", result.output
    )
    assert re.search(r"module flood +│ (9[89]|10[012])% of its light", result.output), result.output
    known = load_module(desk.folder / "module.json")
    assert re.search(
        rf"ok │ flood_response +│ 0\.1\d+ on a target that returns 80%; the camera has {known.flood_response:.4g}", told
    )
    assert re.search(rf"ok │ dot_sigma_px +│ 1\.\d+ there; the camera has {known.dot_sigma_px:.4g}", told)
    assert f'calibration_digest = "{load_module(desk.folder / "module.json").digest}"' in told


@pytest.mark.parametrize("rows_px", [0.5, 1.5])
def test_check_refuses_a_module_that_was_knocked(rows_px: float, calibrated: tuple[Desk, Any]) -> None:
    desk, _ = calibrated
    write_bench(desk.bench, Bench(target=Target(450), rows_off_px=rows_px))
    option = f"calibration={desk.folder / 'module.json'}"
    result = run("check", *desk.camera, "--option", option, "--plane", "--seconds", 1)
    assert result.exit_code == 1, result.output
    told = said(result)
    assert "row_drift: Rows no longer meet" in told or "at most 0.3: calibrate again" in told


def test_beyond_its_limits_nothing_is_written(desk: Desk, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = desk.calibrate(lambda mm: Bench(target=Target(mm, tilt_deg=4 * (mm == 800))), monkeypatch=monkeypatch)
    assert result.exit_code == 1
    told = said(result)
    assert "refused: at 800 mm the target is tilted" in told
    assert "Nothing was written." in told
    assert not (desk.folder / "module.json").exists()
    assert closed


def test_a_fault_at_one_distance_is_mended_and_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def move(distance_mm: float) -> Bench:
        first = sum(f"at {distance_mm:g} mm" in text for text in desk.asked) == 1
        return Bench(target=Target(distance_mm), half=1.0 if first and distance_mm == 500 else 0.0)

    result = desk.calibrate(move, monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    assert "partial: Exposures arrive incomplete." in said(result)
    assert len(desk.asked) == 4


def test_in_a_script_a_fault_ends_it(desk: Desk, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_bench(desk.bench, Bench(half=1.0))
    result = desk.calibrate(square, "--yes", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "partial: Exposures arrive incomplete." in said(result)
    assert not desk.asked
    assert closed


def test_where_nobody_answers_it_says_so(desk: Desk, closed: list[str]) -> None:
    out = ("--lens", desk.folder / "lens.json", "--out", desk.folder / "module.json")
    result = run("calibrate", *desk.camera, *out)
    assert result.exit_code == 1
    assert isinstance(result.exception, TerminalError)
    assert "--yes" in str(result.exception)
    assert closed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--source", "virtual"), "`virtual` has no calibration of ours; these have: structured-light, virtual-exp"),
        (("--out", "/nonesuch/module.json"), "/nonesuch: no such folder"),
        (("--out", None), "say where the calibration goes"),
        (("--lens", "nonesuch.json"), "nonesuch.json: the calibration cannot be read"),
    ],
)
def test_what_cannot_be_begun_says_why(change: tuple[str, str | None], told: str, desk: Desk) -> None:
    given = {
        "--source": "virtual-exposures",
        "--lens": str(desk.folder / "lens.json"),
        "--out": str(desk.folder / "module.json"),
    } | {change[0]: change[1]}
    result = run("calibrate", *(part for pair in given.items() if pair[1] is not None for part in pair))
    assert result.exit_code == 1
    assert told in said(result) + " " + str(result.exception)
