"""Wires that can be cut: TCP on 127.0.0.1, passed through to one port of the same machine. For the chaos run.

Rules kept here:
- `cut` is a cable pulled: what is on its way is lost, connections die, new ones are refused.
- `freeze` is the worse one: connections stand, and nothing comes through in either direction until `mend`; what was
  held back then is lost with its connection. Only a time-out tells.
- Nothing is read or altered: what passes is sealed, and stays so.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

HOST = "127.0.0.1"
PIECE_BYTES = 65536
START_S = 10.0


class Wire:
    """One wire to `target`, a TCP port; `port` is its near end. Made by `Wires.lay`."""

    def __init__(self, target: int) -> None:
        self._target, self.port = target, 0
        self._whole = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._streams: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Listen."""
        server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = int(server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        """Pull the cable."""
        self._whole = False
        self._drop()

    async def freeze(self) -> None:
        """Let nothing through, and tell nobody."""
        self._flowing.clear()

    async def mend(self) -> None:
        """Let everything through again; connections that were frozen are gone."""
        if not self._flowing.is_set():
            self._drop()
        self._flowing.set()
        self._whole = True

    async def close(self) -> None:
        """End what passes."""
        self._drop()
        for task in self._passing:
            task.cancel()

    def _drop(self) -> None:
        for stream in self._streams:
            stream.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        self._streams.add(writer)
        try:
            far_reader, far = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        finally:
            self._streams.discard(writer)
        self._streams |= {writer, far}
        ways = [asyncio.create_task(self._pass(reader, far)), asyncio.create_task(self._pass(far_reader, writer))]
        self._passing |= set(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for stream in (writer, far):
            stream.transport.abort()
            self._streams.discard(stream)
        for way in ways:
            way.cancel()
            self._passing.discard(way)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                await self._flowing.wait()
                writer.write(piece)
                await writer.drain()


class Wires:
    """All wires of a run, in a thread of their own. Use as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._laid: list[Wire] = []

    def __enter__(self) -> "Wires":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self._laid:
            self.do(wire.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lay(self, target: int) -> Wire:
        """A wire to this port."""

        async def make() -> Wire:
            wire = Wire(target)
            await wire.open()
            return wire

        wire: Wire = asyncio.run_coroutine_threadsafe(make(), self._loop).result(START_S)
        self._laid.append(wire)
        return wire

    def do(self, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call a wire's method, e.g. `wire.cut`, and wait until it is done."""
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(START_S)
