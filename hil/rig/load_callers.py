"""Real MQTT clients by the hundred, in one process: each asks, waits for its answer, and asks again.

Rules kept here:
- A client is a connection of its own with a certificate of its own, and has one question under way (window 1).
- The clients of a thread share one selector: what waits for the disk or for a socket holds up only that thread's. What
  a client has on disk belongs to its thread, which opens and closes it.
- A question that is not answered within `ANSWER_S` ends the measurement with an error: nothing is left out of it.
"""

import contextlib
import selectors
import socket
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from firmware.core.errors import TerminalError
from firmware.payment.errors import PaymentError
from hil.backend.simulator import SimulatedTerminal
from hil.rig.brokers import Broker, client_context
from hil.rig.certificates import Identity

THREADS = 8
ANSWER_S = 60.0
KEEPALIVE_S = 60
_LOOK_S = 0.05


class LoadError(TerminalError):
    """The measurement could not be made as it was meant; the message says why."""


class Caller(Protocol):
    """What one client says; `name` is its certificate's."""

    name: str
    sends_to: str
    hears_on: str

    def ask(self) -> bytes | None:
        """The next question, on disk where it has to be; None when there are no more."""

    def answered(self, answer: bytes) -> None:
        """Take the answer to the last question."""

    def close(self) -> None:
        """Let go of what it holds."""


class PayingTerminal:
    """Signs for intents that it opens beforehand, and settles by the receipts."""

    def __init__(self, terminal: SimulatedTerminal, mandate: bytes, intents: Sequence[bytes]) -> None:
        self.name, self._terminal, self._mandate = terminal.name, terminal, mandate
        self.sends_to, self.hears_on = (f"tessera/v1/{self.name}/{kind}" for kind in ("authorization", "receipt"))
        self._opened = deque(terminal.open(intent, int(time.time())) for intent in intents)

    def ask(self) -> bytes | None:
        """Sign and store the next authorization."""
        if not self._opened:
            return None
        return self._terminal.authorize(self._opened.popleft(), self._mandate, int(time.time()))

    def answered(self, answer: bytes) -> None:
        """Verify and store the receipt. Raises LoadError unless it approves."""
        settled = self._terminal.outbox.settle(answer, self._terminal.trust, self.name)
        if settled.outcome != "approved":
            raise LoadError(f"{self.name}: {settled.outcome} {settled.code}: an honest payment was not approved")

    def close(self) -> None:
        """Close the outbox."""
        self._terminal.outbox.close()


