"""`tessera bench --only emitter`: how soon the light is out, what a heartbeat costs, and what noise costs. Simulated.

The board is simulated, on a pseudo-terminal, in real time and in this process: its clock runs `late_ms` behind its
timers whenever the machine is busy, which a microcontroller's does not. `dark_ms` includes that.
"""

import select
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from drivers.camera import Emitter
from drivers.emitter import EmitterError, limits
from drivers.emitter.board import EmitterBoard
from drivers.emitter.line import BAUD
from drivers.emitter.patterns import by_exposure
from hil.emitter.demo import DemoCalibration, demo_calibration
from hil.emitter.faults import Faults
from hil.emitter.pty_board import PtyBoard

TRIALS = 200
BEAT_S = 0.02
SESSION_BEATS = 20
BEATS = 500
LONGEST_S = 5.0
NOISE = 0.003
FULL = by_exposure([Emitter(1.0, 1.0)], "dark-flood-dots")
CODE = by_exposure([Emitter(1.0 - i / 128, 0.5 + i / 128) for i in range(64)], "dark-flood-dots")
STOPS = {
    "heartbeat lost": Faults(),
    "line cut": Faults(cut=True),
    "over-current": Faults(over_current=True),
    "duty limit": Faults(duty=True),
}


class Spread(msgspec.Struct, frozen=True):
    """Of `n` values, in the unit the field's name says."""

    p50: float
    p99: float
    worst: float
    n: int


class StopRow(msgspec.Struct, frozen=True):
    """From the last heartbeat that counted, the over-current's onset or the limit: until dark, by the board's clock.

    `late_ms`: of it, how late the simulation itself was; `named_ms`: from dark until the host, which beats every 20 ms,
    has raised the fault; `named`: which.
    """

    dark_ms: Spread
    late_ms: Spread
    named_ms: Spread
    named: dict[str, int]


class LineRow(msgspec.Struct, frozen=True):
    """A line of 115,200 baud: greeting with limit table, and a programme of 64 cycles; sessions of 20 heartbeats.

    `ended_by`: causes of those that were not completed.
    """

    open_ms: Spread
    load_ms: Spread
    retries: int
    discarded: int
    completed: int
    sessions: int
    ended_by: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    """Everything measured; `beat_cpu_us` is processor time of one heartbeat in the owner's loop."""

    stops: dict[str, StopRow]
    beat_cpu_us: Spread
    line: dict[str, LineRow]


def measure(trials: int = TRIALS) -> Report:
    """Measure everything; minutes of real time."""
    return Report(
        stops={name: _stops(name, faults, trials) for name, faults in STOPS.items()},
        beat_cpu_us=_beat_cpu(),
        line={"quiet": _line(Faults(), trials), "0.3 % of bytes": _line(Faults(noise=NOISE), trials)},
    )


def show(console: Console, report: Report) -> None:
    """Print the tables."""
    table = Table(
        "light ends by", "dark ms p50", "p99", "worst", "of it late, p99", "named ms p50", "p99", "trials", "named"
    )
    for name, row in report.stops.items():
        dark, named = row.dark_ms, ", ".join(f"{cause} {count}" for cause, count in row.named.items())
        table.add_row(
            name,
            f"{dark.p50:.1f}",
            f"{dark.p99:.1f}",
            f"{dark.worst:.1f}",
            f"{row.late_ms.p99:.1f}",
            str(dark.n),
            named,
        )
    console.print(table)
    table = Table(
        "line", "open ms p50", "p99", "load ms p50", "p99", "retries", "discarded", "sessions completed", "others"
    )
    for name, line in report.line.items():
        table.add_row(
            name, f"{line.open_ms.p50:.0f}", f"{line.open_ms.p99:.0f}", f"{line.load_ms.p50:.0f}",
            f"{line.load_ms.p99:.0f}", str(line.retries), str(line.discarded), f"{line.completed} of {line.sessions}",
            ", ".join(f"{cause} {count}" for cause, count in line.ended_by.items()),
        )  # fmt: skip
    console.print(table)
    beat = report.beat_cpu_us
    console.print(f"a heartbeat: {beat.p50:.0f} us of CPU time, p99 {beat.p99:.0f}, of {beat.n}; simulated board")


