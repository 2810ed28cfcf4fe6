"""The blocking face: one connection to `core`."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from firmware.runtime.ipc.wire import (
    HEADER_BYTES,
    PATIENCE_S,
    Codec,
    IpcClosedError,
    IpcError,
    address,
    check_user,
    payload_size,
)

_T = TypeVar("_T")


class Connection(Generic[_T]):
    """A connection to `core`. `send` from any thread, `receive` from one. After an error it is closed."""

    def __init__(self, stream: socket.socket, receive_type: Any) -> None:
        self._stream = stream
        self._codec: Codec[_T] = Codec(receive_type)
        self._sending = threading.Lock()
        self._begun = b""
        stream.setblocking(False)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message.

        Raises:
            IpcError: it is too large (the connection stays open), the peer has gone, or does not read.
        """
        left = memoryview(self._codec.encode(message))
        deadline = time.monotonic() + PATIENCE_S
        with self._sending, self._closing_on_error():
            while left:
                if not self._wait(select.POLLOUT, deadline):
                    raise IpcError(f"peer has not read for {PATIENCE_S} s")
                with contextlib.suppress(BlockingIOError):
                    left = left[self._stream.send(left) :]

    def receive(self, timeout_s: float) -> _T | None:
        """Return the next message, or None if none has begun to arrive within `timeout_s` seconds.

        Raises:
            IpcClosedError: the peer has hung up.
            IpcError: the peer broke a rule.
        """
        with self._closing_on_error():
            if not self._fill(HEADER_BYTES, time.monotonic() + timeout_s):
                return None
            size = HEADER_BYTES + payload_size(self._begun[:HEADER_BYTES])
            if not self._fill(size, time.monotonic() + PATIENCE_S):
                raise IpcError(f"peer stopped half-way through a message for {PATIENCE_S} s")
            payload, self._begun = self._begun[HEADER_BYTES:], b""
            return self._codec.decode(payload)

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait on."""
        return self._stream.fileno()

    def close(self) -> None:
        """Hang up. Idempotent."""
        # wakes a thread that waits in `receive`; `close` alone would not
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._begun = b""

    def __enter__(self) -> "Connection[_T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self, size: int, deadline: float) -> bool:
        """Read until `size` bytes of the current message are there; False at the deadline."""
        while len(self._begun) < size:
            if not self._wait(select.POLLIN, deadline):
                return False
            with contextlib.suppress(BlockingIOError):
                more = self._stream.recv(size - len(self._begun))
                if not more:
                    raise IpcClosedError("peer hung up half-way" if self._begun else "peer hung up")
                self._begun += more
        return True

    def _wait(self, event: int, deadline: float) -> bool:
        if self._stream.fileno() < 0:
            raise IpcClosedError("connection is closed")
        poll = select.poll()
        poll.register(self._stream, event)
        return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except IpcError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise IpcClosedError(f"peer has gone: {error.strerror}") from error


def connect(
    path: Path, receive_type: Any, timeout_s: float, allowed_uids: Collection[int] | None = None
) -> Connection[Any]:
    """Connect to the server at `path`.

    Args:
        path: its socket file.
        receive_type: what it may send us, a union of tagged structs.
        timeout_s: longest wait for it to accept, seconds.
        allowed_uids: users it may run as; None is our own only.

    Raises:
        IpcClosedError: nobody listens there.
        IpcError: somebody listens who should not, or the path is too long.
    """
    where = address(path)
    with contextlib.ExitStack() as undo:
        stream = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        stream.settimeout(timeout_s)
        try:
            stream.connect(where)
        except OSError as error:
            raise IpcClosedError(f"{path}: nobody answers: {error.strerror or error}") from error
        check_user(stream, allowed_uids)
        undo.pop_all()
    return Connection(stream, receive_type)
