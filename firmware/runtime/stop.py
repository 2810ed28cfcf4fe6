"""A flag that a signal handler may raise and a loop may wait on.

`threading.Event.set` takes a lock that the interrupted code may hold; an eventfd takes none.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StopFlag:
    """Raised once, never lowered. Truthy when raised; `fileno` becomes readable."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._raised = False

    def __bool__(self) -> bool:
        return self._raised

    def set(self) -> None:
        """Raise the flag. Safe in a signal handler and from any thread."""
        self._raised = True
        os.eventfd_write(self._fd, 1)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the flag is raised, at most `timeout_s` seconds. Returns whether it is."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.poll(max(0.0, timeout_s) * 1000)
        return self._raised

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the flag is raised."""
        return self._fd

    def raise_on(self, *signals: signal.Signals) -> None:
        """Raise the flag when one of `signals` arrives. Main thread only."""
        for number in signals:
            signal.signal(number, lambda *_: self.set())


@contextmanager
def stopped_by(*signals: signal.Signals) -> Iterator[StopFlag]:
    """A flag that `signals` raise meanwhile, so that a command ends between two frames. Main thread only."""
    stop = StopFlag()
    before = {number: signal.getsignal(number) for number in signals}
    stop.raise_on(*signals)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
