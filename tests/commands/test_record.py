import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from drivers.camera import (
    FULL_LEVELS,
    Camera,
    CameraError,
    CameraInfo,
    CameraLostError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Intrinsics,
)
from drivers.camera.recording import (
    Clock,
    Code,
    Command,
    Note,
    RecordingReader,
    RecordingWriter,
    read_recording,
    read_session,
)
from firmware.commands import record as module
from firmware.commands.record import record, take
from firmware.core.errors import TerminalError
from firmware.runtime.config import PROFILES, load_profile
from firmware.runtime.lock import run_lock
from firmware.runtime.stop import StopFlag, stopped_by

Make = Callable[[int], list[FrameSet]]
CONSENT = "simulated: nobody is in it"
TOML = """
profile = "{profile}"
terminal = "t1"
merchant = "m1"
state_dir = "state"
run_dir = "run"
models_dir = "models"
[camera]
source = "recording"
options = {{ path = "{path}", realtime = {realtime} }}
[secure_element]
backend = "software"
[link]
host = "127.0.0.1"
port = 1883
[backend]
root = "root.json"
keys = "key-set.cose"
"""


@pytest.fixture
def site(tmp_path: Path, synthetic_frames: Make) -> Callable[..., Path]:
    """Return a maker of configuration files whose camera plays four frames."""
    played = tmp_path / "played.mcap"
    with RecordingWriter(played, CONSENT) as writer:
        for frame in synthetic_frames(4):
            writer.write(frame)

    def make(profile: str = "rig", realtime: bool = True) -> Path:
        path = tmp_path / "terminal.toml"
        path.write_text(TOML.format(profile=profile, path=played, realtime=str(realtime).lower()))
        return path

    return make


