"""Wires that are cut and frozen, clocks that are shifted: they do that, and it ends."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.rig.chaos_clock import boottime_of, set_shift, shift_s
from hil.rig.chaos_network import Wires

WAIT_S = 10.0


@pytest.fixture
def echo() -> Iterator[int]:
    """A port that gives back what it is sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=give_back, args=(stream,), daemon=True).start()

    def give_back(stream: socket.socket) -> None:
        with stream:
            while data := stream.recv(4096):
                stream.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def said(stream: socket.socket, word: bytes) -> bytes:
    """What comes back of a word; nothing where the connection is gone."""
    try:
        stream.sendall(word)
        return stream.recv(4096)
    except ConnectionError:
        return b""


def test_a_wire_that_is_cut_carries_nothing_until_it_is_mended(echo: int) -> None:
    with Wires() as wires:
        wire = wires.lay(echo)
        near = ("127.0.0.1", wire.port)
        with socket.create_connection(near, WAIT_S) as before:
            assert said(before, b"one") == b"one"
            wires.do(wire.cut)
            assert said(before, b"two") == b""
            with socket.create_connection(near, WAIT_S) as during:
                assert said(during, b"three") == b""
            wires.do(wire.mend)
        with socket.create_connection(near, WAIT_S) as after:
            assert said(after, b"four") == b"four"


def test_what_a_frozen_wire_held_back_is_lost_when_it_is_mended(echo: int) -> None:
    with Wires() as wires:
        wire = wires.lay(echo)
        near = ("127.0.0.1", wire.port)
        with socket.create_connection(near, WAIT_S) as held:
            assert said(held, b"one") == b"one"
            wires.do(wire.freeze)
            held.sendall(b"two")
            held.settimeout(0.1)
            with pytest.raises(TimeoutError):
                held.recv(4096)
            held.settimeout(WAIT_S)
            wires.do(wire.mend)
            assert said(held, b"") == b"", "gone, not late"
        with socket.create_connection(near, WAIT_S) as after:
            assert said(after, b"three") == b"three"


def test_a_clock_is_shifted_while_it_runs_and_set_back(tmp_path: Path) -> None:
    file = tmp_path / "clock-shift"
    assert shift_s(file) == 0
    before = boottime_of(file)
    set_shift(file, 45.0)
    assert boottime_of(file) >= before + 45
    set_shift(file, 0)
    assert boottime_of(file) < before + 45
