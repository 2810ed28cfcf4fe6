"""A tap on the broker: everything that passed, in order, whoever sent it. The rig's own ledger.

Rules kept here:
- The broker keeps what passes while the tap is away (a session with an expiry), and hands it over once it is back.
- With a file every message is on it before it counts as seen, one line each.
- The tap verifies nothing and decides nothing.
"""

import ssl
import threading
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from firmware.payment import cose, schema
from firmware.payment.messages import Authorization, Decline
from hil.rig.brokers import Broker, client_context
from hil.rig.certificates import Authority

TOPICS = "tessera/v1/#"
READY_S = 10.0
SESSION_EXPIRY_S = 3600


class Passed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the ledger: what passed on a topic, in hex."""

    topic: str
    envelope: str


class Tap:
    """Records every message on the broker; reconnects when the broker comes back. Use as a context manager.

    Args:
        broker: to listen on.
        authority: issues the tap's certificate.
        ledger: a file that keeps what passed; without one it is kept in `seen` only.
    """

    def __init__(self, broker: Broker, authority: Authority, ledger: Path | None = None) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self._file: BinaryIO | None = ledger.open("ab", buffering=0) if ledger is not None else None
        self._subscribed, self._came = threading.Event(), threading.Condition()
        self._latest: dict[str, tuple[int, str]] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="tap", protocol=mqtt.MQTTv5)
        context: ssl.SSLContext = client_context(authority.issue_client("tap"))
        self._client.tls_set_context(context)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(TOPICS, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._keep(message.topic, bytes(message.payload))
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = SESSION_EXPIRY_S
        self._client.connect(broker.host, broker.port, clean_start=False, properties=session)

    def __enter__(self) -> "Tap":
        self._client.loop_start()
        if not self._subscribed.wait(READY_S):
            raise TimeoutError("the broker did not accept the tap")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        if self._file is not None:
            self._file.close()

    def distinct(self, kind: Literal["authorization", "decline"]) -> dict[str, set[bytes]]:
        """Distinct envelopes of a kind, by the intent they answer, in hex. Unverified: the tap only counts."""
        model: type[Authorization] | type[Decline] = Authorization if kind == "authorization" else Decline
        found: dict[str, set[bytes]] = {}
        for topic, envelope in list(self.seen):
            if topic.endswith(f"/{kind}"):
                found.setdefault(schema.decode(cose.peek(envelope), model).intent.hex(), set()).add(envelope)
        return found

    def next(self, kind: str, within_s: float) -> str | None:
        """Wait until the next message of a kind passes, at most so long; returns whose topic it was on."""
        with self._came:
            before = self._latest.get(kind, (0, ""))[0]
            if not self._came.wait_for(lambda: self._latest.get(kind, (0, ""))[0] > before, within_s):
                return None
            return self._latest[kind][1]

    def _keep(self, topic: str, envelope: bytes) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(Passed(topic, envelope.hex())) + b"\n")
        self.seen.append((topic, envelope))
        _, _, terminal, kind = topic.split("/")
        with self._came:
            self._latest[kind] = (self._latest.get(kind, (0, ""))[0] + 1, terminal)
            self._came.notify_all()
