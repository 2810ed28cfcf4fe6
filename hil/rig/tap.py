"""A tap on the broker: everything that passed, in order, whoever sent it. The rig's own ledger."""

import ssl
import threading
from typing import Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from firmware.payment import cose, schema
from firmware.payment.messages import Authorization, Decline
from hil.rig.brokers import Broker, client_context
from hil.rig.certificates import Authority

TOPICS = "tessera/v1/#"
READY_S = 10.0


class Tap:
    """Records every message on the broker; reconnects when the broker comes back. Use as a context manager."""

    def __init__(self, broker: Broker, authority: Authority) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="tap", protocol=mqtt.MQTTv5)
        context: ssl.SSLContext = client_context(authority.issue_client("tap"))
        self._client.tls_set_context(context)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(TOPICS, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.seen.append(
            (message.topic, bytes(message.payload))
        )
        self._client.connect(broker.host, broker.port, clean_start=False)

    def __enter__(self) -> "Tap":
        self._client.loop_start()
        if not self._subscribed.wait(READY_S):
            raise TimeoutError("the broker did not accept the tap")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def distinct(self, kind: Literal["authorization", "decline"]) -> dict[str, set[bytes]]:
        """Distinct envelopes of a kind, by the intent they answer, in hex. Unverified: the tap only counts."""
        model: type[Authorization] | type[Decline] = Authorization if kind == "authorization" else Decline
        found: dict[str, set[bytes]] = {}
        for topic, envelope in list(self.seen):
            if topic.endswith(f"/{kind}"):
                found.setdefault(schema.decode(cose.peek(envelope), model).intent.hex(), set()).add(envelope)
        return found
