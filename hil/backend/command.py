"""`tessera backend`, and `run`: the register and any number of workers as processes of their own, on one database.

Rules kept here:
- Workers know nothing of each other: what they share is the database and the broker's shared subscription.
- What could never run is not started: what is read, the port and the database are tried first. A database that is
  away is waited for.
- One that dies is started again, later each time it dies soon; SIGTERM and SIGINT end all of them.
- A process that dies takes nobody along; if this one dies, the kernel ends the others.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from firmware.link.tls import LinkError
from firmware.payment.errors import PaymentError
from firmware.runtime.stop import StopFlag, stopped_by
from hil.backend.beginning import prepare
from hil.backend.database import StoreError
from hil.backend.digests import digests
from hil.backend.fleet_command import DatabaseOption, certify, fleet, keys, revocations, terminals
from hil.backend.metrics import FOLDER_VARIABLE
from hil.backend.move import move
from hil.backend.service import DATABASE_VARIABLE, listening
from hil.backend.store import Store

LOOK_S = 0.2
STOP_S = 10.0
# a process that ran as long as this died of something new
LONG_S = 60.0
WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
MOST_WORKERS = 64

_log = logging.getLogger("tessera.backend")

backend = typer.Typer(help="The reference payment backend.", no_args_is_help=True)


backend.add_typer(keys, name="keys")
backend.add_typer(terminals, name="terminals")
backend.command()(fleet)
backend.command()(certify)
backend.command()(digests)
backend.command()(revocations)
backend.command()(move)


@backend.callback()
def _group() -> None:
    """The reference payment backend."""


@backend.command()
def run(
    config: Annotated[Path, typer.Option(help="The backend's TOML file.")],
    workers: Annotated[int, typer.Option(min=1, max=MOST_WORKERS, help="How many processes judge.")] = 1,
    database: DatabaseOption = None,
) -> None:
    """Run the register and the workers until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    _try(config, workers, database)
    with tempfile.TemporaryDirectory(prefix="tessera-metrics-") as counts:
        environment = dict(os.environ) | {FOLDER_VARIABLE: counts} | ({DATABASE_VARIABLE: database} if database else {})
        parts = [Part("register", _command(config, "register", 0), environment)]
        parts += [
            Part(f"worker {number}", _command(config, "worker", number), environment)
            for number in range(1, workers + 1)
        ]
        with stopped_by(signal.SIGTERM, signal.SIGINT) as stop:
            supervise(parts, stop)


def _try(config: Path, workers: int, database: str | None) -> None:
    """Begin as each process will, and go no further. Raises PaymentError where one of them could not."""
    try:
        begun, *_ = [prepare(config, number, database) for number in range(workers + 1)]
    except LinkError as error:
        raise PaymentError("trust", str(error)) from error
    listening(begun.config.port).close()
    try:
        Store(begun.database).close()
    except StoreError as error:
        if not error.away:
            raise
        _log.warning("the database is waited for: %s", error)


def _command(config: Path, part: str, number: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "hil.backend", "--config", str(config), "--part", part, "--number", str(number))


class Part:
    """One process of the backend, started again when it has died."""

    def __init__(self, name: str, command: tuple[str, ...], environment: dict[str, str]) -> None:
        self.name = name
        self._command, self._environment = command, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._born, self._due, self._wait_s = 0.0, 0.0, WAIT_S

    def step(self, now: float) -> None:
        """Start it where it is due; where it has died, decide when it is due again. `now`: monotonic seconds."""
        if self._process is None:
            if now >= self._due:
                self._process, self._born = subprocess.Popen(self._command, env=self._environment), now
                _log.info("%s runs as process %d", self.name, self._process.pid)
        elif self._process.poll() is not None:
            self._wait_s = WAIT_S if now - self._born > LONG_S else min(2 * self._wait_s, LONGEST_WAIT_S)
            self._due = now + self._wait_s
            _log.warning("%s ended with %d; again in %g s", self.name, self._process.returncode, self._wait_s)
            self._process = None

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self._process is not None:
            self._process.terminate()

    def end(self, timeout_s: float) -> None:
        """Wait until it has ended, and kill it after `timeout_s` seconds."""
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def supervise(parts: list[Part], stop: StopFlag) -> None:
    """Keep `parts` running until `stop`; then end them."""
    try:
        while not stop:
            for part in parts:
                part.step(time.monotonic())
            stop.wait(LOOK_S)
    finally:
        for part in parts:
            part.ask_to_end()
        deadline = time.monotonic() + STOP_S
        for part in parts:
            part.end(max(0.0, deadline - time.monotonic()))
