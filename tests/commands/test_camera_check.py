"""`tessera camera list` and `check`: what a rig engineer sees at night."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from drivers import plugins
from drivers.camera import FAULTS, CameraError, CameraNotFoundError, Cause, Found, FrameSet, Health, RecordingEndError
from drivers.camera.monitor import Monitor
from drivers.camera.recording import RecordingWriter
from firmware.commands import camera_choice
from firmware.commands.camera_capture import SETTLING
from firmware.core.errors import TerminalError
from firmware.runtime.lock import run_lock
from hil.sensor.stage import Person, Stage, write_stage
from tests.commands.camera_rig import CONSENT, ROOT, Scripted, run, said, write_config

Make = Callable[[int], list[FrameSet]]


def ended() -> FrameSet:
    raise RecordingEndError("played.mcap: ended")


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scripted], Scripted]:
    """Let `--source scripted` open this camera."""

    def put(camera: Scripted) -> Scripted:
        monkeypatch.setattr(camera_choice, "open_camera", lambda source, options: camera)
        monkeypatch.setattr(time, "monotonic_ns", lambda: camera.now_ns)
        return camera

    return put


@pytest.fixture
def recording(tmp_path: Path, synthetic_frames: Make) -> Path:
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, CONSENT) as writer:
        for frame in synthetic_frames(12):
            writer.write(frame)
    return path


def flat(frames: list[FrameSet], noise_mm: float = 0.5) -> list[FrameSet]:
    noise = np.random.default_rng(7).normal(0, noise_mm, frames[0].depth_mm.shape)
    return [replace(frame, depth_mm=(600 + noise).astype(np.float32)) for frame in frames]


def test_list_names_the_plug_ins_and_says_that_nothing_is_plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("list")
    assert result.exit_code == 0, result.output
    for name in ("realsense", "recording", "virtual"):
        assert name in result.output
    assert "No camera is plugged in. Check cable, power and udev rules." in said(result)


def test_list_shows_what_is_found_how_to_open_it_and_which_is_pinned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [Found("realsense", serial, "Intel D435, USB 3.2", {"serial": serial}) for serial in ("0123", "0456")]
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda: found)
    config = write_config(tmp_path, source="realsense", pins='serial = "0456"')
    result = run("list", "--config", config)
    assert result.exit_code == 0, result.output
    assert re.search(r"0123.*USB 3\.2.*--option serial=0123.*0456 is", result.output)
    assert re.search(r"0456.*yes", result.output)


def test_list_shows_a_library_that_does_not_load_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Found]:
        raise CameraNotFoundError("librealsense does not load: libusb-1.0.so.0; apt install libusb-1.0-0")

    monkeypatch.setattr(plugins, "load", lambda group, name: broken)
    result = run("list")
    assert result.exit_code == 0
    assert "apt install libusb-1.0-0" in said(result)
    assert "virtual" in result.output


def test_check_tells_who_the_camera_is_how_it_delivers_and_how_to_pin_it(recording: Path) -> None:
    result = run("check", "--source", "recording", "--option", f"path={recording}")
    assert result.exit_code == 0, result.output
    told = said(result)
    for expected in (
        "SYN0001, firmware 1.0.0, plug-in recording",
        "SYN0001, not pinned",
        "12, 15.0 a second",
        "p50 66.7, p99 66.7 ms",
        "0 cycles, 0.0%",
        "these frames were not taken now",
        "100.0% of the middle, at",
        'source = "recording" serial = "SYN0001" calibration_digest = "synthetic"',
    ):
        assert expected in told, (expected, told)


def test_check_of_the_virtual_camera_in_real_time(tmp_path: Path) -> None:
    write_stage(tmp_path / "stage.json", Stage(subject=Person(94_000)))
    result = run(
        "check", "--source", "virtual", "--option", f"stage={tmp_path / 'stage.json'}", "--option", "fps=5",
        "--seconds", "1",
    )  # fmt: skip
    told = said(result)
    assert "VIRTUAL-0001, firmware simulated" in told
    assert re.search(r"p50 \d+\.\d, p99", told), told
    assert "ms from mid-exposure" in told


def test_check_of_librealsenses_own_file(librealsense: ModuleType, tmp_path: Path, synthetic_frames: Make) -> None:
    from hil.sensor.software_device import record

    record(tmp_path / "a.db3", synthetic_frames(10), fps=15)
    result = run("check", "--source", "realsense", "--option", f"file={tmp_path / 'a.db3'}")
    told = said(result)
    assert result.exit_code == 0, result.output
    assert "SYN0001" in told
    assert "infrared is lit by dots and by the room" in told
    assert re.search(r'calibration_digest = "[0-9a-f]{64}"', told)


@pytest.mark.parametrize("cause", get_args(Cause))
def test_every_fault_ends_in_its_name_its_remedy_and_exit_code_1(
    cause: Cause, plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make
) -> None:
    def fault() -> FrameSet:
        raise CameraError("camera SYN0001: \x1b[31mit happened", cause)

    camera = plug_in(Scripted(synthetic_frames(SETTLING + 2), fault))
    result = run("check", "--source", "scripted")
    told = said(result)
    assert result.exit_code == 1
    what, remedy = FAULTS[cause]
    assert f"{cause}: {what}" in told
    assert f"What to do: {remedy}" in told
    assert "\x1b[31mit" not in result.output
    assert "p50 66.7" in told  # what was measured until then
    assert camera.calls[-1] == "close"
    assert "stop" in camera.calls


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("freeze", "frozen"), ("backwards", "clock"), ("half", "partial"), ("stop", "silent"), ("unplug", "unplugged")],
)
def test_what_a_terminal_would_find_in_service_is_found(
    fault: Any, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = tmp_path / "stage.json"
    write_stage(stage, Stage(subject=Person(94_000)))
    passed = Monitor.passes

    def and_then(self: Any, frames: FrameSet, now_ns: int) -> bool:
        """The fault begins when the first frame has been seen."""
        write_stage(stage, Stage(subject=Person(94_000), fault=fault))
        return passed(self, frames, now_ns)

    monkeypatch.setattr(Monitor, "passes", and_then)
    result = run("check", "--source", "virtual", "--option", f"stage={stage}", "--seconds", "10")
    assert result.exit_code == 1
    assert f"{cause}: {FAULTS[cause][0]}" in said(result)  # type: ignore[index]


DYING = """
import os, signal, sys, threading
from drivers.camera import CameraInfo
from tests.commands.camera_rig import Scripted
from firmware.commands import camera_capture, camera_choice
from firmware.cli import main

