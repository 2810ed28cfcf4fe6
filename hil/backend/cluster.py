"""A private PostgreSQL on a Unix socket, for tests and for the rig: it can be killed and started again.

Rules kept here:
- It listens on no network, in a folder only its user can enter; everything of it lies in that folder.
- PostgreSQL refuses to run as root: then it runs as the user `postgres` that Debian's package makes.
- Nothing about durability is relaxed: what it says is committed survives `kill -9`.
- Ended by its process id, never by name.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from firmware.core.errors import TerminalError
from firmware.runtime.stop import StopFlag

READY_S = 60.0
STOP_S = 20.0
USER = "postgres"
_POLL_S = 0.05


class ClusterError(TerminalError):
    """PostgreSQL cannot be used here; the message says why and what to do."""


def programs() -> Path | None:
    """The folder of PostgreSQL's own programs, the newest; None where it is not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("postgres")
    return None if found is None else Path(found).parent


class Cluster:
    """A running PostgreSQL; make one with `cluster`."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder, self._binaries = folder, binaries
        self._as: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        self._process: subprocess.Popen[bytes] | None = None
        if self._as:
            shutil.chown(folder, USER, USER)
        self._made = 0
        command = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8"]
        made = subprocess.run([*command, "--locale=C"], cwd=folder, capture_output=True, text=True, **self._as)
        if made.returncode:
            raise ClusterError(f"initdb: {made.stderr.strip()}")

    def url(self, database: str = "postgres") -> str:
        """The URL of a database of it."""
        return f"postgresql://{USER}@/{database}?host={self._folder}"

    @property
    def pid(self) -> int:
        """Process id of the server. Raises ClusterError if it does not run."""
        if self._process is None:
            raise ClusterError("PostgreSQL is not running")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers. Raises ClusterError."""
        options = ["-k", str(self._folder), "-c", "listen_addresses=", "-c", "max_connections=50"]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), *options],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                **self._as,
            )
        self._process = process
        pause = StopFlag()
        for _ in range(int(READY_S / _POLL_S)):
            if self._answers():
                return
            if process.poll() is not None:
                break
            pause.wait(_POLL_S)
        self.stop()
        raise ClusterError(f"PostgreSQL does not come up; see {self._folder / 'log'}")

    def stop(self) -> None:
        """End it in good order. Idempotent."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would, connections and all; `start` recovers what was committed."""
        # its other processes see that it is gone and end by themselves
        self._end(signal.SIGKILL)

    def throw_away(self) -> None:
        """End it at once, its other processes too, without writing down what is deleted with the folder."""
        self._end(signal.SIGQUIT)

    def create(self) -> str:
        """Make an empty database; returns its URL."""
        self._made += 1
        name = f"db{self._made}"
        self._run(f"CREATE DATABASE {name}")
        return self.url(name)

    def _run(self, statement: str) -> None:
        engine = create_engine(self.url().replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def _answers(self) -> bool:
        try:
            self._run("SELECT 1")
        except OperationalError:
            return False
        return True

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster of its own in a temporary folder, gone afterwards.

    Raises:
        ClusterError: PostgreSQL is not installed, or does not start.
    """
    binaries = programs()
    if binaries is None:
        raise ClusterError("PostgreSQL is not installed: apt-get install postgresql")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError as error:
            raise ClusterError(f"root may not run PostgreSQL, and there is no user {USER}") from error
    # directly in /tmp: the user `postgres` cannot enter the folders of root
    with tempfile.TemporaryDirectory(prefix="tessera-pg-", dir="/tmp") as folder:
        running = Cluster(Path(folder), binaries)
        try:
            running.start()
            yield running
        finally:
            running.throw_away()
