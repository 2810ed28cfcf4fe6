"""Memory for templates and keys in the clear: locked, in no core file, empty in a child, zeroed when given back.

Rules kept here:
- A row is locked into RAM before anything is written to it, so it is never swapped out; where the kernel locks no more,
  nothing more is taken in.
- A row that is given back is zeroed, and all are when the memory is closed.
- Address space for everybody is reserved at once, so that rows never move and never leave a copy behind.

What this cannot do: the libraries that decrypt, multiply and compare hold copies for moments in ordinary memory. For
those there is `runtime.hardening`: no core file of the whole process, and nobody may attach to it.
"""

import ctypes
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

# linux/mman.h, asm-generic; not among the constants of Python's module before 3.13 or at all
_MAP_NORESERVE = 0x4000
_MADV_WIPEONFORK = 18
STEP_BYTES = 16 * 1024
"""Locked at a time: a handful of people fit into the smallest allowance there is, 64 KiB in some containers."""


class MemoryLockError(Exception):
    """The kernel does not lock more memory for this process; the message says what to do."""


class SecretRows:
    """Rows of one type, `capacity` at most, at addresses that stay."""

    def __init__(self, capacity: int, dtype: np.dtype[Any]) -> None:
        """Reserve address space. Raises MemoryLockError where the kernel lacks what is needed."""
        size = -(-capacity * dtype.itemsize // STEP_BYTES) * STEP_BYTES
        try:
            mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
            mapping.madvise(mmap.MADV_DONTDUMP)
            mapping.madvise(_MADV_WIPEONFORK)
        except OSError as error:
            raise MemoryLockError(
                f"no memory that stays out of core files: {error.strerror}; Linux 4.14 has it"
            ) from error
        self._all = np.frombuffer(mapping, dtype, capacity)
        self._address, self._locked = self._all.ctypes.data, 0
        self._top = 0
        self._free: list[int] = []

    @property
    def rows(self) -> NDArray[Any]:
        """All rows that were ever taken, in place; those given back are zeros."""
        return self._all[: self._top]

    def take(self) -> int:
        """The index of a row of zeros. Raises MemoryLockError: no more can be locked; IndexError: all are taken."""
        if self._free:
            return self._free.pop()
        if self._top == len(self._all):
            raise IndexError(f"all {len(self._all)} rows are taken")
        while self._locked < (self._top + 1) * self._all.itemsize:
            _lock(self._address + self._locked, STEP_BYTES)
            self._locked += STEP_BYTES
        self._top += 1
        return self._top - 1

    def give_back(self, row: int) -> None:
        """Zero a row; another may take it."""
        self._all[row : row + 1].view(np.uint8)[:] = 0
        self._free.append(row)

    def close(self) -> None:
        """Zero everything and unlock it. Idempotent; whoever still looks at a row sees zeros."""
        self.rows.view(np.uint8)[:] = 0
        if self._locked:
            _libc().munlock(ctypes.c_void_p(self._address), ctypes.c_size_t(self._locked))
        self._top = self._locked = 0
        self._free.clear()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _lock(address: int, size: int) -> None:
    if _libc().mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) != 0:
        why = os.strerror(ctypes.get_errno())
        raise MemoryLockError(
            f"templates must not be swapped out, and no more memory can be locked: {why}; "
            "raise LimitMEMLOCK= (ulimit -l) to 4 KiB a person"
        )
