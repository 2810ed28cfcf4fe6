"""`tessera doctor`: what it says of camera, pins and emitter; the rest stands in tests/e2e."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from drivers import plugins
from drivers.camera import CameraLostError, FrameSet, Health, RecordingEndError
from drivers.secure_element.interface import Capability
from firmware.commands import camera_choice, doctor
from firmware.commands.doctor import camera_findings, examine, running
from firmware.commands.findings import Finding
from firmware.runtime.config import Config, Profile, load_config
from firmware.runtime.messages import StatusReply
from hil.emitter.demo import demo_calibration, demo_table
from hil.emitter.pty_board import PtyBoard
from tests.commands.camera_rig import Scripted, run, write_config

Make = Callable[[int], list[FrameSet]]


def status(camera: str, advice: str = "", tries: str = "") -> StatusReply:
    return StatusReply(
        terminal="t1", profile="rig", session="idle", scene=0, shown="", camera=camera, advice=advice, tries=tries,
        link="connected", people=2, outbox_waiting=0, uptime_s=9.0,
    )  # fmt: skip


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def site(folder: Path, pins: str = "", more: str = "") -> tuple[Config, Profile]:
    path = write_config(folder, pins=pins, options='stage = "x"')
    path.write_text(path.read_text() + more)
    return load_config(path)


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch, synthetic_frames: Make) -> Scripted:
    def ended() -> FrameSet:
        raise RecordingEndError("played: ended")

    camera = Scripted(synthetic_frames(12), ended, Health(row_drift_px=0.1, advice="Clean the window."))
    monkeypatch.setattr(camera_choice, "open_camera", lambda source, options: camera)
    return camera


def test_a_running_terminals_camera_is_told_with_what_to_do() -> None:
    found = by_name(list(running(status("row_drift: rows are off by 1.2 px", "Rows have drifted."))))
    assert found["terminal"].good
    assert found["camera"].good is False
    assert found["camera"].text == (
        "row_drift: rows are off by 1.2 px. Rows no longer meet those of the calibration. "
        "Was the module knocked? Calibrate it again."
    )
    assert found["advice"].text == "Rows have drifted."


def test_failed_tries_in_which_nobody_was_claimed_are_told_in_plain_words() -> None:
    found = by_name(list(running(status("SYN0001", tries="6 failed tries in a row; the next in 20 s"))))
    assert found["failed tries"].text == "in which nobody was claimed: 6 failed tries in a row; the next in 20 s"


def test_a_terminal_out_of_service_is_told_with_its_cause() -> None:
    out = msgspec.structs.replace(status("SYN0001"), session="out of service: the TPM answers no more")
    found = by_name(list(running(out)))
    assert found["terminal"].good is False
    assert "the TPM answers no more" in found["terminal"].text


@pytest.mark.parametrize(("more", "tied"), [((), False), ((Capability.PLATFORM_SEALING,), True)])
def test_keys_that_work_however_the_board_is_started_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[Capability, ...], tied: bool
) -> None:
    element = SimpleNamespace(capabilities=frozenset({Capability.HARDWARE_KEY, *more}), close=lambda: None)
    monkeypatch.setattr(plugins, "load", lambda group, name: lambda options: element)
    told = doctor._element(site(tmp_path)[0])
    assert ("nothing ties its keys" not in told) is tied


def test_a_running_terminal_without_a_fault_is_well() -> None:
    assert by_name(list(running(status("SYN0001"))))["camera"] == Finding("camera", True, "SYN0001")


def test_a_camera_is_named_with_its_pins_health_and_first_frame(tmp_path: Path, camera: Scripted) -> None:
    found = by_name(list(camera_findings(*site(tmp_path, 'serial = "SYN0001"'))))
    assert found["serial"] == Finding("serial", True, "SYN0001, the pinned one (a misconfiguration check)")
    assert found["calibration"].good is None
    assert found["first frame"].text.startswith("640x480")
    assert found["row drift"].text.startswith("+0.10 px")
    assert found["advice"].text == "Clean the window."
    assert camera.calls[-2:] == ["stop", "close"]


def test_another_camera_than_the_pinned_one_is_wrong(tmp_path: Path, camera: Scripted) -> None:
    found = by_name(list(camera_findings(*site(tmp_path, 'serial = "OTHER"'))))
    assert found["serial"].good is False
    assert camera.calls[-1] == "close"


def test_a_camera_that_fails_is_named_with_what_to_do(
    tmp_path: Path, camera: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(timeout_s: float) -> FrameSet:
        raise CameraLostError("camera SYN0001: connected over USB 2.1", "usb2")

    monkeypatch.setattr(camera, "read", lost)
    found = by_name(list(camera_findings(*site(tmp_path))))
    assert found["camera"] == Finding(
        "camera", False, "usb2: camera SYN0001: connected over USB 2.1. Use a USB 3 port and cable."
    )
    assert camera.calls[-1] == "close"


EMITTER = '[emitter]\nowner = "camera"\nport = "{port}"\nlimits = "{limits}"\nkey = "{key}"\n'


def test_the_emitter_board_and_its_signed_limits_are_told(tmp_path: Path, camera: Scripted) -> None:
    calibration = demo_calibration(tmp_path)
    with PtyBoard(tmp_path / "tty", calibration.public_key) as board:
        more = EMITTER.format(port=board.port, limits=calibration.limits, key=calibration.key)
        found = by_name(list(examine(*site(tmp_path, more=more))))
    assert found["emitter"].good
    assert "board SIM-0001" in found["emitter"].text
    assert "signed for it: 940 nm, dark 180 ms after the last heartbeat" in found["emitter"].text
    assert found["terminal"] == Finding("terminal", None, "not running; start it with `tessera run`")


@pytest.mark.parametrize(("wrong", "cause"), [("board", "board OTHER's"), ("absent", "cannot be opened")])
def test_an_emitter_that_does_not_belong_here_is_wrong(
    wrong: str, cause: str, tmp_path: Path, camera: Scripted
) -> None:
    calibration = demo_calibration(tmp_path, demo_table("OTHER" if wrong == "board" else "SIM-0001"))
    with PtyBoard(tmp_path / "tty", calibration.public_key) as board:
        port = board.port if wrong == "board" else tmp_path / "nonesuch"
        more = EMITTER.format(port=port, limits=calibration.limits, key=calibration.key)
        found = by_name(list(examine(*site(tmp_path, more=more))))
    assert found["emitter"].good is False
    assert cause in found["emitter"].text


def test_a_command_lights_the_emitter_while_it_captures_and_leaves_it_dark(
    tmp_path: Path, camera: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = demo_calibration(tmp_path)
    lit: list[bool] = []
    with PtyBoard(tmp_path / "tty", calibration.public_key) as board:
        read = camera.read

        def looking(timeout_s: float) -> FrameSet:
            lit.append(board.light.armed and bool(board.light.levels))
            return read(timeout_s)

        monkeypatch.setattr(camera, "read", looking)
        more = EMITTER.format(port=board.port, limits=calibration.limits, key=calibration.key)
        path = write_config(tmp_path, options='stage = "x"')
        path.write_text(path.read_text() + more)
        result = run("check", "--config", path)
        assert lit, result.output
        assert all(lit)
        assert not board.light.armed
        assert not board.stops
    assert camera.calls[-2:] == ["stop", "close"]


def test_an_outbox_that_was_put_back_from_a_copy_is_told() -> None:
    told = by_name(list(running(msgspec.structs.replace(status("r0"), put_back=True))))
    assert told["outbox"].good is None
    assert "put back from a copy" in told["outbox"].text
    assert "outbox" not in by_name(list(running(status("r0"))))


def test_a_terminal_without_time_is_told() -> None:
    told = by_name(list(running(msgspec.structs.replace(status("r0"), clock="The backend has not said; see to it"))))
    assert (told["time"].good, told["time"].text) == (False, "The backend has not said; see to it")
    assert by_name(list(running(status("r0"))))["time"].good
