"""The serial line: opened for us alone, read and written without ever waiting.

pyserial opens and configures; bytes go by `os`, because pyserial's own non-blocking write spins on a full buffer.
"""

import os
import select
from contextlib import suppress

import serial

from drivers.emitter.errors import EmitterError

BAUD = 115_200


class Line:
    """An open port. Every failure is an EmitterError, cause `emitter_line`."""

    def __init__(self, port: str) -> None:
        """Open `port`. Raises EmitterError: no such port, or another process holds it."""
        self._port = port
        try:
            self._serial = serial.Serial(port, BAUD, timeout=0, exclusive=True)
        except (serial.SerialException, ValueError) as error:
            raise EmitterError(f"emitter port {port}: cannot be opened: {error}") from error
        self._fd: int = self._serial.fileno()

    def read(self) -> bytes:
        """What has come, possibly nothing. Raises EmitterError where the port is gone."""
        try:
            data = os.read(self._fd, 4096) if self.wait(0.0) else None
        except BlockingIOError:
            return b""
        except OSError as error:
            raise EmitterError(f"emitter port {self._port}: gone: {error.strerror}") from error
        if data == b"":
            # readable without anything to read: unplugged
            raise EmitterError(f"emitter port {self._port}: gone")
        return data or b""

    def write(self, data: bytes) -> None:
        """Send what fits into the line's buffer; the rest is lost, as noise loses it. Raises EmitterError."""
        try:
            with suppress(BlockingIOError):
                os.write(self._fd, data)
        except OSError as error:
            raise EmitterError(f"emitter port {self._port}: gone: {error.strerror}") from error

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to read, at most `timeout_s`. Returns whether there is."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return bool(self._serial.is_open)

    def close(self) -> None:
        """Give the port back. Idempotent."""
        self._serial.close()
