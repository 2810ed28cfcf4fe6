"""The supervisor, over stand-in children in processes of their own: nothing stays dead, hung, or behind."""

import contextlib
import os
import queue
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20.0


class Terminal:
    """A running supervisor whose log lines are awaited, so that no test sleeps."""

    def __init__(self, config: Path, *children: str, command: tuple[str, ...] | None = None) -> None:
        self.run_dir = config.parent / "run"
        module = ("-m", "tests.runtime.standins.supervising", str(config), str(self.run_dir), *children)
        self.popen = subprocess.Popen(
            (sys.executable, *(command or module)), cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        self.pids: set[int] = set()
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self._lines.put(line)

    def says(self, pattern: str) -> re.Match[str]:
        """Wait for a log line that matches."""
        while True:
            line = self._lines.get(timeout=WAIT_S)
            if started := re.search(r"started, pid (\d+)", line):
                self.pids.add(int(started[1]))
            if match := re.search(pattern, line):
                return match

    def started(self, name: str) -> int:
        return int(self.says(rf"{name}: started, pid (\d+)")[1])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(WAIT_S)


@pytest.fixture
def terminals() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def kept(stack: contextlib.ExitStack, terminal: Terminal) -> Terminal:
    stack.callback(lambda: terminal.popen.poll() is None and terminal.end())
    return terminal


def has_ended(pid: int) -> bool:
    """Wait for a process that is not our child to end."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], WAIT_S)[0])
    finally:
        os.close(pidfd)


def test_killed_child_comes_back(config_path: Path, terminals: contextlib.ExitStack) -> None:
    terminal = kept(terminals, Terminal(config_path, "steady"))
    first = terminal.started("steady")
    assert (terminal.run_dir / "steady.pid").read_text() == f"{first}\n"
    os.kill(first, signal.SIGKILL)
    assert terminal.says(r"steady: died of (\w+)")[1] == "SIGKILL"
    second = terminal.started("steady")
    assert second != first
    assert terminal.end() == 0
    assert has_ended(second)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_all_children_cleanly(
    config_path: Path, terminals: contextlib.ExitStack, number: signal.Signals
) -> None:
    terminal = kept(terminals, Terminal(config_path, "steady", "looping"))
    pids = {terminal.started("steady"), terminal.started("looping")}
    assert terminal.end(number) == 0
    terminal.says("all processes have ended")
    assert all(has_ended(pid) for pid in pids)
    assert not list(terminal.run_dir.glob("*.pid"))


def test_hung_child_is_killed_by_the_watchdog_and_comes_back(
    config_path: Path, terminals: contextlib.ExitStack
) -> None:
    terminal = kept(terminals, Terminal(config_path, "hanging", "steady"))
    hung = terminal.started("hanging")
    steady = terminal.started("steady")
    assert float(terminal.says(r"hanging: no heartbeat for ([\d.]+) s: killed")[1]) >= 1.0
    terminal.says("hanging: died of SIGKILL")
    assert terminal.started("hanging") != hung
    assert (terminal.run_dir / "steady.pid").read_text() == f"{steady}\n"


def test_each_child_may_have_a_patience_of_its_own(config_path: Path, terminals: contextlib.ExitStack) -> None:
    terminal = kept(terminals, Terminal(config_path, "hanging::0.3"))
    assert 0.3 <= float(terminal.says(r"hanging: no heartbeat for ([\d.]+) s: killed")[1]) < 0.9


def test_child_that_asks_for_time_is_given_it_until_it_beats_again(
    config_path: Path, terminals: contextlib.ExitStack
) -> None:
    terminal = kept(terminals, Terminal(config_path, "opening::0.3"))
    first = terminal.started("opening")
    terminal.says("takes its time")
    # a line that says it was killed meanwhile would come before
    assert terminal.says("is open|killed")[0] == "is open"
    terminal.says("opening: no heartbeat for .* killed")
    assert terminal.started("opening") != first


def test_child_deaf_to_sigterm_is_killed_at_the_end(config_path: Path, terminals: contextlib.ExitStack) -> None:
    terminal = kept(terminals, Terminal(config_path, "hanging"))
    terminal.started("hanging")
    hung = terminal.started("hanging")
    terminal.end()
    assert has_ended(hung)


def test_failing_child_is_started_ever_more_slowly(config_path: Path, terminals: contextlib.ExitStack) -> None:
    terminal = kept(terminals, Terminal(config_path, "quitting"))
    pattern = r"quitting: ended with exit status 3 after [\d.]+ s; again in ([\d.]+) s"
    waits = [float(terminal.says(pattern)[1]) for _ in range(4)]
    assert waits == [0.1, 0.1, 0.2, 0.4]


def test_killed_supervisor_takes_its_children_along(config_path: Path, terminals: contextlib.ExitStack) -> None:
    terminal = kept(terminals, Terminal(config_path, "hanging", "looping"))
    pids = {terminal.started("hanging"), terminal.started("looping")}
    terminal.says("hangs from now on")
    terminal.end(signal.SIGKILL)
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.parametrize("victim", ["capturing", "watching"])
def test_ring_is_zeroed_when_either_side_dies(config_path: Path, terminals: contextlib.ExitStack, victim: str) -> None:
    terminal = kept(terminals, Terminal(config_path, "watching:read", "capturing:write"))
    pids = {name: terminal.started(name) for name in ("watching", "capturing")}
    terminal.says("face seen")
    os.kill(pids[victim], signal.SIGKILL)
    # a new watcher says what it finds, before anything else
    assert terminal.says("ring zeroed|face seen")[0] == "ring zeroed"


def test_second_run_in_the_same_place_is_refused(config_path: Path, terminals: contextlib.ExitStack) -> None:
    terminal = kept(terminals, Terminal(config_path, "steady"))
    terminal.started("steady")
    second = kept(terminals, Terminal(config_path, "steady"))
    assert second.says(r"already runs here, pid (\d+)")[1] == str(terminal.popen.pid)
    assert second.popen.wait(WAIT_S) == 1
    terminal.end()
    third = kept(terminals, Terminal(config_path, "steady"))
    third.started("steady")


def test_run_dir_that_others_may_write_is_refused(config_path: Path, terminals: contextlib.ExitStack) -> None:
    run_dir = config_path.parent / "run"
    run_dir.mkdir()
    run_dir.chmod(0o777)
    kept(terminals, Terminal(config_path, "steady")).says("others may write to it")


def test_wrong_configuration_stops_a_child_with_one_line(tmp_path: Path) -> None:
    config = tmp_path / "terminal.toml"
    config.write_text("profil = 'demo'")
    command = (sys.executable, "-m", "tests.runtime.standins.steady", "--config", str(config))
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "did you mean `profile`" in ended.stderr
