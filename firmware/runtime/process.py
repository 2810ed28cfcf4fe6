"""One child of the supervisor: spawned, watched by its heartbeat, buried, spawned again.

Rules kept here:
- A child that has beaten once and is then silent for `silence_s` is killed with SIGKILL: it may be past any
  other signal. Before its first beat it may take `start_s`, for slow imports and cameras, and `patience_s` where it
  asks for time, as the camera process does before it opens a camera again or starts one.
- It comes back after a back-off that doubles up to a ceiling, and falls back to its first value once the child
  has lived for `healthy_s`.
- One that has never worked and says that it cannot start (exit status `EX_CONFIG`: a missing key, a damaged store)
  ends the whole terminal: starting it again would not help, and one clear reason is worth more than a loop.
- Whoever wants its pid finds it in `<run_dir>/<name>.pid`; the file goes when the child does.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from firmware.runtime.child import PATIENCE

_log = logging.getLogger("tessera.supervisor")


class SupervisorError(Exception):
    """The terminal cannot be started here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A row of the process table: `python -m module`, and which end of the frame ring it is handed.

    `silence_s` is how long this one may be silent, where that is not `Limits.silence_s`.
    """

    name: str
    module: str
    ring: Literal["none", "read", "write"]
    silence_s: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the supervisor is; all in seconds."""

    start_s: float = 60.0
    silence_s: float = 10.0
    patience_s: float = 10.0
    stop_s: float = 3.0
    backoff_first_s: float = 0.2
    backoff_max_s: float = 5.0
    healthy_s: float = 30.0


@dataclass(slots=True)
class _Life:
    """One incarnation."""

    popen: "subprocess.Popen[bytes]"
    pidfd: int
    beat_fd: int
    born: float
    silent_since: float
    patience_s: float


class ManagedProcess:
    """Keeps one row of the table alive.

    Args:
        spec: the row.
        arguments: command line after `python -m module`.
        pass_fds: descriptors the child inherits.
        pid_file: where its pid is written.
        limits: patience.
    """

    def __init__(
        self, spec: ProcessSpec, arguments: Sequence[str], pass_fds: Sequence[int], pid_file: Path, limits: Limits
    ) -> None:
        self.spec = spec
        self._arguments = tuple(arguments)
        self._pass_fds = tuple(pass_fds)
        self._pid_file = pid_file
        self._limits = limits
        self._silence_s = limits.silence_s if spec.silence_s is None else spec.silence_s
        self._backoff_s = limits.backoff_first_s
        self._spawn_at = 0.0
        self._life: _Life | None = None
        self._worked = False

    def step(self, now: float) -> bool:
        """Spawn if due, take heartbeats, kill if silent, bury if dead. Returns True if it has died since last time.

        Args:
            now: monotonic clock, seconds.
        """
        life = self._life
        if life is None:
            if now >= self._spawn_at:
                self._spawn(now)
            return False
        if marks := _drain(life.beat_fd):
            life.silent_since, self._worked = now, True
            life.patience_s = self._limits.patience_s if marks.endswith(PATIENCE) else self._silence_s
        if life.popen.poll() is not None:
            self._bury(life, now)
            return True
        if now >= self._silent_at(life):
            _log.error("%s: no heartbeat for %.1f s: killed", self.spec.name, now - life.silent_since)
            life.popen.kill()
            # once is enough: its death comes by the pidfd
            life.silent_since = now
        return False

    def deadline(self) -> float:
        """When `step` must be called again even if nothing happens, on the monotonic clock."""
        return self._spawn_at if self._life is None else self._silent_at(self._life)

    def descriptors(self) -> tuple[int, ...]:
        """Descriptors that become readable when `step` has something to do."""
        return () if self._life is None else (self._life.pidfd, self._life.beat_fd)

    def terminate(self) -> None:
        """Ask it to end."""
        if self._life is not None:
            self._life.popen.terminate()

    def end(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for its end, then kill it. It is not spawned again unless stepped."""
        life = self._life
        if life is None:
            return
        try:
            life.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _log.error("%s: did not end when asked: killed", self.spec.name)
            life.popen.kill()
            life.popen.wait()
        self._forget(life)

    def _silent_at(self, life: _Life) -> float:
        return life.silent_since + life.patience_s

    def _spawn(self, now: float) -> None:
        beat_read, beat_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        command = (sys.executable, "-m", self.spec.module, *self._arguments, "--heartbeat-fd", str(beat_write))
        try:
            # a session of its own, so that Ctrl-C reaches the supervisor only
            popen = subprocess.Popen(
                command, pass_fds=(*self._pass_fds, beat_write), stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            os.close(beat_read)
            self._spawn_at = now + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, self._limits.backoff_max_s)
            _log.error("%s: cannot be spawned: %s", self.spec.name, error)
            return
        finally:
            os.close(beat_write)
        self._life = _Life(popen, os.pidfd_open(popen.pid), beat_read, now, now, self._limits.start_s)
        partial = self._pid_file.with_suffix(".pid.partial")
        try:
            partial.write_text(f"{popen.pid}\n")
            partial.replace(self._pid_file)
        except OSError as error:
            # The file is a convenience; the process is not.
            _log.error("%s: no pid file: %s", self.spec.name, error)
        _log.info("%s: started, pid %d", self.spec.name, popen.pid)

    def _bury(self, life: _Life, now: float) -> None:
        if life.popen.returncode == os.EX_CONFIG and not self._worked:
            self._forget(life)
            raise SupervisorError(f"{self.spec.name} cannot start; its reason stands above; see `tessera doctor`")
        lived_s = now - life.born
        if lived_s >= self._limits.healthy_s:
            self._backoff_s = self._limits.backoff_first_s
        self._spawn_at = now + self._backoff_s
        _log.warning(
            "%s: %s after %.1f s; again in %.1f s",
            self.spec.name,
            _cause(life.popen.returncode),
            lived_s,
            self._backoff_s,
        )
        self._backoff_s = min(2 * self._backoff_s, self._limits.backoff_max_s)
        self._forget(life)

    def _forget(self, life: _Life) -> None:
        os.close(life.pidfd)
        os.close(life.beat_fd)
        self._pid_file.unlink(missing_ok=True)
        self._life = None


def _drain(fd: int) -> bytes:
    """Read all waiting marks of a heartbeat."""
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return b""


def _cause(returncode: int) -> str:
    if returncode < 0:
        return f"died of {signal.Signals(-returncode).name}"
    return f"ended with exit status {returncode}"
