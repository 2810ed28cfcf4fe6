"""What passes in the clear: a tap in a Unix socket, and one on the broker. For tests of what must not pass.

A socket is tapped by taking its name: whoever connects from then on is passed through, and both directions are kept.
The broker is tapped by subscribing to everything, which only the embedded one, without an access list, allows.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from firmware.runtime.ipc.wire import address

CONNECT_S = 5.0


class SocketTap:
    """What passed: `calls` holds every byte from those who connected, `answers` every byte back to them."""

    def __init__(self, path: Path) -> None:
        self.calls, self.answers = bytearray(), bytearray()
        self._real = path.with_suffix(".tapped")
        path.rename(self._real)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address(path))
        path.chmod(0o600)
        self._listener.listen()
        self._streams: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        self._path = path

    def close(self) -> None:
        """Give the name back and cut the connections that were tapped."""
        self._real.rename(self._path)
        for stream in (self._listener, *self._streams):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                core = socket.socket(socket.AF_UNIX)
                core.connect(address(self._real))
                self._streams += [caller, core]
                for one, other, kept in ((caller, core, self.calls), (core, caller, self.answers)):
                    threading.Thread(target=_pass_on, args=(one, other, kept), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket, kept: bytearray) -> None:
    """Until either end is gone."""
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            kept += data
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tapped(path: Path) -> Iterator[SocketTap]:
    """Tap the socket at `path`. Who is connected already is not heard: let them connect anew."""
    tap = SocketTap(path)
    try:
        yield tap
    finally:
        tap.close()


@contextlib.contextmanager
def broker_tapped(host: str, port: int) -> Iterator[list[tuple[str, bytes]]]:
    """Keep (topic, payload) of everything that is published while it lasts. Raises OSError, TimeoutError."""
    passed: list[tuple[str, bytes]] = []
    listening = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="wiretap", protocol=mqtt.MQTTv5)
    client.on_message = lambda _client, _data, message: passed.append((message.topic, bytes(message.payload)))
    client.on_subscribe = lambda *_: listening.set()
    client.connect(host, port)
    client.subscribe("#", qos=1)
    client.loop_start()
    try:
        if not listening.wait(CONNECT_S):
            raise TimeoutError(f"{host}:{port}: the broker did not let us listen")
        yield passed
    finally:
        client.disconnect()
        client.loop_stop()