def _stops(name: str, faults: Faults, trials: int) -> StopRow:
    named: dict[str, int] = {}
    dark_ms, late_ms, named_ms = [], [], []
    with _rig(baud=None) as (board, calibration):
        for _ in range(trials):
            # a new board each time: the duty of the last trial would count in this one
            board.unplug()
            board.inject(Faults())
            board.plug()
            host = _open(board, calibration)
            host.load(FULL)
            host.arm()
            _beat(host, 2)
            board.inject(faults)
            cause = _wait_for_the_end(host, board, beating=name != "heartbeat lost")
            named[cause] = named.get(cause, 0) + 1
            stop = board.stops[0]
            named_ms.append(time.monotonic() * 1000 - stop.at_us / 1000)
            dark_ms.append(stop.after_us / 1000)
            late_ms.append(stop.late_us / 1000)
            host.abandon()
    return StopRow(_spread(dark_ms), _spread(late_ms), _spread(named_ms), named)


def _wait_for_the_end(host: EmitterBoard, board: PtyBoard, *, beating: bool) -> str:
    """The cause the host names; without a heartbeat it looks only when the light is out."""
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        try:
            if beating or board.stops:
                host.beat()
        except EmitterError as error:
            return error.cause
        _pause(BEAT_S)
    return "none"


def _beat_cpu() -> Spread:
    spent = []
    with _rig(baud=None) as (board, calibration):
        host = _open(board, calibration)
        host.load(FULL)
        host.arm()
        for _ in range(BEATS):
            _pause(BEAT_S)
            before = time.thread_time_ns()
            host.beat()
            spent.append((time.thread_time_ns() - before) / 1000)
        host.close()
    return _spread(spent)


def _line(faults: Faults, trials: int) -> LineRow:
    open_ms, load_ms = [], []
    retries = discarded = completed = 0
    ended_by: dict[str, int] = {}
    with _rig(baud=BAUD) as (board, calibration):
        board.inject(faults)
        for _ in range(trials):
            begun = time.monotonic()
            host = _open(board, calibration)
            opened = time.monotonic()
            host.load(CODE)
            loaded = time.monotonic()
            open_ms.append((opened - begun) * 1000)
            load_ms.append((loaded - opened) * 1000)
            try:
                host.arm()
                _beat(host, SESSION_BEATS)
                host.disarm()
                completed += 1
            except EmitterError as error:
                ended_by[error.cause] = ended_by.get(error.cause, 0) + 1
                host.abandon()
            retries, discarded = retries + host.retries, discarded + host.discarded
            host.close()
    return LineRow(_spread(open_ms), _spread(load_ms), retries, discarded, completed, trials, ended_by)


@contextmanager
def _rig(baud: int | None) -> Iterator[tuple[PtyBoard, DemoCalibration]]:
    with tempfile.TemporaryDirectory() as folder:
        calibration = demo_calibration(Path(folder))
        with PtyBoard(Path(folder) / "emitter", calibration.public_key, baud=baud) as board:
            yield board, calibration


def _open(board: PtyBoard, calibration: DemoCalibration) -> EmitterBoard:
    return EmitterBoard(str(board.port), limits.read_file(calibration.limits), limits.read_key(calibration.key))


def _beat(host: EmitterBoard, times: int) -> None:
    for _ in range(times):
        host.beat()
        _pause(BEAT_S)


def _pause(seconds: float) -> None:
    select.select([], [], [], seconds)


def _spread(values: list[float]) -> Spread:
    p50, p99 = np.percentile(values, [50, 99])
    return Spread(round(float(p50), 2), round(float(p99), 2), round(max(values), 2), len(values))
