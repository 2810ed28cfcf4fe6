"""Messages between processes: whatever a peer does ends on its own connection."""

import asyncio
import contextlib
import socket
import struct
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.runtime import ipc
from firmware.runtime.ipc import client, server, wire
from firmware.runtime.messages import Done, Event, FromCore, Status, Tap, ToCore

Handler = Callable[[ipc.Peer[ToCore]], Awaitable[None]]
ANSWER_S = 5.0


async def echo(peer: ipc.Peer[ToCore]) -> None:
    while True:
        message = await peer.receive()
        await peer.send(Done(detail=type(message).__name__))


def talk(path: Path, handler: Handler, client_side: Callable[[], Any], **options: Any) -> Any:
    """Run `client_side` in a thread against a server; fail on anything the server's event loop complains about."""

    async def main() -> Any:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        listening = await ipc.serve(path, ToCore, handler, **options)
        try:
            return await asyncio.to_thread(client_side)
        finally:
            await listening.close()
            assert not complaints

    return asyncio.run(main())


def raw(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(ANSWER_S)
    stream.connect(str(path))
    return stream


def is_hung_up_on(stream: socket.socket) -> bool:
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def is_alive(path: Path) -> bool:
    with ipc.connect(path, FromCore, ANSWER_S) as core:
        core.send(Tap(scene=1))
        return bool(core.receive(ANSWER_S) == Done(detail="Tap"))


@pytest.fixture
def path(short_path: Path) -> Path:
    return short_path / "test.sock"


def test_messages_pass_both_ways(path: Path) -> None:
    def ask() -> list[FromCore | None]:
        with ipc.connect(path, FromCore, ANSWER_S) as core:
            core.send(Tap(scene=1))
            core.send(Status())
            return [core.receive(ANSWER_S), core.receive(ANSWER_S), core.receive(0.0)]

    assert talk(path, echo, ask) == [Done(detail="Tap"), Done(detail="Status"), None]


def test_threads_may_send_at_once(path: Path) -> None:
    def flood() -> int:
        with ipc.connect(path, FromCore, ANSWER_S) as core:

            def send_many() -> None:
                for _ in range(100):
                    core.send(Tap(scene=1))

            threads = [threading.Thread(target=send_many) for _ in range(4)]
            for thread in threads:
                thread.start()
            answers = [core.receive(ANSWER_S) for _ in range(400)]
            for thread in threads:
                thread.join()
            return answers.count(Done(detail="Tap"))

    assert talk(path, echo, flood) == 400


@settings(max_examples=80, deadline=None)
@given(
    garbage=st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda body: struct.pack(">IB", len(body), ipc.VERSION) + body),
        st.recursive(
            st.none() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.just("Tap"),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "person", "x"]), inner),
        )
        .map(msgspec.msgpack.encode)
        .map(lambda body: struct.pack(">IB", len(body), ipc.VERSION) + body),
    )
)
def test_random_bytes_never_crash_the_server(garbage: bytes) -> None:
    def attack(path: Path) -> bool:
        with raw(path) as stream, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            stream.sendall(garbage)
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(4096):
                pass
        return is_alive(path)

    with tempfile.TemporaryDirectory(prefix="tessera-") as folder:
        there = Path(folder) / "test.sock"
        assert talk(there, echo, lambda: attack(there))


def test_bottomless_nesting_is_refused(path: Path) -> None:
    body = b"\x81\xa1x" + b"\x91" * 60_000

    def attack() -> bool:
        with raw(path) as stream:
            stream.sendall(struct.pack(">IB", len(body), ipc.VERSION) + body)
            return is_hung_up_on(stream) and is_alive(path)

    assert talk(path, echo, attack)


@pytest.mark.parametrize(
    "header", [struct.pack(">IB", ipc.MAX_PAYLOAD_BYTES + 1, ipc.VERSION), b"\xff" * 5, struct.pack(">IB", 1, 2)]
)
def test_oversize_or_foreign_version_is_refused_before_its_body(path: Path, header: bytes) -> None:
    """No byte of the body is ever sent, so the server cannot have waited for it."""

    def attack() -> bool:
        with raw(path) as stream:
            stream.settimeout(wire.PATIENCE_S / 2)
            stream.sendall(header)
            return is_hung_up_on(stream)

    assert talk(path, echo, attack)


def test_trailing_bytes_after_a_message_are_refused(path: Path) -> None:
    body = msgspec.msgpack.encode(Tap(scene=1)) + b"\xc0"

    def attack() -> bool:
        with raw(path) as stream:
            stream.sendall(struct.pack(">IB", len(body), ipc.VERSION) + body)
            return is_hung_up_on(stream)

    assert talk(path, echo, attack)


def test_half_a_message_is_hung_up_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.1)

    def attack() -> bool:
        with raw(path) as stream:
            stream.sendall(struct.pack(">IB", 10, ipc.VERSION) + b"\x81")
            return is_hung_up_on(stream) and is_alive(path)

    assert talk(path, echo, attack)


def test_peer_that_does_not_read_is_hung_up_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.1)
    ended = threading.Event()

    async def pour(peer: ipc.Peer[ToCore]) -> None:
        try:
            while True:
                await peer.send(Done(detail="x" * 500))
        finally:
            ended.set()

    def ignore() -> bool:
        with raw(path):
            return ended.wait(ANSWER_S)

    assert talk(path, pour, ignore)


