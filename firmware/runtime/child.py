"""What every child of the supervisor does first: arguments, hardening, logs, stop signal, heartbeat.

Rules kept here:
- The heartbeat is written by the main loop itself, never by a thread of its own: a thread would go on beating
  while the loop hangs.
- SIGTERM raises a flag and nothing more. SIGINT is the supervisor's business: it turns Ctrl-C into SIGTERM.
- A broken heartbeat pipe means that the supervisor has gone: stop.
"""

import argparse
import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware.runtime import logs
from firmware.runtime.config import Config, ConfigError, Profile, load_config
from firmware.runtime.hardening import harden
from firmware.runtime.stop import StopFlag

BEAT_S = 0.25
# what goes through the pipe to the supervisor
BEAT, PATIENCE = b".", b"p"


class Heartbeat:
    """Tells the supervisor that the main loop goes round. Without a descriptor (run by hand) it tells nobody."""

    def __init__(self, fd: int | None, stop: StopFlag, clock: Callable[[], float] = time.monotonic) -> None:
        self._fd = fd
        self._stop = stop
        self._clock = clock
        self._due = 0.0
        if fd is not None:
            os.set_blocking(fd, False)

    def beat(self) -> None:
        """Write one byte if the last is older than `BEAT_S`. Cheap; call it every time round the loop."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + BEAT_S
        self._write(BEAT)

    def ask_for_time(self) -> None:
        """Ask, until the next beat, for `Limits.patience_s`: before what may legitimately take long."""
        self._due = 0.0
        self._write(PATIENCE)

    def _write(self, mark: bytes) -> None:
        if self._fd is None:
            return
        try:
            os.write(self._fd, mark)
        except BlockingIOError:
            # a full pipe says as much as one more beat
            return
        except BrokenPipeError:
            self._stop.set()


@dataclass(frozen=True, slots=True)
class Child:
    """A child process that has been set up.

    Attributes:
        config_path: the file `config` was read from.
        ring_fd: the frame ring, writable for `camera`, read-only for `core`; None for others and when run by hand.
        heartbeat: beat it at least once a second.
        stop: raised on SIGTERM; leave the main loop.
    """

    name: str
    config_path: Path
    config: Config
    profile: Profile
    ring_fd: int | None
    heartbeat: Heartbeat
    stop: StopFlag
    log: logging.Logger

    async def beat_until_stopped(self) -> None:
        """Beat from the event loop until SIGTERM: proves that the loop goes round. For asyncio processes."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        loop.add_reader(self.stop.fileno(), stopped.set)
        waiting = asyncio.ensure_future(stopped.wait())
        try:
            while not stopped.is_set():
                self.heartbeat.beat()
                await asyncio.wait((waiting,), timeout=BEAT_S)
        finally:
            waiting.cancel()
            loop.remove_reader(self.stop.fileno())


def start(name: str, argv: Sequence[str] | None = None) -> Child:
    """Set this process up as the child `name`. Main thread only, before anything else.

    Args:
        name: for logs.
        argv: `--config FILE [--ring-fd N] [--heartbeat-fd N]`; None takes the command line's.

    Raises:
        SystemExit: wrong arguments or configuration; said in one line.
    """
    parser = argparse.ArgumentParser(prog=f"tessera-{name}")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--ring-fd", type=int)
    parser.add_argument("--heartbeat-fd", type=int)
    arguments = parser.parse_args(argv)
    # only a supervisor hands out a heartbeat; run by hand there is nobody to die with
    harden(die_with_parent=arguments.heartbeat_fd is not None)
    log = logs.set_up(name)
    stop = StopFlag()
    stop.raise_on(signal.SIGTERM)
    try:
        config, profile = load_config(arguments.config)
    except ConfigError as error:
        raise SystemExit(f"tessera-{name}: {error}") from error
    heartbeat = Heartbeat(arguments.heartbeat_fd, stop)
    return Child(name, arguments.config, config, profile, arguments.ring_fd, heartbeat, stop, log)
