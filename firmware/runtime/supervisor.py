"""Keeps the processes of a terminal alive, and what they share clean.

Rules kept here:
- One supervisor for one run directory (see `lock`).
- The frame ring is zeroed as soon as either of its ends dies, before the process comes back, and at the end.
- SIGTERM and SIGINT end everything: asked first, killed after `stop_s`.
- A killed supervisor takes its children along (see `hardening`).
"""

import contextlib
import logging
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from firmware.runtime.hardening import harden
from firmware.runtime.lock import run_lock
from firmware.runtime.process import Limits, ManagedProcess, ProcessSpec
from firmware.runtime.ring import Ring
from firmware.runtime.stop import StopFlag

PROCESSES = (
    ProcessSpec("core", "firmware.core", ring="read"),
    # a library that hangs is no use to whoever stands there; longer than `ipc` waits for a core that does not read
    ProcessSpec("camera", "firmware.runtime.camera_process", ring="write", silence_s=2.5),
    ProcessSpec("link", "firmware.link", ring="none"),
)

_log = logging.getLogger("tessera.supervisor")


def supervise(
    config_path: Path, run_dir: Path, processes: Sequence[ProcessSpec] = PROCESSES, limits: Limits | None = None
) -> None:
    """Run `processes` until SIGTERM or SIGINT. Main thread only.

    Args:
        config_path: handed to every child.
        run_dir: for the lock, pid files and sockets; made with mode 0700 if absent.
        processes: the table.
        limits: patience; None takes the defaults.

    Raises:
        SupervisorError: another supervisor runs here, `run_dir` cannot be used, or a process cannot start.
    """
    limits = limits or Limits()
    with run_lock(run_dir), contextlib.closing(Ring()) as ring:
        stop = StopFlag()
        stop.raise_on(signal.SIGTERM, signal.SIGINT)
        harden(die_with_parent=False)
        managed = [_managed(spec, config_path, run_dir, ring, limits) for spec in processes]
        try:
            _watch(managed, ring, stop)
        finally:
            _end(managed, limits.stop_s)


def _managed(spec: ProcessSpec, config_path: Path, run_dir: Path, ring: Ring, limits: Limits) -> ManagedProcess:
    ring_fd = {"none": None, "read": ring.reader_fd, "write": ring.writer_fd}[spec.ring]
    arguments = ["--config", str(config_path)]
    if ring_fd is not None:
        arguments += ["--ring-fd", str(ring_fd)]
    return ManagedProcess(spec, arguments, () if ring_fd is None else (ring_fd,), run_dir / f"{spec.name}.pid", limits)


def _watch(managed: Sequence[ManagedProcess], ring: Ring, stop: StopFlag) -> None:
    while not stop:
        for process in managed:
            if process.step(time.monotonic()) and process.spec.ring != "none":
                ring.zero()
        poll = select.poll()
        for fd in (stop.fileno(), *(fd for process in managed for fd in process.descriptors())):
            poll.register(fd, select.POLLIN)
        wait_s = min(process.deadline() for process in managed) - time.monotonic()
        # rounded up, or the last millisecond before a deadline would be a busy loop
        poll.poll(max(0.0, wait_s) * 1000 + 1)


def _end(managed: Sequence[ManagedProcess], stop_s: float) -> None:
    for process in managed:
        process.terminate()
    deadline = time.monotonic() + stop_s
    for process in managed:
        process.end(max(0.0, deadline - time.monotonic()))
    _log.info("all processes have ended")