def test_server_that_does_not_read_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)

    async def deaf(peer: ipc.Peer[ToCore]) -> None:
        await asyncio.Event().wait()

    def pour() -> None:
        with ipc.connect(path, FromCore, ANSWER_S) as core:
            while True:
                core.send(Done(detail="x" * 500))

    with pytest.raises(ipc.IpcError, match="has not read"):
        talk(path, deaf, pour)


@pytest.mark.parametrize(
    "sent", [struct.pack(">IB", 1 << 20, ipc.VERSION), b"\0\0\0\1\1\xc1", b"\0\0\0\2\1\xc0", b"\0\0"]
)
def test_client_refuses_a_server_that_breaks_the_rules(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)
    ours, theirs = socket.socketpair()
    with theirs, ipc.Connection[FromCore](ours, FromCore) as core:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ipc.IpcError):
            core.receive(ANSWER_S)
        with pytest.raises(ipc.IpcClosedError):
            core.receive(0.0)


def test_message_above_the_limit_is_not_sent_and_the_connection_lives(path: Path) -> None:
    class Big(msgspec.Struct, frozen=True):
        data: bytes

    def send_big() -> bool:
        with ipc.connect(path, FromCore, ANSWER_S) as core:
            core.send(Tap(scene=1))
            with pytest.raises(ipc.IpcError, match="limit"):
                core._codec.encode(Big(data=bytes(ipc.MAX_PAYLOAD_BYTES)))
            return bool(core.receive(ANSWER_S) == Done(detail="Tap"))

    assert talk(path, echo, send_big)


def test_other_user_is_refused_by_both_ends(path: Path) -> None:
    def call() -> bool:
        with raw(path) as stream:
            return is_hung_up_on(stream)

    assert talk(path, echo, call, allowed_uids={12345})

    def distrust() -> None:
        ipc.connect(path, FromCore, ANSWER_S, allowed_uids={12345})

    with pytest.raises(ipc.IpcError, match="not allowed"):
        talk(path, echo, distrust)


def test_too_many_clients_are_turned_away(path: Path) -> None:
    def crowd() -> bool:
        streams = [raw(path) for _ in range(server.MAX_PEERS)]
        # every one of them is being served before the last comes
        for stream in streams:
            body = msgspec.msgpack.encode(Tap(scene=1))
            stream.sendall(struct.pack(">IB", len(body), ipc.VERSION) + body)
            assert stream.recv(1)
        with raw(path) as late:
            turned_away = is_hung_up_on(late)
        for stream in streams:
            stream.close()
        return turned_away

    assert talk(path, echo, crowd)


def test_socket_is_private_and_a_stale_one_is_replaced(path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()
    assert talk(path, echo, lambda: path.stat().st_mode & 0o777) == 0o600
    assert not path.exists()


def test_living_server_and_foreign_file_are_not_replaced(path: Path) -> None:
    def usurp() -> None:
        asyncio.run(ipc.serve(path, ToCore, echo))

    with pytest.raises(ipc.IpcError, match="another process listens"):
        talk(path, echo, usurp)
    path.write_text("precious")
    with pytest.raises(ipc.IpcError, match="no socket"):
        usurp()
    assert path.read_text() == "precious"


def test_nobody_there_and_a_path_too_long_are_said_plainly(path: Path) -> None:
    with pytest.raises(ipc.IpcClosedError, match="nobody answers"):
        ipc.connect(path, FromCore, 0.1)
    with pytest.raises(ipc.IpcError, match="shorter run_dir"):
        ipc.connect(path.parent / ("x" * 120), FromCore, 0.1)


def test_cancelled_receive_loses_nothing(path: Path) -> None:
    body = msgspec.msgpack.encode(Tap(scene=1))
    got: list[ToCore] = []
    header_seen = threading.Event()

    async def impatient(peer: ipc.Peer[ToCore]) -> None:
        while True:
            waiting = asyncio.ensure_future(peer.receive())
            done, _ = await asyncio.wait((waiting,), timeout=0.02)
            if done:
                got.append(waiting.result())
                await peer.send(Done(detail="Tap"))
                continue
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            if peer._header:
                header_seen.set()

    def dribble() -> FromCore | None:
        with raw(path) as stream:
            stream.sendall(struct.pack(">IB", len(body), ipc.VERSION))
            assert header_seen.wait(ANSWER_S)
            stream.sendall(body)
            return ipc.Connection[FromCore](stream.dup(), FromCore).receive(ANSWER_S)

    assert talk(path, impatient, dribble) == Done(detail="Tap")
    assert got == [Tap(scene=1)]


def test_hang_up_is_seen_at_once_by_the_client(path: Path) -> None:
    async def leave(peer: ipc.Peer[ToCore]) -> None:
        await peer.receive()
        await peer.send(Event(scene=1, stage="notice", reason="bye", text="bye"))

    def stay() -> None:
        with ipc.connect(path, FromCore, ANSWER_S) as core:
            core.send(Tap(scene=1))
            assert isinstance(core.receive(ANSWER_S), Event)
            core.receive(ANSWER_S)

    with pytest.raises(ipc.IpcClosedError, match="hung up"):
        talk(path, leave, stay)
