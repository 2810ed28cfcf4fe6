"""Clocks of the chaos run, shifted by what stands in a file. A process whose file is not there has a plain clock.

Rules kept here:
- The shift is read anew each time the clock is: the run moves a clock while its process lives.
- Nothing in `firmware` or `hil.backend` knows of it: the clock is handed in where these are started by the rig.
"""

import os
import time
from pathlib import Path

from firmware.payment.clock import boottime

SHIFT = "clock-shift"
"""Name of the file, in a terminal's state folder: seconds, as text."""


def shift_s(path: Path) -> float:
    """How far a clock is off, seconds."""
    try:
        return float(path.read_text())
    except FileNotFoundError:
        return 0.0


def set_shift(path: Path, seconds: float) -> None:
    """Move a clock, at once."""
    partial = path.with_suffix(".partial")
    partial.write_text(f"{seconds:g}")
    os.replace(partial, path)


def boottime_of(path: Path) -> float:
    """Seconds since the board was started, as a terminal's shifted clock counts them."""
    return boottime() + shift_s(path)


def now_of(path: Path) -> int:
    """Whole seconds since 1970, as a worker's shifted clock has them."""
    return int(time.time() + shift_s(path))
