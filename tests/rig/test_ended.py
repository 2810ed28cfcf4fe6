"""Who closes the window, or ends a command of the rig, ends whatever it started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hil.rig.ended import SIGNALS

WAIT_S = 20.0
RUNS_A_BROKER = """
import signal, sys
from pathlib import Path
from hil.rig.brokers import mosquitto
from hil.rig.certificates import Authority
from hil.rig.ended import end_in_good_order
end_in_good_order()
with mosquitto(Path(sys.argv[1]), Authority(Path(sys.argv[1]))) as broker:
    print(broker.pid, flush=True)
    signal.pause()
"""
TELLS_WHAT_IS_IGNORED = """
import signal
from hil.rig.ended import end_in_good_order
signal.signal(signal.SIGHUP, signal.SIG_IGN)
end_in_good_order()
print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_closed_window_ends_what_was_started_even_if_it_tells_twice(
    tmp_path: Path, number: signal.Signals, mosquitto_installed: None
) -> None:
    with subprocess.Popen([sys.executable, "-c", RUNS_A_BROKER, str(tmp_path)], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        broker = int(command.stdout.readline())
        for _ in range(2):
            command.send_signal(number)
        assert command.wait(WAIT_S) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(broker, 0)


def test_under_nohup_a_closed_window_ends_nothing() -> None:
    told = subprocess.check_output([sys.executable, "-c", TELLS_WHAT_IS_IGNORED], text=True)
    assert told == "True\n"
