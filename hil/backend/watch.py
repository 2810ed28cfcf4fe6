"""Registers that wait for the end of an order: one call stays open until there is one.

Rules kept here:
- So many calls at most are held open; one more is answered at once, and its register asks again.
- A call ends when its time is over or its register has gone: none is held for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi.concurrency import run_in_threadpool

from hil.backend.orders import RegisterView

MOST_WAIT_S = 60
MOST_WATCHERS = 256
LOOK_S = 0.2


class Watchers:
    """The calls that are held open, in one event loop."""

    def __init__(self) -> None:
        self._held = 0

    async def until_over(
        self, look: Callable[[], RegisterView], wait_s: int, gone: Callable[[], Awaitable[bool]]
    ) -> RegisterView:
        """Return how an order stands, once it is over or after `wait_s` seconds. Raises what `look` raises."""
        view = await run_in_threadpool(look)
        if self._held == MOST_WATCHERS:
            return view
        self._held += 1
        try:
            end = asyncio.get_running_loop().time() + wait_s
            while view.state == "open" and asyncio.get_running_loop().time() < end and not await gone():
                await asyncio.sleep(LOOK_S)
                view = await run_in_threadpool(look)
        finally:
            self._held -= 1
        return view
