"""A whole terminal of real processes with the simulated board on its serial port, owned by core or by the camera.

Nobody stands before it where a decision is not what is tested: the virtual camera renders a face within its process's
main loop, which may take longer than the board waits for a heartbeat, and then the light is rightly out.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from drivers.camera import FAULTS, Cause
from drivers.emitter.messages import Trip
from firmware.core.errors import TerminalError
from firmware.runtime.ipc import IpcError
from hil.emitter.demo import demo_calibration, demo_table
from hil.emitter.faults import Faults
from hil.emitter.light import Light
from hil.emitter.pty_board import PtyBoard
from hil.rig.camera_faults import CUSTOMER, PAYER, look
from hil.rig.customer import enrol, pay
from hil.rig.site import Site
from hil.sensor.stage import Stage

Owner = Literal["core", "camera"]


@pytest.fixture(scope="module", params=["core", "camera"])
def terminal(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> Iterator[tuple[Site, PtyBoard, Owner]]:
    folder = tmp_path_factory.mktemp("emitter")
    calibration = demo_calibration(folder)
    with (
        PtyBoard(folder / "tty", calibration.public_key) as board,
        Site.make(folder / "site") as site,
    ):
        enrol(site, CUSTOMER, PAYER)
        site.light(request.param, board.port, calibration)
        yield site, board, request.param


@pytest.fixture
def site(terminal: tuple[Site, PtyBoard, Owner]) -> Site:
    """With a camera that is open, whatever the test before did to it."""
    site = terminal[0]
    site.wait_for("the camera", lambda: site.up()["camera"])
    return site


@pytest.fixture
def board(terminal: tuple[Site, PtyBoard, Owner]) -> Iterator[PtyBoard]:
    """Mended before and after; the duty of an earlier test does not count."""
    board = terminal[1]
    board.inject(Faults())
    yield board
    board.inject(Faults())


@pytest.fixture
def owner(terminal: tuple[Site, PtyBoard, Owner]) -> Owner:
    return terminal[2]


def _dark(board: PtyBoard, timeout_s: float = 5.0) -> bool:
    until = time.monotonic() + timeout_s
    while board.light.armed and time.monotonic() < until:
        select.select([], [], [], 0.01)
    return not board.light.armed


def _looks(site: Site) -> bool:
    """Whether a few frames are judged in a session that nothing ends but a Cancel."""
    site.show(Stage())
    site.wait_for("the camera", lambda: site.up()["camera"])
    return look(site, lambda _: None, stop_after=3).reason == "cancelled"


def test_light_only_while_somebody_is_looked_at(site: Site, board: PtyBoard) -> None:
    seen: list[Light] = []
    site.show(Stage())
    assert board.light == Light()
    assert look(site, lambda _: seen.append(board.light), stop_after=5).reason == "cancelled"
    assert all(light.armed for light in seen[:-1])
    assert _dark(board)
    assert board.stops == ()


def test_a_payment_is_approved_in_this_light(site: Site, board: PtyBoard, owner: Owner) -> None:
    """Core judges beside its loop. A camera process that renders is held up by it: dark, and said so; nothing else."""
    visit = pay(site, Stage(subject=CUSTOMER), PAYER, "1.00")
    if visit.register != "approved":
        assert owner == "camera", visit.text
        assert visit.reason == "camera_lost"
        assert FAULTS["emitter_heartbeat"][0] in visit.text
    assert _dark(board)


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        (Faults(over_current=True), "emitter_current"),
        (Faults(duty=True), "emitter_duty"),
        (Faults(stuck="on"), "emitter_stuck_on"),
        (Faults(stuck="off"), "emitter_stuck_off"),
        (Faults(cut=True), "emitter_line"),
    ],
    ids=["over-current", "duty", "stuck on", "stuck off", "line cut"],
)
def test_a_fault_ends_the_session_by_its_name_and_the_next_one_works(
    site: Site, board: PtyBoard, faults: Faults, cause: Cause
) -> None:
    core = site.pid("core")
    site.show(Stage())
    seen = look(site, lambda frame: board.inject(faults) if frame == 1 else None)
    assert (seen.reason, seen.causes) == ("camera_lost", (cause,))
    assert FAULTS[cause][0] in seen.text
    assert _dark(board)
    board.inject(Faults())
    # the duty of the last session still counts in this window
    select.select([], [], [], demo_table().window_ms / 1000)
    site.wait_for("the camera", lambda: site.up()["camera"])
    assert _looks(site)
    assert site.pid("core") == core


def test_no_board_no_session_until_it_is_plugged_in_again(site: Site, board: PtyBoard) -> None:
    board.unplug()
    seen = look(site, lambda _: None)
    assert seen.reason == "camera_lost"
    assert FAULTS["emitter_line"][0] in seen.text
    board.plug()
    assert _looks(site)


def test_noise_on_the_line_costs_no_session(site: Site, board: PtyBoard) -> None:
    board.inject(Faults(noise=0.003, drop=0.003))
    assert _looks(site)


def test_the_light_is_out_in_time_when_its_owner_is_killed(site: Site, board: PtyBoard, owner: Owner) -> None:
    site.show(Stage())
    stops = len(board.stops)
    if owner == "camera":
        seen = look(site, lambda frame: os.kill(site.pid(owner), signal.SIGKILL) if frame == 2 else None)
        assert seen.causes == ("crashed",)
        site.wait_for("the camera", lambda: site.up()["camera"])
    else:
        with pytest.raises((TerminalError, IpcError)):
            look(site, lambda frame: os.kill(site.pid(owner), signal.SIGKILL) if frame == 2 else None)
        site.wait_for("the terminal", lambda: all(site.up().values()))
    assert _dark(board)
    stop = board.stops[stops]
    assert stop.trip is Trip.HEARTBEAT
    assert stop.after_us - stop.late_us <= demo_table().heartbeat_ms * 1000
