"""What goes wrong in a chaos run: drawn from a seed, one after another, each written down when it begins.

Rules kept here:
- Processes end by SIGKILL, as by a power cut, and by nothing gentler.
- Every fault ends: whatever is taken away comes back, so that what is left open at the end is nobody's excuse.
- Faults of several hands overlap; each hand does one at a time.
- Some are aimed: they strike when the tap has just seen an authorization or an intent, and the terminal it is of.
"""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec
from sqlalchemy import make_url

from hil.rig.chaos_clock import set_shift
from hil.rig.chaos_network import Wire
from hil.rig.chaos_town import Terminal, Town
from hil.rig.tap import Tap

# of a hundred faults
MIX = {
    "broker killed": 9, "worker killed": 14, "register killed": 7, "database away": 7, "core killed": 14,
    "link killed": 10, "camera killed": 4, "terminal killed": 8, "wire cut": 9, "wire frozen": 5,
    "backend's wire cut": 4, "terminal's clock shifted": 5, "worker's clock shifted": 4,
}  # fmt: skip
BETWEEN_S = (0.2, 2.5)
AWAY_S = (0.2, 8.0)
AIMED = 0.5
"""Share of the faults that wait for something to pass the broker, at most so long:"""
AIM_S = 2.0
AT = ("authorization", "intent")
LOCK_S = 60.0
# beyond what is forgiven between two clocks (30 s), both ways
SHIFT_S = (-45.0, 45.0)
SHIFTED_S = (3.0, 12.0)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the ledger: what was done to whom, `at` seconds after the start, for how long, how far.

    `aimed`: an authorization or an intent had just passed.
    """

    at: float
    what: str
    whom: str
    aimed: bool = False
    for_s: float = 0.0
    by_s: float = 0.0


class Hand:
    """Does one fault after another; `work` in a thread of its own."""

    def __init__(self, town: Town, tap: Tap, seed: str, ledger: Path) -> None:
        self._tap, self._target = tap, ""
        self._town, self._drawn = town, random.Random(seed)  # noqa: S311, faults that can be drawn again
        self._file: BinaryIO = ledger.open("ab", buffering=0)
        self._began, self._stopping = time.monotonic(), threading.Event()

    def stop(self) -> None:
        """End the fault in hand, undo it, and do no other."""
        self._stopping.set()

    def work(self) -> None:
        """Go on until `stop`. Raises BrokerError, ClusterError: what was taken away does not come back."""
        with self._file:
            self._work()

    def _work(self) -> None:
        does: dict[str, Callable[[], None]] = {
            "broker killed": self._broker, "worker killed": self._worker, "register killed": self._register,
            "database away": self._database, "wire cut": self._cut, "wire frozen": self._frozen,
            "backend's wire cut": self._backend_wire, "terminal killed": self._terminal,
            "terminal's clock shifted": self._terminal_clock, "worker's clock shifted": self._worker_clock,
        }  # fmt: skip
        for part in ("core", "link", "camera"):
            does[f"{part} killed"] = lambda part=part: self._part(part)  # type: ignore[misc]
        while not self._stopping.wait(self._drawn.uniform(*BETWEEN_S)):
            what = self._drawn.choices(list(MIX), list(MIX.values()))[0]
            aimed = self._drawn.random() < AIMED
            self._target = (self._tap.next(self._drawn.choice(AT), AIM_S) or "") if aimed else ""
            does[what]()

    def _note(self, what: str, whom: str, for_s: float = 0.0, by_s: float = 0.0) -> None:
        at = round(time.monotonic() - self._began, 3)
        fault = Fault(at, what, whom, bool(self._target), round(for_s, 3), round(by_s, 3))
        self._file.write(msgspec.json.encode(fault) + b"\n")

    def _away_s(self) -> float:
        return self._drawn.uniform(*AWAY_S)

    def _one(self) -> Terminal:
        """Who sent what was aimed at, or anybody."""
        drawn = self._drawn.choice(self._town.terminals)
        return next((terminal for terminal in self._town.terminals if terminal.name == self._target), drawn)

    def _broker(self) -> None:
        away_s = self._away_s()
        if not self._town.away.acquire(blocking=False):
            return  # another hand has it
        with contextlib.ExitStack() as back:
            back.callback(self._town.away.release)
            self._note("broker killed", "broker", away_s)
            self._town.broker.kill()
            self._stopping.wait(away_s)
            self._town.broker.start()

    def _database(self) -> None:
        away_s = self._away_s()
        if not self._town.away.acquire(blocking=False):
            return
        with contextlib.ExitStack() as back:
            back.callback(self._town.away.release)
            if self._town.cluster is not None:
                self._note("database killed", "PostgreSQL", away_s)
                self._town.cluster.kill()
                self._stopping.wait(away_s)
                self._town.cluster.start()
            else:
                # a file cannot be killed: it is locked for longer than anybody waits for it
                self._note("database locked", "SQLite", 2 * away_s)
                self._lock(2 * away_s)

    def _lock(self, for_s: float) -> None:
        file = make_url(self._town.database).database or ""
        with contextlib.closing(sqlite3.connect(file, timeout=LOCK_S, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            self._stopping.wait(for_s)
            db.execute("ROLLBACK")

    def _worker(self) -> None:
        worker = self._drawn.choice(self._town.workers)
        self._note("worker killed", worker.name)
        worker.kill()

    def _register(self) -> None:
        self._note("register killed", self._town.register.name)
        self._town.register.kill()

    def _part(self, part: str) -> None:
        terminal = self._one()
        with contextlib.suppress(OSError, ValueError):  # it is down already
            pid = terminal.pid(part)
            self._note(f"{part} killed", terminal.name)
            os.kill(pid, signal.SIGKILL)

    def _terminal(self) -> None:
        terminal = self._one()
        self._note("terminal killed", terminal.name)
        terminal.kept.kill()

    def _cut(self) -> None:
        terminal = self._one()
        self._wire(terminal.wire, "wire cut", terminal.name)

    def _backend_wire(self) -> None:
        self._wire(self._town.backend_wire, "wire cut", "backend")

    def _frozen(self) -> None:
        terminal, away_s = self._one(), 2 * self._away_s()
        self._note("wire frozen", terminal.name, away_s)
        self._town.wires.do(terminal.wire.freeze)
        self._stopping.wait(away_s)
        self._town.wires.do(terminal.wire.mend)

    def _wire(self, wire: Wire, what: str, whom: str) -> None:
        away_s = self._away_s()
        self._note(what, whom, away_s)
        self._town.wires.do(wire.cut)
        self._stopping.wait(away_s)
        self._town.wires.do(wire.mend)

    def _terminal_clock(self) -> None:
        tills = [terminal for terminal in self._town.terminals if not terminal.camera]
        terminal = self._drawn.choice(tills)
        self._clock(terminal.clock, terminal.name)

    def _worker_clock(self) -> None:
        number = self._drawn.randint(1, len(self._town.workers))
        self._clock(self._town.clock_of(number), f"worker {number}")

    def _clock(self, clock: Path, whom: str) -> None:
        by_s, for_s = self._drawn.uniform(*SHIFT_S), self._drawn.uniform(*SHIFTED_S)
        self._note("clock shifted", whom, for_s, by_s)
        set_shift(clock, by_s)
        self._stopping.wait(for_s)
        set_shift(clock, 0.0)
