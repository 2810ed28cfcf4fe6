"""The lock of a run directory: one terminal, or one command that needs its camera, at a time.

The kernel drops it when its holder dies. The file says who holds it.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from firmware.runtime.process import SupervisorError

MAX_HOLDER_BYTES = 60


@contextlib.contextmanager
def run_lock(run_dir: Path, holder: str = "") -> Iterator[None]:
    """Hold `run_dir` for ourselves; it is made with mode 0700 if absent.

    Args:
        run_dir: of a terminal's configuration.
        holder: who we are, after the process id, where we are not a terminal.

    Raises:
        SupervisorError: it is held already, or cannot be used.
    """
    try:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = run_dir.stat()
        if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SupervisorError(f"{run_dir}: others may write to it; make it your own: chmod 700")
        fd = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SupervisorError(f"{run_dir}: cannot be used as run_dir: {error.strerror}") from error
    try:
        _take(fd, run_dir, holder)
        yield
    finally:
        os.close(fd)


def _take(fd: int, run_dir: Path, holder: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        there = os.pread(fd, MAX_HOLDER_BYTES, 0).decode(errors="replace").strip()
        raise SupervisorError(f"{run_dir}: a terminal already runs here, pid {there}; stop it first") from error
    os.truncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()} {holder}".strip().encode() + b"\n", 0)
