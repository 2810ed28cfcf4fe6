"""The driver against the simulated board over a real pseudo-terminal."""

import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from drivers.camera import Cause, Emitter
from drivers.emitter import EmitterError, LimitsError, limits
from drivers.emitter.board import EmitterBoard
from drivers.emitter.messages import Trip
from drivers.emitter.patterns import by_exposure
from hil.emitter.demo import DEMO_SERIAL, DemoCalibration, demo_calibration, demo_table
from hil.emitter.faults import Faults
from hil.emitter.light import Light, read_light
from hil.emitter.pty_board import PtyBoard
from hil.emitter.simulated_board import Stop

LEVELS = by_exposure([Emitter(1.0, 0.5), Emitter(0.25, 1.0)], "dark-flood-dots")
RULE_US = 200_000
# how long the driver may take to notice; generous, the machine is shared
NOTICE_S = 5.0


def _open(port: Path, calibration: DemoCalibration) -> EmitterBoard:
    return EmitterBoard(str(port), limits.read_file(calibration.limits), limits.read_key(calibration.key))


@pytest.fixture
def board(pty_board: PtyBoard, calibration: DemoCalibration) -> Iterator[EmitterBoard]:
    board = _open(pty_board.port, calibration)
    yield board
    board.close()


def _arm(board: EmitterBoard) -> None:
    board.load(LEVELS)
    board.arm()


def _beat_until_it_fails(board: EmitterBoard, every_s: float = 0.02) -> EmitterError:
    until = time.monotonic() + NOTICE_S
    while time.monotonic() < until:
        try:
            board.beat()
        except EmitterError as error:
            return error
        select.select([], [], [], every_s)
    pytest.fail("no fault was noticed")


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + NOTICE_S
    while not condition():
        assert time.monotonic() < until
        select.select([], [], [], 0.005)


def _in_time(stop: Stop) -> bool:
    """Within the rule, less what the simulation's own timer was late on a busy machine."""
    return stop.after_us - stop.late_us <= demo_table().heartbeat_ms * 1000 < RULE_US


def test_a_session_from_greeting_to_darkness(pty_board: PtyBoard, board: EmitterBoard, tmp_path: Path) -> None:
    assert (board.serial, board.firmware, board.limits) == (DEMO_SERIAL, "1.0.0", demo_table())
    assert pty_board.light == Light()
    _arm(board)
    for _ in range(20):
        board.beat()
        select.select([], [], [], 0.02)
    assert pty_board.light == Light(armed=True, levels=LEVELS)
    assert read_light(tmp_path / "light.json") == Light(armed=True, levels=LEVELS)
    board.disarm()
    assert pty_board.light == Light()


def test_closing_leaves_it_dark(pty_board: PtyBoard, board: EmitterBoard) -> None:
    _arm(board)
    board.close()
    assert not pty_board.light.armed
    board.close()


def test_the_longest_programme_is_loaded(pty_board: PtyBoard, board: EmitterBoard) -> None:
    levels = tuple(Emitter(i % 2 * i / 256, (i + 1) % 2 * i / 256) for i in range(256))
    board.load(levels)
    board.arm()
    for sent, got in zip(levels, pty_board.light.levels, strict=True):
        assert got.flood == pytest.approx(sent.flood, abs=0.001)
        assert got.dots == pytest.approx(sent.dots, abs=0.001)


def test_noise_of_three_in_a_thousand_bytes_costs_retries_and_no_session(
    pty_board: PtyBoard, calibration: DemoCalibration
) -> None:
    pty_board.inject(Faults(noise=0.003, drop=0.003))
    retries = discarded = 0
    for _ in range(20):
        board = _open(pty_board.port, calibration)
        board.load(LEVELS * 32)  # 64 cycles
        board.arm()
        for _ in range(10):
            board.beat()
            select.select([], [], [], 0.02)
        board.disarm()
        retries, discarded = retries + board.retries, discarded + board.discarded
        board.close()
    assert retries > 0
    assert discarded > 0
    assert pty_board.stops == ()


@pytest.mark.parametrize(
    ("faults", "cause", "trip"),
    [
        (Faults(over_current=True), "emitter_current", Trip.OVER_CURRENT),
        (Faults(duty=True), "emitter_duty", Trip.DUTY),
        (Faults(stuck="on"), "emitter_stuck_on", Trip.STUCK_ON),
        (Faults(stuck="off"), "emitter_stuck_off", Trip.STUCK_OFF),
        (Faults(cut=True), "emitter_line", Trip.HEARTBEAT),
    ],
    ids=["over-current", "duty", "stuck on", "stuck off", "line cut"],
)
def test_a_fault_ends_dark_with_its_own_cause(
    pty_board: PtyBoard, board: EmitterBoard, faults: Faults, cause: Cause, trip: Trip
) -> None:
    _arm(board)
    board.beat()
    pty_board.inject(faults)
    assert _beat_until_it_fails(board).cause == cause
    assert not pty_board.light.armed
    assert [stop.trip for stop in pty_board.stops] == [trip]
    assert _in_time(pty_board.stops[0])


def test_mended_it_lights_again(pty_board: PtyBoard, board: EmitterBoard) -> None:
    _arm(board)
    pty_board.inject(Faults(over_current=True))
    _beat_until_it_fails(board)
    pty_board.inject(Faults())
    board.disarm()
    _arm(board)
    assert pty_board.light.armed