class Dying(Scripted):
    def __init__(self): pass
    info = CameraInfo(serial="x", firmware="", calibration_digest="", flood=True)
    def start(self, levels=()): {does}

camera_capture.HANG_S = 0.2
camera_choice.open_camera = lambda source, options: Dying()
main()
"""


@pytest.mark.parametrize(
    ("does", "killed_by", "told"),
    [
        ("threading.Event().wait()", signal.SIGKILL, "hung: The camera's library does not return."),
        ("os.kill(os.getpid(), signal.SIGSEGV)", signal.SIGSEGV, "crashed: The camera process died."),
    ],
    ids=["hangs", "crashes"],
)
def test_a_library_that_hangs_or_crashes_is_named_and_the_command_ends(
    does: str, killed_by: signal.Signals, told: str
) -> None:
    command = [sys.executable, "-c", DYING.format(does=does), "camera", "check", "--source", "x"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert ran.returncode == -killed_by, ran.stderr
    assert told in ran.stdout


def test_a_camera_that_cannot_be_opened_is_a_named_fault() -> None:
    result = run("check", "--source", "nonesuch")
    assert result.exit_code == 1
    assert "absent: No such camera can be opened." in said(result)
    assert "'nonesuch'; installed:" in said(result)


@pytest.mark.parametrize(
    ("pins", "code", "told"),
    [
        ('serial = "SYN0001"\ncalibration_digest = "00112233445566778899"', 0, "the pinned one"),
        ('serial = "OTHER"', 1, "SYN0001, but OTHER is pinned"),
        ('calibration_digest = "ffffffffffffffff"', 1, "but ffffffffffffffff is pinned"),
    ],
)
def test_pins_are_checked(
    pins: str, code: int, told: str, tmp_path: Path, plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make
) -> None:
    info = msgspec.structs.replace(synthetic_frames(1)[0].camera, calibration_digest="00112233445566778899" + 44 * "a")
    plug_in(Scripted([replace(frame, camera=info) for frame in synthetic_frames(12)], ended))
    result = run("check", "--config", write_config(tmp_path, pins=pins, options='stage = "x"'))
    assert result.exit_code == code, result.output
    assert told in said(result)


def test_a_profile_that_needs_flood_light_is_told_of_a_camera_without(
    tmp_path: Path, plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make
) -> None:
    info = msgspec.structs.replace(synthetic_frames(1)[0].camera, flood=False)
    plug_in(Scripted([replace(frame, camera=info) for frame in synthetic_frames(12)], ended))
    result = run("check", "--config", write_config(tmp_path, options='stage = "x"'))
    assert result.exit_code == 1
    assert "none; profile rig refuses every session without" in said(result)


def test_lost_cycles_beyond_the_limit_are_exit_code_1_and_say_what_to_do(
    plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make
) -> None:
    frames = synthetic_frames(20)
    plug_in(Scripted(frames[:8] + frames[12:], ended))
    result = run("check", "--source", "scripted")
    assert result.exit_code == 1
    assert re.search(r"!!.*4 cycles, 26\.7% \(limit 5%\)\. Lower `fps`", result.output), result.output


def test_late_frames_are_exit_code_1(plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make) -> None:
    plug_in(Scripted(synthetic_frames(12), ended)).late_ns = 400_000_000
    result = run("check", "--source", "scripted")
    assert result.exit_code == 1
    assert re.search(r"!!.*p50 400, p99 400 ms from mid-exposure \(limit 250\)", result.output), result.output


@pytest.mark.parametrize(
    ("noise_mm", "code", "told"),
    [(0.5, 0, "RMS 0.5"), (8.0, 1, "(limit 3.00 mm)"), (None, 1, "RMS"), (0.0, 1, "no depth")],
)
def test_a_flat_target_is_measured_and_refused_beyond_its_limits(
    noise_mm: float | None, code: int, told: str, plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make
) -> None:
    frames = synthetic_frames(20)
    if noise_mm is not None:
        frames = flat(frames, noise_mm)
    if noise_mm == 0.0:
        frames = [replace(f, depth_mm=np.full_like(f.depth_mm, np.nan)) for f in frames]
    plug_in(Scripted(frames, ended))
    result = run("check", "--source", "scripted", "--plane")
    assert result.exit_code == code, result.output
    assert told in said(result)


def test_health_and_advice_are_told(plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make) -> None:
    health = Health(dropped=3, row_drift_px=0.42, dot_contrast=0.71, advice="Rows have drifted: calibrate soon.")
    plug_in(Scripted(synthetic_frames(12), ended, health))
    told = said(run("check", "--source", "scripted"))
    for expected in ("3 by its own count", "+0.42 px", "71% of that", "Rows have drifted: calibrate soon."):
        assert expected in told


def test_a_running_terminal_keeps_its_camera_and_says_so_in_one_line(tmp_path: Path) -> None:
    config = write_config(tmp_path, options='stage = "x"')
    with run_lock(tmp_path / "run"):
        result = run("check", "--config", config)
    assert result.exit_code == 1
    assert isinstance(result.exception, TerminalError)
    assert re.fullmatch(r"the camera is in use: .*already runs here, pid \d+; stop it first", str(result.exception))


def test_no_terminal_starts_while_a_command_has_its_camera(
    tmp_path: Path, plug_in: Callable[[Scripted], Scripted], synthetic_frames: Make
) -> None:
    from firmware.runtime.process import SupervisorError

    (tmp_path / "run").mkdir(mode=0o700)
    tried: list[str] = []

    def then() -> FrameSet:
        with pytest.raises(SupervisorError, match="tessera camera") as refused, run_lock(tmp_path / "run"):
            pass
        tried.append(str(refused.value))
        return ended()

    plug_in(Scripted(synthetic_frames(12), then))
    assert run("check", "--config", write_config(tmp_path, options='stage = "x"')).exit_code == 0
    assert tried


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say which camera"),
        (("--source", "virtual", "--config", "terminal.toml"), "say which camera"),
        (("--source", "virtual", "--option", "stage"), "expected KEY=VALUE"),
        (("--config", "terminal.toml", "--option", "a=b"), "stand in its file"),
    ],
)
def test_what_was_not_understood_is_one_plain_line(arguments: tuple[str, ...], told: str) -> None:
    result = run("check", *arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, TerminalError)
    assert told in str(result.exception)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("realtime=true", True),
        ("fps=15", 15),
        ("fps=7.5", 7.5),
        ("path=a.mcap", "a.mcap"),
        ('path="15"', "15"),
        ("serial=728612070259", "728612070259"),
        ("path=", ""),
        ("path=1\nx=2", "1\nx=2"),
        ("path=[1]", "[1]"),
    ],
)
def test_options_are_read_as_toml_reads_them(written: str, value: Any) -> None:
    chosen = camera_choice.choose(None, "recording", [written])
    assert list(chosen.options.values()) == [value]
