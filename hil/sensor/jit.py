"""One way to compile the few per-pixel loops, typed for mypy and cached on disk (the first compile takes seconds)."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """Compile for one core. Contraction and reassociation are allowed; NaN and infinity keep their meaning."""
    return cast(_Function, numba.njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"})(function))
