"""Heartbeats come from the loop, and only as often as they are worth."""

import os
import subprocess
import sys
from pathlib import Path

from firmware.runtime.child import BEAT, BEAT_S, PATIENCE, Heartbeat
from firmware.runtime.stop import StopFlag


def test_heartbeat_is_paced_and_never_blocks() -> None:
    now = [100.0]
    read, write = os.pipe()
    heartbeat = Heartbeat(write, StopFlag(), clock=lambda: now[0])
    for _ in range(10):
        heartbeat.beat()
    now[0] += BEAT_S
    heartbeat.beat()
    assert os.read(read, 100) == b".."
    # nobody reads any more: the pipe fills up, the loop goes on
    for _ in range(100_000):
        now[0] += BEAT_S
        heartbeat.beat()
    os.close(read)
    os.close(write)


def test_asking_for_time_holds_until_the_next_beat() -> None:
    read, write = os.pipe()
    heartbeat = Heartbeat(write, StopFlag(), clock=lambda: 100.0)
    heartbeat.beat()
    heartbeat.ask_for_time()
    heartbeat.beat()
    assert os.read(read, 100) == BEAT + PATIENCE + BEAT
    os.close(read)
    os.close(write)


def test_vanished_supervisor_is_a_reason_to_stop() -> None:
    read, write = os.pipe()
    stop = StopFlag()
    os.close(read)
    Heartbeat(write, stop).beat()
    assert stop
    assert stop.wait(0.0)
    os.close(write)


def test_without_a_supervisor_nobody_is_told() -> None:
    stop = StopFlag()
    Heartbeat(None, stop).beat()
    assert not stop


def test_hardened_process_leaves_no_core_and_dies_with_its_parent() -> None:
    # 2 is PR_GET_PDEATHSIG, 3 is PR_GET_DUMPABLE (linux/prctl.h)
    script = """
import ctypes, resource
from firmware.runtime.hardening import harden
harden(die_with_parent=True)
libc, number = ctypes.CDLL(None), ctypes.c_int()
libc.prctl(2, ctypes.byref(number), 0, 0, 0)
print(libc.prctl(3, 0, 0, 0, 0), number.value, *resource.getrlimit(resource.RLIMIT_CORE))
"""
    root = Path(__file__).resolve().parents[2]
    assert subprocess.check_output([sys.executable, "-c", script], cwd=root, text=True) == "0 9 0 0\n"
