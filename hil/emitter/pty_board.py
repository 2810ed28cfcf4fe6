"""Serves the simulated board on a pseudo-terminal, in real time, with faults injected on the line and in the board.

The device path is a link of its own, as udev's `/dev/serial/by-id`: it goes when the board is unplugged and comes back
when it is plugged in again.
"""

import errno
import os
import pty
import random
import select
import threading
import time
import tty
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.emitter.messages import State
from hil.emitter.demo import DEMO_SERIAL
from hil.emitter.faults import Faults
from hil.emitter.light import Light, write_light
from hil.emitter.simulated_board import SimulatedBoard, Stop

STROBE = (45.0, 2000)  # exposures a second, each in microseconds
RESTLESS = (180.0, 5400)  # fault `duty`
_MOST_WAIT_US = 200_000


class PtyBoard:
    """A simulated board behind a device path. Close it.

    Args:
        port: where the device path is made; must not exist.
        key: the calibration key burnt into the board.
        serial: the board's.
        light: file that always says what shines (see `light`), or None.
        baud: how fast bytes pass, or None: as fast as they come.
        seed: of the noise.
    """

    def __init__(
        self,
        port: Path,
        key: ec.EllipticCurvePublicKey,
        *,
        serial: str = DEMO_SERIAL,
        light: Path | None = None,
        baud: int | None = None,
        seed: int = 0,
    ) -> None:
        self.port = port
        self._key, self._serial, self._light_file = key, serial, light
        self._byte_us = 10_000_000 / baud if baud else 0.0
        self._random = random.Random(seed)  # noqa: S311 - noise
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = False
        self._faults = Faults()
        self._shown: Light | None = None
        self._plugged: _Plugged | None = None
        self.plug()
        self._thread = threading.Thread(target=self._serve, name="simulated emitter", daemon=True)
        self._thread.start()

    @property
    def faults(self) -> Faults:
        """What is broken now."""
        return self._faults

    def inject(self, faults: Faults) -> None:
        """Break this, and mend all else, at once."""
        with self._lock:
            self._faults = faults
            if self._plugged is not None:
                self._plugged.board.faults = faults
        os.eventfd_write(self._wake, 1)

    @property
    def light(self) -> Light:
        """What shines now; dark while unplugged."""
        with self._lock:
            return self._plugged.board.light if self._plugged is not None else Light()

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Every time the board went dark by itself since it was plugged in."""
        with self._lock:
            return tuple(self._plugged.board.stops) if self._plugged is not None else ()

    def unplug(self) -> None:
        """Pull the plug: the device path goes, the board loses its power and all it knew."""
        with self._lock:
            if self._plugged is not None:
                self.port.unlink()
                self._plugged.close()
                self._plugged = None
            self._show()
        os.eventfd_write(self._wake, 1)

    def plug(self) -> None:
        """Plug it in again."""
        with self._lock:
            board = SimulatedBoard(self._serial, self._key)
            board.faults = self._faults
            self._plugged = _Plugged(board)
            self.port.symlink_to(self._plugged.name)
            self._show()
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Unplug and end."""
        self.unplug()
        self._closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def __enter__(self) -> "PtyBoard":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._closing:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            with self._lock:
                wait_us = self._turn(_now_us())
                if self._plugged is not None and self._plugged.listening_us <= _now_us():
                    poll.register(self._plugged.master, select.POLLIN)
            # rounded up, or the last millisecond would be a busy loop
            poll.poll(0 if wait_us <= 0 else wait_us // 1000 + 1)
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)

    def _turn(self, now_us: int) -> int:
        """Once round; returns how long nothing will be due, microseconds."""
        plugged = self._plugged
        if plugged is None:
            return _MOST_WAIT_US
        said = plugged.board.receive(now_us, self._spoil(plugged.listen(now_us, self._byte_us)))
        plugged.say(now_us, self._spoil(said), self._byte_us)
        plugged.strobe(now_us, *(RESTLESS if self._faults.duty else STROBE))
        self._show()
        return min(plugged.due_us - _now_us(), _MOST_WAIT_US)

    def _spoil(self, data: bytes) -> bytes:
        faults, chance = self._faults, self._random
        if faults.cut:
            return b""
        if not faults.noise and not faults.drop:
            return data
        return bytes(
            byte ^ (1 << chance.randrange(8)) if chance.random() < faults.noise else byte
            for byte in data
            if chance.random() >= faults.drop
        )

    def _show(self) -> None:
        light = self._plugged.board.light if self._plugged is not None else Light()
        if self._light_file is not None and light != self._shown:
            write_light(self._light_file, light)
        self._shown = light


class _Plugged:
    """A board with power, its pseudo-terminal, and the sensor's strobe."""

    def __init__(self, board: SimulatedBoard) -> None:
        self.board = board
        # our own hold on the slave keeps the line up while no host has it open
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.name = os.ttyname(self._slave)
        self.listening_us = 0
        self._arriving: bytes = b""
        self._leaving: deque[tuple[int, bytes]] = deque()
        self._edge_us: int | None = None
        self._high = False

    @property
    def due_us(self) -> int:
        """When something must be done even if nothing comes."""
        due = [self.board.due_us]
        if self._arriving:
            due.append(self.listening_us)
        if self._leaving:
            due.append(self._leaving[0][0])
        if self._edge_us is not None:
            due.append(self._edge_us)
        return min(due)

    def listen(self, now_us: int, byte_us: float) -> bytes:
        """What has wholly arrived; the next bytes need their own time on the line."""
        if now_us < self.listening_us:
            return b""
        arrived, self._arriving = self._arriving, b""
        try:
            self._arriving = os.read(self.master, 128 if byte_us else 4096)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EIO):
                raise
        if not byte_us:
            arrived, self._arriving = arrived + self._arriving, b""
        self.listening_us = now_us + int(len(self._arriving) * byte_us)
        return arrived

    def say(self, now_us: int, data: bytes, byte_us: float) -> None:
        """Send, at the line's pace; what nobody reads is lost."""
        if data:
            begun_us = max(now_us, self._leaving[-1][0] if self._leaving else 0)
            self._leaving.append((begun_us + int(len(data) * byte_us), data))
        while self._leaving and self._leaving[0][0] <= now_us:
            with suppress(BlockingIOError):
                os.write(self.master, self._leaving.popleft()[1])

    def strobe(self, now_us: int, exposures_hz: float, exposure_us: int) -> None:
        """Play the sensor: exposures evenly spaced, while the board is armed."""
        if self.board.state is not State.ARMED:
            self._edge_us, self._high = None, False
            self.board.strobe(now_us, False)
        elif self._edge_us is None:
            self._edge_us = now_us + exposure_us
        elif now_us >= self._edge_us:
            self._high = not self._high
            self.board.strobe(now_us, self._high)
            self._edge_us = now_us + (exposure_us if self._high else int(1e6 / exposures_hz) - exposure_us)

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)


def _now_us() -> int:
    return time.monotonic_ns() // 1000
