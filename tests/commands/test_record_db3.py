"""`tessera record take.db3`: librealsense's own recorder, behind the same guards."""

import os
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from drivers.camera import Camera, CameraError, CameraNotFoundError, FrameSet, open_camera
from drivers.camera.realsense import open_recording_camera
from drivers.camera.realsense.consent import state_consent, stated_consent
from firmware.commands import record as module
from firmware.core.errors import TerminalError

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
source = "{source}"
[secure_element]
backend = "software"
[link]
host = "127.0.0.1"
port = 1883
[backend]
root = "root.json"
keys = "key-set.cose"
"""


def run(folder: Path, out: Path, profile: str = "rig", source: str = "realsense") -> BaseException | None:
    config = folder / "terminal.toml"
    config.write_text(TOML.format(profile=profile, source=source))
    app = typer.Typer()
    app.command()(module.record)
    words = ["--out", str(out), "--seconds", "0.5", "--consent", CONSENT, "--i-have-consent"]
    return CliRunner().invoke(app, ["--config", str(config), *words]).exception


@pytest.fixture
def plugged(
    librealsense: ModuleType, synthetic_frames: Make, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], list[FrameSet]]:
    """Plug in a software device that delivers so many frames, one per read."""
    from drivers.camera.realsense.driver import RealSenseCamera
    from drivers.camera.realsense.sources import Attached
    from hil.sensor.software_device import SoftwareDevice

    def plug(count: int) -> list[FrameSet]:
        frames = synthetic_frames(count)
        model = synthetic_frames(1)[0]
        device = SoftwareDevice(model.camera, model.intrinsics, fps=15)

        def clock_ns() -> int:  # a period later with every frame, however fast they are pushed
            return time.monotonic_ns() + (count - len(frames)) * 66_666_667

        class Fed(RealSenseCamera):
            def read(self, timeout_s: float) -> FrameSet:
                if not frames:
                    return super().read(0.2)
                device.push(frames.pop(0))
                return super().read(timeout_s)

        def opened(_: Any, out: Path) -> Camera:
            return Fed(Attached("rig", device.device), clock_ns, record_to=out)

        monkeypatch.setattr(module, "open_recording_camera", opened)
        return frames.copy()

    return plug


def played(path: Path) -> list[FrameSet]:
    camera = open_camera("realsense", {"file": str(path)})
    camera.start()
    frames = list(camera.frames())
    camera.close()
    return frames


def test_a_take_plays_back_states_its_consent_and_is_its_owners_alone(
    tmp_path: Path, plugged: Callable[[int], list[FrameSet]]
) -> None:
    given = plugged(20)
    mask = os.umask(0o022)
    os.umask(mask)
    assert run(tmp_path, tmp_path / "take.db3") is None
    came = played(tmp_path / "take.db3")
    assert len(came) >= 8  # half a second at 15 a second
    for frame, before in zip(came, given, strict=False):
        assert frame.ir.tobytes() == before.ir.tobytes()
    assert stated_consent(tmp_path / "take.db3") == CONSENT
    assert stat.S_IMODE((tmp_path / "take.db3").stat().st_mode) == 0o600
    assert os.umask(mask) == mask  # as it was


def test_a_camera_lost_on_the_way_leaves_what_it_gave_with_the_consent(
    tmp_path: Path, plugged: Callable[[int], list[FrameSet]]
) -> None:
    plugged(3)
    assert isinstance(run(tmp_path, tmp_path / "take.db3"), CameraError)
    assert len(played(tmp_path / "take.db3")) == 3
    assert stated_consent(tmp_path / "take.db3") == CONSENT


def test_without_a_first_frame_there_is_no_file(tmp_path: Path, plugged: Callable[[int], list[FrameSet]]) -> None:
    plugged(0)
    assert isinstance(run(tmp_path, tmp_path / "take.db3"), CameraError)
    assert not (tmp_path / "take.db3").exists()


@pytest.mark.parametrize(("profile", "source"), [("demo", "realsense"), ("rig", "recording")])
def test_other_profiles_and_other_cameras_make_no_db3(tmp_path: Path, profile: str, source: str) -> None:
    assert isinstance(run(tmp_path, tmp_path / "take.db3", profile, source), TerminalError)
    assert not (tmp_path / "take.db3").exists()


def test_no_option_of_a_configuration_records() -> None:
    for name in ("record_to", "record", "out"):
        with pytest.raises(CameraNotFoundError, match="unknown field"):
            open_camera("realsense", {name: "take.db3"})


def test_a_recording_is_not_recorded_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there.db3").write_bytes(b"")
    with pytest.raises(CameraNotFoundError, match="a recording already"):
        open_recording_camera({"file": "a.db3"}, tmp_path / "new.db3")
    with pytest.raises(CameraNotFoundError, match="exists"):
        open_recording_camera({}, tmp_path / "there.db3")


def test_what_is_no_recording_states_no_consent(tmp_path: Path) -> None:
    (tmp_path / "junk.db3").write_bytes(b"junk" * 1000)
    for name in ("junk.db3", "none.db3"):
        with pytest.raises(CameraError, match=name):
            stated_consent(tmp_path / name)
        with pytest.raises(CameraError, match=name):
            state_consent(tmp_path / name, CONSENT)
    (tmp_path / "empty.db3").write_bytes(b"")
    assert stated_consent(tmp_path / "empty.db3") is None


def test_a_view_in_a_hostile_file_is_no_consent_and_a_long_one_is_cut(tmp_path: Path) -> None:
    """Attack: what reads the consent would run the file's own query, for as long as that likes."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) AS consent FROM n"
    with closing(sqlite3.connect(tmp_path / "view.db3")) as database:
        database.execute(f"CREATE VIEW tessera_consent AS {endless}")
    assert stated_consent(tmp_path / "view.db3") is None
    with closing(sqlite3.connect(tmp_path / "long.db3")):
        pass
    state_consent(tmp_path / "long.db3", "x" * 1_000_000)
    assert stated_consent(tmp_path / "long.db3") == "x" * 1024
