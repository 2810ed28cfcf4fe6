"""The owner's object against the simulated board over a pseudo-terminal."""

import select
import sys
from collections.abc import Iterator

import msgspec
import pytest

from drivers.camera import Emitter
from drivers.emitter import EmitterError
from firmware.runtime.config import EmitterConfig
from firmware.runtime.lights import Lights, owned_lights
from hil.emitter.demo import DemoCalibration
from hil.emitter.faults import Faults
from hil.emitter.pty_board import PtyBoard

LEVELS = (Emitter(1.0, 1.0),)


@pytest.fixture
def settings(pty_board: PtyBoard, calibration: DemoCalibration) -> EmitterConfig:
    return EmitterConfig(
        owner="core", port=str(pty_board.port), limits=str(calibration.limits), key=str(calibration.key)
    )


@pytest.fixture
def lights(settings: EmitterConfig) -> Iterator[Lights]:
    lights = Lights(settings)
    yield lights
    lights.close()


def _hold(lights: Lights, times: int = 50) -> None:
    for _ in range(times):
        lights.beat()
        select.select([], [], [], 0.02)


def test_light_only_between_on_and_off(pty_board: PtyBoard, lights: Lights) -> None:
    lights.beat()
    assert not pty_board.light.armed
    for _ in range(3):
        lights.on(LEVELS)
        _hold(lights, 5)
        assert pty_board.light.armed
        lights.off()
        assert not pty_board.light.armed
        lights.off()
    assert pty_board.stops == ()


def test_a_fault_ends_the_session_and_the_next_one_works(pty_board: PtyBoard, lights: Lights) -> None:
    lights.on(LEVELS)
    pty_board.inject(Faults(over_current=True))
    with pytest.raises(EmitterError) as failed:
        _hold(lights)
    assert failed.value.cause == "emitter_current"
    lights.beat()
    lights.off()
    pty_board.inject(Faults())
    lights.on(LEVELS)
    _hold(lights, 5)
    assert pty_board.light.armed


def test_replugged_between_sessions_it_costs_none(pty_board: PtyBoard, lights: Lights) -> None:
    lights.on(LEVELS)
    lights.off()
    pty_board.unplug()
    pty_board.plug()
    lights.on(LEVELS)
    assert pty_board.light.armed


def test_a_board_that_is_absent_now_works_once_it_is_there(pty_board: PtyBoard, lights: Lights) -> None:
    pty_board.unplug()
    with pytest.raises(EmitterError) as failed:
        lights.on(LEVELS)
    assert failed.value.cause == "emitter_line"
    pty_board.plug()
    lights.on(LEVELS)
    assert pty_board.light.armed


def test_a_missing_table_is_named_and_needs_no_restart_once_installed(
    pty_board: PtyBoard, settings: EmitterConfig, calibration: DemoCalibration
) -> None:
    table = calibration.limits.read_bytes()
    calibration.limits.unlink()
    lights = Lights(settings)
    with pytest.raises(EmitterError) as failed:
        lights.on(LEVELS)
    assert failed.value.cause == "emitter_limits"
    calibration.limits.write_bytes(table)
    lights.on(LEVELS)
    lights.close()


def test_off_on_a_board_that_does_not_obey_is_dark_all_the_same(pty_board: PtyBoard, lights: Lights) -> None:
    lights.on(LEVELS)
    pty_board.inject(Faults(deaf=True))
    lights.off()
    for _ in range(250):
        if not pty_board.light.armed:
            return
        select.select([], [], [], 0.02)
    pytest.fail("still lit")


def test_only_the_owner_owns(settings: EmitterConfig) -> None:
    assert owned_lights(settings, "core") is not None
    assert owned_lights(settings, "camera") is None
    assert owned_lights(msgspec.structs.replace(settings, owner="camera"), "camera") is not None
    assert owned_lights(None, "core") is None


def test_without_the_extra_it_says_what_to_install(settings: EmitterConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "drivers.emitter.board", None)
    with pytest.raises(EmitterError, match="extra `emitter`"):
        Lights(settings).on(LEVELS)