def run(config: Path, *more: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command()(record)
    result = CliRunner().invoke(app, ["--config", str(config), *more])
    return result.exit_code, result.output, result.exception


def options(out: Path, seconds: str = "5") -> list[str]:
    return ["--out", str(out), "--seconds", seconds, "--consent", CONSENT, "--i-have-consent"]


def test_a_take_holds_the_frames_the_clock_the_commands_and_the_consent(
    tmp_path: Path, site: Callable[..., Path]
) -> None:
    out = tmp_path / "take.mcap"
    code, output, _ = run(site(), *options(out))
    assert code == 0, output
    assert "4 frames, 0 cycles dropped" in " ".join(output.split())
    assert sum(isinstance(item, FrameSet) for item in read_recording(out)) == 4
    clock, start, light, stop = read_session(out)
    assert isinstance(light, Code)
    assert isinstance(clock, Clock)
    assert isinstance(start, Command)
    assert isinstance(stop, Command)
    assert (start.command, start.value, stop.command) == ("start", 5.0, "stop")
    assert start.at_ns <= clock.at_ns <= stop.at_ns
    reader = RecordingReader(out)
    reader.next_item()
    reader.close()
    assert reader.consent == CONSENT
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_take_ends_after_its_seconds_by_the_cameras_clock(tmp_path: Path, site: Callable[..., Path]) -> None:
    out = tmp_path / "take.mcap"
    assert run(site(), *options(out, "0.1"))[0] == 0
    assert sum(isinstance(item, FrameSet) for item in read_recording(out)) == 2


@pytest.mark.parametrize(
    ("profile", "drop", "reason"),
    [
        ("demo", None, "profile demo never records"),
        ("rig", "--i-have-consent", "--i-have-consent"),
        ("rig", "--consent", "--consent is empty"),
        ("rig", "name", "ends in .mcap"),
        ("rig", "exists", "never overwrites"),
    ],
)
def test_recording_is_refused_with_the_reason(
    tmp_path: Path, site: Callable[..., Path], profile: str, drop: str | None, reason: str
) -> None:
    out = tmp_path / ("take.mp4" if drop == "name" else "take.mcap")
    if drop == "exists":
        out.touch()
    arguments = ["--out", str(out), "--seconds", "1", "--consent", " " if drop == "--consent" else CONSENT]
    if drop != "--i-have-consent":
        arguments.append("--i-have-consent")
    code, _, error = run(site(profile), *arguments)
    assert code == 1
    assert isinstance(error, TerminalError)
    assert reason in str(error)
    assert not out.exists() or out.stat().st_size == 0


def test_no_profile_of_the_field_records() -> None:
    for name in PROFILES:
        if name != "rig":
            with pytest.raises(TerminalError, match="never records"):
                module.refuse(load_profile(name), Path("a.mcap"), CONSENT, i_have_consent=True)


@pytest.mark.parametrize("missing", ["--consent", "--out", "--seconds", "--config"])
def test_without_an_option_nothing_happens(tmp_path: Path, site: Callable[..., Path], missing: str) -> None:
    out = tmp_path / "take.mcap"
    arguments = ["--config", str(site()), *options(out)]
    at = arguments.index(missing)
    app = typer.Typer()
    app.command()(record)
    result = CliRunner().invoke(app, arguments[:at] + arguments[at + 2 :])
    assert result.exit_code == 2
    assert not out.exists()


@pytest.mark.parametrize("seconds", ["0", "-1", "601", "nan", "many"])
def test_an_endless_take_is_not_begun(tmp_path: Path, site: Callable[..., Path], seconds: str) -> None:
    code, _, _ = run(site(), *options(tmp_path / "take.mcap", seconds))
    assert code == 2 or sum(isinstance(i, FrameSet) for i in read_recording(tmp_path / "take.mcap")) == 1


def test_a_running_terminal_keeps_its_camera(tmp_path: Path, site: Callable[..., Path]) -> None:
    config = site()
    with run_lock(tmp_path / "run"):
        code, _, error = run(config, *options(tmp_path / "take.mcap"))
    assert code == 1
    assert f"already runs here, pid {os.getpid()}; stop it first" in str(error)
    assert not (tmp_path / "take.mcap").exists()


def test_frames_of_another_clock_are_not_recorded(tmp_path: Path, site: Callable[..., Path]) -> None:
    code, _, error = run(site(realtime=False), *options(tmp_path / "take.mcap"))
    assert code == 1
    assert isinstance(error, CameraError)
    assert "another clock" in str(error)
    assert not (tmp_path / "take.mcap").exists()


class Scripted(Camera):
    """Gives the frames it was given, with present times; then does what it was told."""

    def __init__(self, frames: list[FrameSet], then: Callable[[], FrameSet]) -> None:
        self._frames, self._then = iter(frames), then
        self._first = frames[0]
        self.levels: list[float] = []
        self.stopped = False

    @property
    def info(self) -> CameraInfo:
        return self._first.camera

    @property
    def intrinsics(self) -> Intrinsics:
        return self._first.intrinsics

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        self.levels = [one.flood for one in levels]
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    close = stop

    def read(self, timeout_s: float) -> FrameSet:
        found = next(self._frames, None)
        return found if found is not None else self._then()


@pytest.fixture
def present(synthetic_frames: Make, monkeypatch: pytest.MonkeyPatch) -> list[FrameSet]:
    """Three frames whose times are this machine's; the second cycle was dropped."""
    frames = synthetic_frames(4)
    monkeypatch.setattr("firmware.commands.record.time.monotonic_ns", lambda: frames[0].timestamp_ns)
    return [frames[0], frames[2], frames[3]]


def test_a_lost_camera_leaves_a_whole_file_that_says_so(tmp_path: Path, present: list[FrameSet]) -> None:
    def lost() -> FrameSet:
        raise FrameTimeoutError("camera SYN0001: no frame within 5 s")

    camera, out = Scripted(present, lost), tmp_path / "take.mcap"
    with pytest.raises(CameraLostError):
        take(camera, out, 60, CONSENT, StopFlag(), Console(quiet=True))
    assert camera.stopped
    assert sum(isinstance(item, FrameSet) for item in read_recording(out)) == 3
    last = read_session(out)[-1]
    assert isinstance(last, Note)
    assert "no frame within 5 s" in last.text


def test_ctrl_c_finishes_the_file_between_frames(tmp_path: Path, present: list[FrameSet]) -> None:
    camera, out = Scripted(present, lambda: replace(present[-1])), tmp_path / "take.mcap"
    before = signal.getsignal(signal.SIGINT)
    with stopped_by(*module.SIGNALS) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(5)
        assert take(camera, out, 60, CONSENT, stop, Console(quiet=True)) == (1, 0)
    assert signal.getsignal(signal.SIGINT) is before
    assert [type(item).__name__ for item in read_recording(out)] == ["Clock", "Command", "Code", "FrameSet", "Command"]


def test_a_take_tells_the_draw_that_lit_it_and_each_has_its_own(tmp_path: Path, present: list[FrameSet]) -> None:
    told = []
    for name in ("one.mcap", "other.mcap"):
        camera = Scripted(present, lambda: replace(present[-1], timestamp_ns=present[0].timestamp_ns + 10**12))
        take(camera, tmp_path / name, 3, CONSENT, StopFlag(), Console(quiet=True))
        (code,) = (event for event in read_session(tmp_path / name) if isinstance(event, Code))
        assert list(code.levels) == camera.levels * 3  # 180 cycles at most in 3 s, from a draw of 64
        told.append(code.levels)
    assert told[0] != told[1]


def test_dropped_cycles_are_counted(tmp_path: Path, present: list[FrameSet]) -> None:
    camera = Scripted(present, lambda: replace(present[-1], timestamp_ns=present[0].timestamp_ns + 10**12))
    assert take(camera, tmp_path / "a.mcap", 60, CONSENT, StopFlag(), Console(quiet=True)) == (3, 1)


def test_a_full_disk_is_the_error_that_is_told(
    tmp_path: Path, present: list[FrameSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(os, "open", lambda *_: os.dup(full.fileno()))
        with pytest.raises(CameraError, match="No space left"):
            take(
                Scripted(present, lambda: present[-1]),
                tmp_path / "a.mcap",
                60,
                CONSENT,
                StopFlag(),
                Console(quiet=True),
            )
