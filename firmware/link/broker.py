"""One connection to the broker: MQTT 5, QoS 1, a session that the broker keeps, reconnecting for ever.

Rules kept here:
- Every queue and every message is bounded, in both directions.
- What does not belong on our topics, or is too large, is dropped, counted and acknowledged.
- What the broker kept is taken on the topics whose last message it is to keep, and on no other.
- Authorizations wait for nothing: Nagle's delay is off (46 -> 3.6 ms at the median, `facts/payments.md`).
- Callbacks run in paho's thread; they hand over and return.
"""

import logging
import socket
import ssl
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
from paho.mqtt.subscribeoptions import SubscribeOptions

from firmware.link.topics import INBOUND, RETAINED, inbound_kind, topic
from firmware.runtime.config import LinkConfig
from firmware.runtime.ipc import IpcError
from firmware.runtime.messages import MAX_ENVELOPE_BYTES, Inbound, Outbound

# also the longest a TLS handshake may take
KEEPALIVE_S = 5
CONNECT_S = 2.0
RECONNECT_S = (1, 2)
MAX_INFLIGHT = 20
MAX_QUEUED = 100
# long enough for a receipt to outlive a night without power; intents carry an expiry of minutes of their own
SESSION_EXPIRY_S = 24 * 3600
# an envelope and room for topic and properties
_MAX_PACKET_BYTES = MAX_ENVELOPE_BYTES + 1024

_log = logging.getLogger("tessera.link")


class LinkError(Exception):
    """The connection cannot even be tried: a TLS file is missing or wrong. The message names it."""


class Broker:
    """The connection, from `__enter__` to `__exit__`.

    Args:
        settings: where the broker is.
        terminal: our id: client id, and part of every topic.
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
        on_envelope: Callable[[Inbound, bytes], None],
        on_state: Callable[[bool, str], None],
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._terminal = terminal
        self._on_envelope = on_envelope
        self._on_state = on_state
        self._state: tuple[bool, str] | None = None
        self._where = f"{settings.host}:{settings.port}"
        self._client = self._make_client(settings)

    def __enter__(self) -> "Broker":
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
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

    def _make_client(self, settings: LinkConfig) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self._terminal, protocol=mqtt.MQTTv5, manual_ack=True
        )
        if settings.tls is not None:
            client.tls_set_context(_tls_context(settings))
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(MAX_INFLIGHT)
        client.max_queued_messages_set(MAX_QUEUED)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_socket_open = _without_delay
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.on_publish = self._published
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.MaximumPacketSize = _MAX_PACKET_BYTES
        properties.ReceiveMaximum = MAX_INFLIGHT
        client.connect_async(settings.host, settings.port, KEEPALIVE_S, clean_start=False, properties=properties)
        return client

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(False, f"{self._where}: refused: {reason}")
            return
        # every time: an old session may have been lost
        client.subscribe([(topic(self._terminal, kind), _subscription(kind)) for kind in INBOUND])

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._tell(not refused, f"{self._where}: subscription refused: {refused[0]}" if refused else "")

    def _not_connected(self, _client: Any, _data: Any) -> None:
        # paho calls this from the handler of the exception, and keeps that to itself
        self._tell(False, f"{self._where}: cannot connect: {sys.exc_info()[1]}")

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._tell(False, f"{self._where}: disconnected: {reason}")

    def _received(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        kind = inbound_kind(self._terminal, message.topic)
        if kind is None:
            self._drop("unknown topic")
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


def _subscription(kind: Inbound) -> SubscribeOptions:
    kept = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if kind in RETAINED else SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(qos=1, retainHandling=kept)


def _tls_context(settings: LinkConfig) -> ssl.SSLContext:
    assert settings.tls is not None
    try:
        context = ssl.create_default_context(cafile=settings.tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.tls.certificate, settings.tls.key)
    except OSError as error:
        raise LinkError(f"link.tls: ca, certificate or key cannot be used: {error}") from error
    return context


def _without_delay(_client: Any, _data: Any, stream: Any) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
