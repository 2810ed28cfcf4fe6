"""What the tests of `tessera camera` share: a camera that does as it is told, a terminal's file, the command line."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from drivers.camera import FULL_LEVELS, Camera, CameraInfo, Emitter, FrameSet, Health, Intrinsics
from firmware.commands.camera import camera as commands

ROOT = Path(__file__).resolve().parents[2]
CONSENT = "simulated: nobody is in it"
TOML = """
profile = "{profile}"
terminal = "t1"
merchant = "m1"
state_dir = "state"
run_dir = "run"
models_dir = "models"
[camera]
source = "{source}"
{pins}
options = {{ {options} }}
[secure_element]
backend = "{backend}"
[link]
host = "127.0.0.1"
port = 1883
{tls}
[backend]
root = "root.json"
keys = "key-set.cose"
"""
TLS = '[link.tls]\nca = "ca"\ncrl = "crl"\ncertificate = "c"\nkey = "k"'


def write_config(
    folder: Path, profile: str = "rig", source: str = "virtual", pins: str = "", options: str = ""
) -> Path:
    """Write a terminal's configuration."""
    field = profile == "payment"
    path = folder / "terminal.toml"
    backend, tls = ("pkcs11", TLS) if field else ("software", "")
    text = TOML.format(profile=profile, source=source, pins=pins, options=options, backend=backend, tls=tls)
    path.write_text(text)
    return path


def run(*arguments: object) -> Result:
    """Run `tessera camera` with these arguments."""
    app = typer.Typer()
    app.add_typer(commands, name="camera")
    return CliRunner().invoke(app, ["camera", *map(str, arguments)], env={"COLUMNS": "160"})


def said(result: Result) -> str:
    """All it said, on one line."""
    return " ".join(result.output.split())


class Scripted(Camera):
    """Gives the frames it was given, by a clock that it moves itself; then does what it was told.

    Attributes:
        now_ns: that clock.
        late_ns: how old each frame is when it is given.
    """

    now_ns = 10**12
    late_ns = 5_000_000

    def __init__(self, frames: list[FrameSet], then: Callable[[], FrameSet], health: Health | None = None) -> None:
        self._given, self._then, self._health = frames, then, health or Health()
        self._left = iter(frames)
        self.calls: list[str] = []

    @property
    def info(self) -> CameraInfo:
        return self._given[0].camera

    @property
    def intrinsics(self) -> Intrinsics:
        return self._given[0].intrinsics

    @property
    def health(self) -> Health:
        return self._health

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        self.calls.append("start")
        self._left = iter(self._given)
        self._began_ns = self.now_ns

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")

    def read(self, timeout_s: float) -> FrameSet:
        found = next(self._left, None)
        if found is None:
            return self._then()
        since_ns = found.timestamp_ns - self._given[0].timestamp_ns
        taken_ns = self._began_ns + since_ns
        self.now_ns = max(self.now_ns, taken_ns + self.late_ns)
        return replace(found, timestamp_ns=taken_ns)
