"""What every Tessera process does to itself before it touches anything secret.

Rules kept here:
- No core dump, and no debugger of another unprivileged process, ever sees our memory.
- A child never outlives its supervisor: the kernel kills it.
"""

import ctypes
import os
import resource
import signal

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def harden(*, die_with_parent: bool) -> None:
    """Forbid core dumps and attaching; with `die_with_parent` also be killed when the parent dies.

    Dumpable must be cleared here and not before the spawn: `execve` sets it again.

    Raises:
        OSError: the kernel refused.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)
    if die_with_parent:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
