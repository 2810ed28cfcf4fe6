"""A process with a template in hand and a bad end: `python holding.py hardened|open segfault|abort|defect|told`.

What it holds comes on standard input. It asks for core files as large as may be before it hardens itself or not.
"""

import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from firmware.runtime.hardening import harden


def match(templates: Any) -> None:
    raise RuntimeError(f"a defect with templates of {templates.shape} in hand")


def main(hardening: str, end: str) -> None:
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    if hardening == "hardened":
        harden(die_with_parent=False)
    held = sys.stdin.buffer.read()
    if end == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if end == "abort":
        os.abort()
    import numpy as np  # only here: what it maps makes a core file four times as large

    try:
        match(np.frombuffer(held[: 2 * 3 * 128 * 4], np.float32).reshape(2, 3, 128))
    except RuntimeError as error:
        if end == "told":
            trace = traceback.TracebackException.from_exception(error, capture_locals=True)
            sys.stderr.write("".join(trace.format()))
            sys.exit(1)
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
