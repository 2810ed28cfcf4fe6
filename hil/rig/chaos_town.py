"""The installation of a chaos run while it runs: processes that are started again, terminals, wires. Simulated.

Rules kept here:
- Every process may be killed at any time and is started again by `running`; what is on disk stays as the kill left it.
- Every terminal, and the backend, has a wire of its own to the broker, which may be cut.
"""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from firmware.runtime.config import Config
from hil.backend.cluster import Cluster
from hil.rig.brokers import Broker
from hil.rig.chaos_backend import shift_file
from hil.rig.chaos_clock import SHIFT
from hil.rig.chaos_network import Wire, Wires
from hil.rig.site import Site

BACK_S = 0.3
LOOK_S = 0.05
STOP_S = 10.0


class Kept:
    """A process that is started again when it has died, until `stop`."""

    def __init__(self, name: str, command: tuple[str, ...], log: Path, environment: dict[str, str]) -> None:
        self.name, self._command, self._log, self._environment = name, command, log, os.environ | environment
        self._process: subprocess.Popen[bytes] | None = None
        self._due_at = 0.0
        self.deaths = 0

    def step(self, now: float) -> None:
        """Start it where it is due; `now` is monotonic seconds."""
        if self._process is not None and self._process.poll() is not None:
            self._process, self._due_at = None, now + BACK_S
            self.deaths += 1
        if self._process is None and now >= self._due_at:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment
                )

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End it in good order, for good."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Terminal:
    """A terminal, its wire to the broker, and who may pay at it. `camera`: it looks; else its verdict is recorded.

    `open`: set where it is to run.
    """

    name: str
    folder: Path
    config: Config
    wire: Wire
    kept: Kept
    payers: tuple[str, ...]
    camera: bool
    open: threading.Event = field(default_factory=threading.Event)

    @property
    def outbox(self) -> Path:
        """The outbox file."""
        return Path(self.config.state_dir) / "outbox.db"

    @property
    def clock(self) -> Path:
        """Where it stands how far its clock is off."""
        return Path(self.config.state_dir) / SHIFT

    def pid(self, process: str) -> int:
        """Of `core`, `camera` or `link`. Raises OSError, ValueError while it does not run."""
        return int((Path(self.config.run_dir) / f"{process}.pid").read_text())


@dataclass
class Town:
    """A running installation. Make one with `found`. `away` is held by whoever has taken broker or database away."""

    folder: Path
    site: Site
    broker: Broker
    cluster: Cluster | None
    database: str
    wires: Wires
    backend_wire: Wire
    register: Kept
    workers: list[Kept]
    terminals: list[Terminal]
    away: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)

    def clock_of(self, worker: int) -> Path:
        """Where it stands how far the clock of a worker (1, 2 ...), or of the register (0), is off."""
        return shift_file(self.site.folder / "backend.toml", worker)

    @property
    def kept(self) -> list[Kept]:
        """Every process that is started again."""
        return [self.register, *self.workers, *(terminal.kept for terminal in self.terminals if terminal.open.is_set())]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keep everything running meanwhile; end it in good order after, terminals first."""
        keeper = threading.Thread(target=self._keep, name="keeper")
        keeper.start()
        try:
            yield
        finally:
            self._ending.set()
            keeper.join()
            for process in reversed(self.kept):
                process.stop()

    def _keep(self) -> None:
        while not self._ending.wait(LOOK_S):
            for process in self.kept:
                process.step(time.monotonic())
