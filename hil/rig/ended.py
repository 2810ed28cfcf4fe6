"""How a command of the rig that has started processes is ended from outside: each of them with it.

Rules kept here:
- SIGTERM, and SIGHUP when a terminal window is closed, end it as an error would: whatever it started is ended first.
- A second one changes nothing of that: who closes a window may send two. Ctrl-C and SIGKILL still break it off.
- Under nohup SIGHUP stays without effect.
"""

import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def end_in_good_order() -> None:
    """From now on end by SystemExit where a signal asks for it. Main thread only."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
