"""`tessera camera watch`: in a window, and as a strip that keeps the rules of a recording."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from rich.console import Console

from drivers.camera import FrameSet, Health, RecordingEndError
from drivers.camera.recording import RecordingWriter
from firmware.commands import camera_choice, half_blocks
from firmware.commands.camera_choice import Choice
from firmware.commands.camera_watch import View, shows_picture
from firmware.core.errors import TerminalError
from firmware.runtime.config import load_config
from hil.sensor.stage import Person, Stage, write_stage
from tests.commands.camera_rig import CONSENT, ROOT, Scripted, run, said, write_config

Make = Callable[[int], list[FrameSet]]
WAIT_S = 60.0


def ended() -> FrameSet:
    raise RecordingEndError("played: ended")


@pytest.fixture
def recording(tmp_path: Path, synthetic_frames: Make) -> Path:
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, CONSENT) as writer:
        for frame in synthetic_frames(6):
            writer.write(frame)
    return path


class Window:
    """A pseudo-terminal of 100 x 30 with `tessera camera` in it."""

    def __init__(self, *arguments: object) -> None:
        self.fd, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        command = [sys.executable, "-m", "firmware.cli", "camera", *map(str, arguments)]
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, cwd=ROOT, env=environment,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), start_new_session=True,
        )  # fmt: skip
        os.close(other)
        self.output = ""

    def until(self, text: str) -> None:
        """Read until `text` has come. Raises AssertionError after `WAIT_S` or at the end."""
        deadline = time.monotonic() + WAIT_S
        while text not in self.output:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, self.output[-2000:]
            self.output += self._read()

    def rest(self) -> int:
        """Read to the end; return the exit code."""
        while data := self._read():
            self.output += data
        os.close(self.fd)
        return self.process.wait(WAIT_S)

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def _read(self) -> str:
        with contextlib.suppress(OSError):  # the other end has been closed
            return os.read(self.fd, 65536).decode(errors="replace")
        return ""


def test_a_window_shows_pictures_until_ctrl_c_and_keeps_only_the_figures(tmp_path: Path) -> None:
    write_stage(tmp_path / "stage.json", Stage(subject=Person(94_000)))
    window = Window("watch", "--source", "virtual", "--option", f"stage={tmp_path / 'stage.json'}")
    window.until("a second")
    window.type(b"\x03")
    assert window.rest() == 0, window.output[-2000:]
    shown, left, kept = window.output.partition("\x1b[?1049l")
    assert "\x1b[?1049h" in shown
    assert "▀" in shown
    assert "\x1b[38;2;" in shown
    for text in ("300 mm", "1000 mm", "a second", "dropped", "exposure", "VIRTUAL-0001, simulated; Ctrl-C ends"):
        assert text in shown, text
    assert left
    assert "interval" in kept
    assert "▀" not in kept
    assert "Traceback" not in window.output


def test_a_fault_leaves_the_window_and_is_named(tmp_path: Path) -> None:
    write_stage(tmp_path / "stage.json", Stage(subject=Person(94_000)))
    window = Window("watch", "--source", "virtual", "--option", f"stage={tmp_path / 'stage.json'}")
    window.until("valid depth")
    write_stage(tmp_path / "stage.json", Stage(subject=Person(94_000), fault="freeze"))
    assert window.rest() == 1
    kept = window.output.rpartition("\x1b[?1049l")[2]
    assert "frozen" in kept
    assert "The camera repeats one picture." in kept
    assert "Plug it in again." in kept


def test_a_recording_plays_at_its_own_pace_and_ends(recording: Path) -> None:
    window = Window("watch", "--source", "recording", "--option", f"path={recording}")
    assert window.rest() == 0, window.output[-2000:]
    assert "▀" in window.output
    assert "SYN0001" in window.output


def test_without_a_window_it_says_what_else_there_is(recording: Path) -> None:
    result = run("watch", "--source", "recording", "--option", f"path={recording}")
    assert result.exit_code == 1
    assert isinstance(result.exception, TerminalError)
    assert "--png strip.png" in str(result.exception)


def test_advice_and_health_stand_below_the_picture(synthetic_frames: Make) -> None:
    health = Health(row_drift_px=-0.4, dot_contrast=0.6, advice="Clean the \x1b[31mwindow.")
    frames = synthetic_frames(3)
    view = View(Scripted(frames, ended), picture=True)
    for frame in frames:
        view.take(frame, health)
    console = Console(file=StringIO(), width=100, height=30, force_terminal=True, color_system="truecolor")
    console.print(view)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("15.0 a second", "row drift -0.40 px", "dot contrast 60%", "Clean the ?[31mwindow.", "gain 1.5"):
        assert text in printed, text
    assert printed.count("\n") <= 30


@pytest.mark.parametrize(("profile", "shown"), [("demo", True), ("rig", True), ("payment", False)])
def test_a_terminal_in_the_field_shows_figures_without_a_picture(
    profile: str, shown: bool, tmp_path: Path, synthetic_frames: Make
) -> None:
    loaded, terms = load_config(write_config(tmp_path, profile, source="structured-light", options='device = "d"'))
    choice = Choice(loaded.camera.source, dict(loaded.camera.options), loaded, terms)
    assert shows_picture(choice) is shown
    view = View(Scripted(synthetic_frames(1), ended), picture=shows_picture(choice))
    view.take(synthetic_frames(1)[0], Health())
    console = Console(file=StringIO(), width=100, height=30, force_terminal=True, color_system="truecolor")
    console.print(view)
    assert ("▀" in console.file.getvalue()) is shown  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(20, 8), (80, 24), (200, 60), (1000, 4)])
def test_pictures_fit_any_window(size: tuple[int, int], synthetic_frames: Make) -> None:
    width, height = size
    console = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system="truecolor")
    options = console.options.update(height=height)
    lines = console.render_lines(half_blocks.SideBySide(synthetic_frames(1)[0], lines=2), options, pad=False)
    rows = [row for row in lines if any(half_blocks.BLOCK in segment.text for segment in row)]
    assert 1 <= len(rows) <= max(2, height - 2)
    assert all(sum(segment.cell_length for segment in row) <= width for row in rows)


def test_near_is_red_far_is_blue_unknown_is_grey() -> None:
    depth = np.array([[300, 1000], [np.nan, 5000]], np.float32)
    levels = half_blocks.levels_of_depth(depth, 2, 2)
    assert levels.tolist() == [[half_blocks.LEVELS - 1, 0], [half_blocks.UNKNOWN, 0]]


def test_a_strip_of_a_recording_shows_its_frames_and_carries_its_consent(tmp_path: Path, recording: Path) -> None:
    png = tmp_path / "strip.png"
    result = run("watch", "--source", "recording", "--option", f"path={recording}", "--png", png, "--frames", 4)
    assert result.exit_code == 0, result.output
    assert f"4 frames of camera SYN0001; consent: {CONSENT}" in said(result)
    assert png.stat().st_mode & 0o777 == 0o600
    assert b"iTXtConsent\0\0\0\0\0" + CONSENT.encode() in png.read_bytes()
    strip = cv2.imread(str(png))
    assert strip is not None
    assert strip.shape[1] >= 4 * 240
    assert strip.std() > 20


def test_a_strip_of_librealsenses_own_file(librealsense: ModuleType, tmp_path: Path, synthetic_frames: Make) -> None:
    from hil.sensor.software_device import record

    record(tmp_path / "a.db3", synthetic_frames(10), fps=15)
    png = tmp_path / "strip.png"
    result = run("watch", "--source", "realsense", "--option", f"file={tmp_path / 'a.db3'}", "--png", png)
    assert result.exit_code == 0, result.output
    assert png.exists()


@pytest.mark.parametrize(
    ("profile", "drop", "reason"),
    [
        ("demo", None, "profile demo never records"),
        ("payment", None, "profile payment never records"),
        ("rig", "--i-have-consent", "--i-have-consent"),
        ("rig", "--consent", "--consent is empty"),
        ("rig", "name", "ends in .png"),
        ("rig", "exists", "never overwrites"),
        (None, None, "only a terminal in profile `rig`"),
    ],
)
def test_a_strip_of_whoever_stands_there_is_refused_with_the_reason(
    profile: str | None, drop: str | None, reason: str, tmp_path: Path
) -> None:
    png = tmp_path / ("strip.jpg" if drop == "name" else "strip.png")
    if drop == "exists":
        png.touch()
    which = (
        ("--config", write_config(tmp_path, profile, source="structured-light", options='device = "d"'))
        if profile
        else ("--source", "structured-light", "--option", "device=d")
    )
    consent = " " if drop == "--consent" else CONSENT
    arguments = [*which, "--png", png, "--consent", consent]
    if drop != "--i-have-consent":
        arguments.append("--i-have-consent")
    result = run("watch", *arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, TerminalError), result.output
    assert reason in str(result.exception)
    assert not png.exists() or png.stat().st_size == 0


def test_a_strip_of_a_live_camera_is_made_by_a_rig_with_consent(
    tmp_path: Path, synthetic_frames: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Scripted([replace(frame, ambient=None) for frame in synthetic_frames(12)], ended)
    monkeypatch.setattr(camera_choice, "open_camera", lambda source, options: camera)
    monkeypatch.setattr(time, "monotonic_ns", lambda: camera.now_ns)
    config = write_config(tmp_path, source="structured-light", options='device = "d"')
    png = tmp_path / "strip.png"
    result = run("watch", "--config", config, "--png", png, "--consent", "Ada, binder 3", "--i-have-consent")
    assert result.exit_code == 0, result.output
    assert b"Ada, binder 3" in png.read_bytes()
    assert camera.calls[-2:] == ["stop", "close"]