def test_a_lost_heartbeat_is_named_when_the_owner_comes_back(pty_board: PtyBoard, board: EmitterBoard) -> None:
    _arm(board)
    _until(lambda: not pty_board.light.armed)
    assert _in_time(pty_board.stops[0])
    assert _beat_until_it_fails(board).cause == "emitter_heartbeat"


OWNER = """
import sys, time
from pathlib import Path
from drivers.camera import Emitter
from drivers.emitter import limits
from drivers.emitter.board import EmitterBoard
port, table, key = sys.argv[1:]
board = EmitterBoard(port, limits.read_file(Path(table)), limits.read_key(Path(key)))
board.load([Emitter(0.0, 0.0), Emitter(1.0, 0.0), Emitter(0.0, 1.0)])
board.arm()
print("armed", flush=True)
while True:
    board.beat()
    time.sleep(0.02)
"""


@pytest.fixture
def owner(pty_board: PtyBoard, calibration: DemoCalibration) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own that holds the light."""
    command = [sys.executable, "-c", OWNER, str(pty_board.port), str(calibration.limits), str(calibration.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"armed\n"
        yield owner
        owner.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_light_goes_out_when_its_owner_dies_or_hangs(
    pty_board: PtyBoard, owner: "subprocess.Popen[bytes]", how: signal.Signals
) -> None:
    select.select([], [], [], 0.3)
    assert pty_board.light.armed
    owner.send_signal(how)
    _until(lambda: not pty_board.light.armed)
    assert [stop.trip for stop in pty_board.stops] == [Trip.HEARTBEAT]
    assert _in_time(pty_board.stops[0])


def test_a_port_in_use_is_refused(
    pty_board: PtyBoard, owner: "subprocess.Popen[bytes]", calibration: DemoCalibration
) -> None:
    with pytest.raises(EmitterError, match="cannot be opened") as refused:
        _open(pty_board.port, calibration)
    assert refused.value.cause == "emitter_line"
    assert pty_board.light.armed


def test_a_port_that_is_not_there_is_refused(tmp_path: Path, calibration: DemoCalibration) -> None:
    with pytest.raises(EmitterError, match="cannot be opened"):
        _open(tmp_path / "none", calibration)


def test_a_board_that_says_nothing_is_refused(pty_board: PtyBoard, calibration: DemoCalibration) -> None:
    pty_board.inject(Faults(cut=True))
    with pytest.raises(EmitterError, match="no answer to Hello"):
        _open(pty_board.port, calibration)
    pty_board.inject(Faults())
    _open(pty_board.port, calibration).close()


def test_a_line_that_only_babbles_is_refused(pty_board: PtyBoard, calibration: DemoCalibration) -> None:
    pty_board.inject(Faults(noise=1.0))
    with pytest.raises(EmitterError, match="no answer"):
        _open(pty_board.port, calibration)


def test_pulled_out_and_plugged_in_again(pty_board: PtyBoard, calibration: DemoCalibration) -> None:
    board = _open(pty_board.port, calibration)
    _arm(board)
    pty_board.unplug()
    assert _beat_until_it_fails(board).cause == "emitter_line"
    board.close()
    pty_board.plug()
    board = _open(pty_board.port, calibration)
    _arm(board)
    assert pty_board.light.armed
    board.close()


def test_a_board_that_does_not_disarm_is_said_to_be_stuck_and_left_without_a_heartbeat(
    pty_board: PtyBoard, board: EmitterBoard
) -> None:
    _arm(board)
    pty_board.inject(Faults(deaf=True))
    with pytest.raises(EmitterError, match="does not disarm") as failed:
        board.disarm()
    assert failed.value.cause == "emitter_stuck_on"
    _until(lambda: not pty_board.light.armed)
    assert _in_time(pty_board.stops[0])


def test_another_boards_table_is_refused_by_the_driver(
    pty_board: PtyBoard, tmp_path: Path, private_key: ec.EllipticCurvePrivateKey
) -> None:
    file = limits.sign(demo_table("SIM-0002"), private_key)
    with pytest.raises(LimitsError, match="SIM-0002's") as refused:
        EmitterBoard(str(pty_board.port), file, private_key.public_key())
    assert refused.value.cause == "emitter_limits"


def test_a_table_the_board_does_not_trust_is_refused_though_the_host_would_take_it(
    pty_board: PtyBoard, private_key: ec.EllipticCurvePrivateKey
) -> None:
    file = limits.sign(demo_table(), private_key)
    with pytest.raises(LimitsError, match="refuses table: signature") as refused:
        EmitterBoard(str(pty_board.port), file, private_key.public_key())
    assert refused.value.cause == "emitter_limits"


def test_nothing_armed_without_a_programme(pty_board: PtyBoard, board: EmitterBoard) -> None:
    with pytest.raises(EmitterError, match="refuses arm: programme"):
        board.arm()


def test_beating_never_waits(pty_board: PtyBoard, board: EmitterBoard) -> None:
    _arm(board)
    begun = time.thread_time()
    for _ in range(50):
        board.beat()
    assert time.thread_time() - begun < 0.5


def test_two_calibrations_do_not_mix(tmp_path: Path, pty_board: PtyBoard) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(LimitsError, match="signature"):
        _open(pty_board.port, demo_calibration(other))
