"""The asyncio face: `core` listens, and runs one handler for each client."""

import asyncio
import contextlib
import logging
import socket
import stat
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
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

MAX_PEERS = 16

_log = logging.getLogger("tessera.ipc")
_T = TypeVar("_T")


class Peer(Generic[_T]):
    """One client. One task receives, any may send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, codec: Codec[_T]) -> None:
        self._reader = reader
        self._writer = writer
        self._codec = codec
        self._header = b""

    async def receive(self) -> _T:
        """Return the next message. May be cancelled, and called again, without losing one.

        Raises:
            IpcClosedError: the peer has hung up.
            IpcError: the peer broke a rule.
        """
        with self._closing_on_error():
            # kept until the payload is there: a cancelled call must not lose its place in the stream
            self._header = self._header or await self._reader.readexactly(HEADER_BYTES)
            size = payload_size(self._header)
            with self._hanging_up_late():
                payload = await self._reader.readexactly(size)
            self._header = b""
            return self._codec.decode(payload)

    async def send(self, message: msgspec.Struct) -> None:
        """Send a message.

        Raises:
            IpcError: it is too large (the connection stays open), the peer has gone, or does not read.
        """
        data = self._codec.encode(message)
        if self._writer.is_closing():
            raise IpcClosedError("connection is closed")
        with self._closing_on_error(), self._hanging_up_late():
            self._writer.write(data)
            await self._writer.drain()

    def close(self) -> None:
        """Hang up at once, dropping what has not been sent. Idempotent."""
        self._writer.transport.abort()

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except asyncio.IncompleteReadError as error:
            self.close()
            raise IpcClosedError(
                "peer hung up half-way" if self._header or error.partial else "peer hung up"
            ) from error
        except OSError as error:
            self.close()
            raise IpcClosedError(f"peer has gone: {error.strerror or error}") from error
        except IpcError:
            self.close()
            raise

    @contextlib.contextmanager
    def _hanging_up_late(self) -> Iterator[None]:
        """Hang up if the body takes longer than `PATIENCE_S`, which ends its wait.

        Not `wait_for`: before Python 3.12 that can swallow a cancellation.
        """
        alarm = asyncio.get_running_loop().call_later(PATIENCE_S, self.close)
        try:
            yield
        finally:
            alarm.cancel()


class Server:
    """A listening socket and the tasks that serve its clients."""

    def __init__(self, path: Path, listener: asyncio.Server, tasks: set["asyncio.Task[None]"]) -> None:
        self._path = path
        self._listener = listener
        self._tasks = tasks

    async def close(self) -> None:
        """Stop listening, end every handler, remove the socket file."""
        self._listener.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)


async def serve(
    path: Path,
    receive_type: Any,
    handler: Callable[[Peer[Any]], Awaitable[None]],
    allowed_uids: Collection[int] | None = None,
) -> Server:
    """Listen at `path` and run `handler(peer)` for every client. The connection ends when the handler does.

    Args:
        path: socket file, made with mode 0600. A stale one is replaced.
        receive_type: what clients may send, a union of tagged structs.
        handler: may let `IpcError` escape; it is logged and ends that connection only.
        allowed_uids: users a client may run as; None is our own only.

    Raises:
        IpcError: another server is alive at `path`, or the path cannot be used.
    """
    codec: Codec[Any] = Codec(receive_type)
    tasks: set[asyncio.Task[None]] = set()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(tasks) > MAX_PEERS:
                raise IpcError(f"more than {MAX_PEERS} clients")
            check_user(writer.get_extra_info("socket"), allowed_uids)
            await handler(Peer(reader, writer, codec))
        except IpcClosedError as error:
            _log.info("%s: %s", path.name, error)
        except IpcError as error:
            _log.warning("%s: %s", path.name, error)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(attend(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return Server(path, await asyncio.start_unix_server(accept, sock=_listen(path)), tasks)


def _listen(path: Path) -> socket.socket:
    where = address(path)
    _remove_stale(path)
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            listener.bind(where)
            # nobody can connect before asyncio calls `listen`
            path.chmod(0o600)
        except OSError as error:
            raise IpcError(f"{path}: cannot listen: {error.strerror}") from error
        undo.pop_all()
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket file nobody listens at. Raises IpcError if somebody does, or if it is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise IpcError(f"{path}: is there and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise IpcError(f"{path}: another process listens here")