class EchoCaller:
    """Commits so many bytes to a file of its own, as an outbox does, and sends them to be committed and echoed."""

    def __init__(self, name: str, folder: Path, size: int, rounds: int) -> None:
        self.name, self._left, self._body = name, rounds, bytes(size)
        self.sends_to, self.hears_on = f"echo/{name}/in", f"echo/{name}/out"
        self._db = sqlite3.connect(folder / f"{name}.db", isolation_level=None)
        for statement in ("journal_mode=WAL", "synchronous=FULL", "locking_mode=EXCLUSIVE"):
            self._db.execute(f"PRAGMA {statement}")
        self._db.execute("CREATE TABLE sent (number INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")

    def ask(self) -> bytes | None:
        """Commit and return the next body."""
        if not self._left:
            return None
        self._left -= 1
        self._db.execute("INSERT INTO sent (body) VALUES (?)", (self._body,))
        return self._body

    def answered(self, answer: bytes) -> None:
        """Nothing: the echo has no meaning."""

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class _Connection:
    """One caller on the broker."""

    def __init__(self, caller: Caller, broker: Broker, identity: Identity) -> None:
        self.caller, self.asked_at, self.ready, self.over = caller, 0.0, False, False
        self.seconds: list[float] = []
        self._came: deque[bytes] = deque()
        self.client = Client(CallbackAPIVersion.VERSION2, caller.name, protocol=MQTTv5)
        self.client.tls_set_context(client_context(identity))
        self.client.on_socket_open = _without_delay
        self.client.on_connect = self._connected
        self.client.on_subscribe = self._subscribed
        self.client.on_message = self._heard
        self.client.connect(broker.host, broker.port, KEEPALIVE_S)

    def _connected(self, *_: object) -> None:
        self.client.subscribe(self.caller.hears_on, qos=1)

    def _subscribed(self, *_: object) -> None:
        self.ready = True

    def _heard(self, _client: Client, _data: None, message: MQTTMessage) -> None:
        if self.asked_at:
            self.seconds.append(time.perf_counter() - self.asked_at)
            self.asked_at = 0.0
            self._came.append(bytes(message.payload))

    def subscribe(self) -> None:
        """Wait until the subscription stands. Raises LoadError."""
        end = time.perf_counter() + ANSWER_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.stream, selectors.EVENT_READ)
            while not self.ready:
                self.pump()
                selector.select(_LOOK_S)
                if time.perf_counter() > end:
                    raise LoadError(f"{self.caller.name}: cannot subscribe")

    @property
    def stream(self) -> Any:
        """The connection's socket. Raises LoadError: it has none any more."""
        stream = self.client.socket()
        if stream is None:
            raise LoadError(f"{self.caller.name}: the broker ended the connection")
        return stream

    def step(self) -> None:
        """Take an answer that has come, and ask the next."""
        if self.asked_at:
            if time.perf_counter() - self.asked_at > ANSWER_S:
                raise LoadError(f"{self.caller.name}: no answer within {ANSWER_S:g} s")
            return
        if self._came:
            self.caller.answered(self._came.popleft())
        began = time.perf_counter()
        question = self.caller.ask()
        if question is None:
            self.over = True
            return
        self.asked_at = began
        self.client.publish(self.caller.sends_to, question, qos=1)

    def pump(self) -> None:
        """Move what waits in either direction."""
        while True:
            self.client.loop_read()
            if not self.stream.pending():
                break
        while self.client.want_write():
            self.client.loop_write()


class Crowd:
    """All callers of one measurement; each is made by its own thread."""

    def __init__(self, makes: Sequence[tuple[Callable[[], Caller], Identity]], broker: Broker) -> None:
        self._broker = broker
        self._shares = [makes[number::THREADS] for number in range(min(THREADS, len(makes)))]
        self._seconds: list[float] = []
        self._failed: list[Exception] = []

    def run(self, begins: Callable[[], None]) -> tuple[float, list[float]]:
        """Connect everybody, call `begins`, let all ask until nothing is left.

        Returns the seconds it took and those of each answer. Raises LoadError.
        """
        together = threading.Barrier(len(self._shares) + 1)
        threads = [threading.Thread(target=self._run_share, args=(share, together)) for share in self._shares]
        for thread in threads:
            thread.start()
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait()
            begins()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        if self._failed:
            raise LoadError(f"{self._failed[0]}") from self._failed[0]
        return took, self._seconds

    def _run_share(self, share: Sequence[tuple[Callable[[], Caller], Identity]], together: threading.Barrier) -> None:
        with contextlib.ExitStack() as held:
            try:
                line = []
                for make, identity in share:
                    caller = make()
                    held.callback(caller.close)
                    line.append(_Connection(caller, self._broker, identity))
                    held.callback(line[-1].client.disconnect)
                    line[-1].subscribe()
                together.wait()
                _ask_all(line)
                self._seconds += [seconds for one in line for seconds in one.seconds]
            except (LoadError, OSError, PaymentError, threading.BrokenBarrierError) as error:
                self._failed.append(error)
                together.abort()


def _ask_all(line: list[_Connection]) -> None:
    with contextlib.closing(selectors.DefaultSelector()) as selector:
        for one in line:
            selector.register(one.stream, selectors.EVENT_READ, one)
        while not all(one.over for one in line):
            for one in line:
                if not one.over:
                    one.step()
                    one.pump()
            for key, _ in selector.select(_LOOK_S):
                key.data.pump()
            for one in line:
                one.client.loop_misc()


def _without_delay(_client: Client, _data: None, stream: Any) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
