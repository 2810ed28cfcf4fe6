"""One connection to the broker: MQTT 5, QoS 1, a session that the broker keeps, reconnecting for ever.

Rules kept here:
- Every queue and every message is bounded, in both directions.
- What does not belong on our topics, or is too large, is dropped, counted and acknowledged.
- What the broker kept is taken on the topics whose last message it is to keep, and on no other.
- The broker holds our last will from the first packet on: it is told of us when the connection is lost and not soon
  made again, and when we leave because `core` has gone.
- Reconnecting is spread out at random, and over ever longer: a broker that comes back is not met by all at once.
- Authorizations wait for nothing: Nagle's delay is off (46 -> 3.6 ms at the median, `facts/payments.md`).
- Callbacks run in paho's thread; they hand over and return.
"""

import logging
import random
import socket
import sys
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware.link.tls import MAX_PACKET_BYTES, client_context
from firmware.link.topics import INBOUND, RETAINED, inbound_kind, topic
from firmware.runtime.config import LinkConfig
from firmware.runtime.ipc import IpcError
from firmware.runtime.messages import MAX_ENVELOPE_BYTES, Inbound, Outbound

# also the longest a TLS handshake may take
KEEPALIVE_S = 5
CONNECT_S = 2.0
# before the first try again, doubled for each that fails, up to the second; each between half and one and a half times
RECONNECT_S = (1.0, 8.0)
MAX_INFLIGHT = 20
MAX_QUEUED = 100
# long enough for a receipt to outlive a night without power; intents carry an expiry of minutes of their own
SESSION_EXPIRY_S = 24 * 3600
# who is back by then was never away
WILL_DELAY_S = 5

_log = logging.getLogger("tessera.link")


class Broker:
    """The connection, from `__enter__` to `__exit__`.

    Args:
        settings: where the broker is.
        terminal: our id: client id, and part of every topic.
        will: the status, an envelope, by which the broker tells that it lost us.
        now: a time that has surely passed, seconds since 1970.
        on_envelope: takes what comes; if it raises `IpcError` the broker will send it again in the next session.
        on_state: is told whether we are connected, and if not why, on every change.

    Attributes:
        dropped: how many messages were dropped, by reason.

    Raises:
        LinkError: a TLS file cannot be used.
    """

    def __init__(
        self,
        settings: LinkConfig,
        terminal: str,
        will: bytes,
        now: Callable[[], float],
        on_envelope: Callable[[Inbound, bytes], None],
        on_state: Callable[[bool, str], None],
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._terminal = terminal
        self._on_envelope = on_envelope
        self._on_state = on_state
        self._state: tuple[bool, str] | None = None
        self._where = f"{settings.host}:{settings.port}"
        self._failures = 0
        self._client = self._make_client(settings, will, now)

    def __enter__(self) -> "Broker":
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
        self._client.loop_stop()

    def publish(self, kind: Outbound, envelope: bytes) -> None:
        """Send an envelope, or queue it while disconnected. A full queue or too large an envelope drops it."""
        if len(envelope) > MAX_ENVELOPE_BYTES:
            self._drop("too large to send")
            return
        sent = self._client.publish(topic(self._terminal, kind), envelope, qos=1, retain=kind in RETAINED)
        if sent.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            # core's outbox still has it
            self._drop("queue full")

    def _make_client(self, settings: LinkConfig, will: bytes, now: Callable[[], float]) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self._terminal, protocol=mqtt.MQTTv5, manual_ack=True
        )
        if settings.tls is not None:
            client.tls_set_context(client_context(settings.tls, now))
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(MAX_INFLIGHT)
        client.max_queued_messages_set(MAX_QUEUED)
        client.on_socket_open = _without_delay
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.on_publish = self._published
        delay = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
        delay.WillDelayInterval = WILL_DELAY_S
        client.will_set(topic(self._terminal, "status"), will, qos=1, retain=True, properties=delay)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        properties.ReceiveMaximum = MAX_INFLIGHT
        client.connect_async(settings.host, settings.port, KEEPALIVE_S, clean_start=False, properties=properties)
        return client

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(False, f"{self._where}: refused: {reason}")
            return
        self._failures = 0
        # every time: an old session may have been lost
        client.subscribe([(topic(self._terminal, kind), 1) for kind in INBOUND])

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._tell(not refused, f"{self._where}: subscription refused: {refused[0]}" if refused else "")

    def _not_connected(self, _client: Any, _data: Any) -> None:
        # paho calls this from the handler of the exception, and keeps that to itself
        self._tell(False, f"{self._where}: cannot connect: {sys.exc_info()[1]}")
        self._spread_out()

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._tell(False, f"{self._where}: disconnected: {reason}")
        self._spread_out()

    def _spread_out(self) -> None:
        least, most = RECONNECT_S
        wait_s = min(least * 2**self._failures, most) * random.uniform(0.5, 1.5)  # noqa: S311
        self._failures += 1
        # paho waits for parts of a second as well
        self._client.reconnect_delay_set(wait_s, wait_s)

    def _received(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        kind = inbound_kind(self._terminal, message.topic)
        if kind is None:
            self._drop("unknown topic")
        elif message.retain and kind not in RETAINED:
            self._drop("kept by the broker")
        elif len(message.payload) > MAX_ENVELOPE_BYTES:
            self._drop("too large to take")
        else:
            try:
                self._on_envelope(kind, bytes(message.payload))
            except IpcError as error:
                _log.warning("core did not take the %s: %s", kind, error)
                return
        client.ack(message.mid, message.qos)

    def _published(self, _client: Any, _data: Any, _mid: int, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._drop(f"refused by the broker: {reason}")

    def _drop(self, reason: str) -> None:
        self.dropped[reason] += 1
        _log.warning("dropped a message: %s (%d so far)", reason, self.dropped[reason])

    def _tell(self, connected: bool, detail: str) -> None:
        if self._state == (connected, detail):
            return
        self._state = (connected, detail)
        _log.info("connected to %s" if connected else "%s", self._where if connected else detail)
        try:
            self._on_state(connected, detail[:500])
        except IpcError as error:
            _log.warning("core was not told: %s", error)


def _without_delay(_client: Any, _data: Any, stream: Any) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
