"""A worker's end of the broker (MQTT 5).

Rules kept here:
- Workers share one subscription: the broker hands each message to one of them. Which one does not matter. A process
  that is alone subscribes plainly: the demo's embedded broker holds back what it should hand to a shared subscription.
- The subscription's name is a secret of the backend's: whoever joined it, a terminal say, would be given a share of
  the messages and swallow it. A broker's access list does not hold that off (measured on mosquitto 2.0.11).
- The session lives on at the broker while we are away, so what came meanwhile is kept. Of one among several it soon
  ends: the broker goes on giving an absent worker its share, while the others would do it.
- What a session is subscribed to is what this process wants now. The name of the workers' subscription changes with
  the signing key, so a worker begins with a new session and resumes only its own; what the old one held comes again
  from the outboxes. A register that once was alone gives up what it judged then.
- A session opened clean is never written down (mosquitto 2.0.11, measured): a broker that crashes loses those of
  workers, and what they held, acknowledged to its sender. Payments come again from the outboxes, all else is asked
  again at the terminal's next connection; a certificate, where no worker was back before it, ten minutes later.
- A message is acknowledged after its answer is committed and its receipt handed to the socket, in that order. If we
  die in between, the broker or the terminal's outbox sends it again, and the same receipt goes out again.
- What could not be committed is not acknowledged: the worker leaves the broker, comes back when the database
  answers, and is given it again.
- The broker is trusted with delivery only: who speaks is a matter of signatures.
- The first process, which keeps the register where there are several, also takes what terminals say of themselves
  (the broker keeps the last of each, and hands what it keeps to no shared subscription) and gives them the key set.
"""

import logging
import socket
import ssl
import threading
import time
from typing import Any

from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, Client, ConnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware.link.tls import MAX_PACKET_BYTES
from firmware.link.topics import topic
from firmware.payment.errors import PaymentError
from firmware.runtime.config import LinkConfig
from firmware.runtime.messages import Inbound, Outbound
from hil.backend import metrics
from hil.backend.backend import INTENT_TTL_S, Backend
from hil.backend.database import StoreError
from hil.backend.fleet import Fleet

log = logging.getLogger(__name__)

CLIENT_ID = "tessera-backend"
SESSION_EXPIRY_S = 7 * 24 * 3600
# of one among several: long enough to be started again, and what is lost with it comes again from the outboxes
SHARED_EXPIRY_S = 60
KEEPALIVE_S = 15
# more would only wait here while another worker is idle
RECEIVE_MAXIMUM = 20
# what any worker answers; authorizations and declines are told apart by what was signed
ANSWERED: tuple[Outbound, ...] = ("authorization", "decline", "beacon-request", "certificate-request")
# a beacon counts for five seconds after it was asked for; nobody wants one later
BEACON_TTL_S = 5
# between two looks whether the database is back
RETURN_S = 1.0


class BackendLink:
    """Connects `backend` to the broker in a thread of its own, and again whenever the connection is lost.

    Args:
        backend: who judges payments.
        fleet: who answers all else that terminals ask.
        broker: where the broker is.
        tls: for the connection to it; None for one without.
        number: of this process: 0, or its place among several; no two have the same.
        judges: take part in the shared subscription; without it intents are sent and only statuses taken.
    """

    def __init__(
        self,
        backend: Backend,
        fleet: Fleet,
        broker: LinkConfig,
        tls: ssl.SSLContext | None,
        number: int = 0,
        *,
        judges: bool = True,
    ) -> None:
        self._backend, self._fleet, self._broker, self._number, self._judges = backend, fleet, broker, number, judges
        name = f"{CLIENT_ID}{suffix(number)}"
        self._stopping, self._ready, self._leaving = threading.Event(), threading.Event(), False
        client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTv5, manual_ack=True)
        if tls is not None:
            client.tls_set_context(tls)
        client.reconnect_delay_set(1, 2)
        client.on_socket_open = _no_delay
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        self._client = client
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the broker is there now, and where it judges, whether its subscription stands."""
        return self._ready.is_set() and self._thread.is_alive()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect; the session stays at the broker."""
        self._stopping.set()
        while self._thread.is_alive():
            # again and again: it may just have begun to connect
            self._client.disconnect()
            self._thread.join(0.2)

    def wait(self, timeout_s: float) -> bool:
        """Wait until its thread has ended, at most so long; returns whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def send_intent(self, terminal: str, envelope: bytes) -> None:
        """Publish an intent; the broker drops it once it has expired."""
        self._publish(terminal, "intent", envelope, INTENT_TTL_S)
        metrics.asked()

    def send_cancellation(self, terminal: str, envelope: bytes) -> None:
        """Publish that an intent was taken back; of no use once the intent would have expired."""
        self._publish(terminal, "cancellation", envelope, INTENT_TTL_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._leaving and not self._backend.ready():
                self._stopping.wait(RETURN_S)
                continue
            self._leaving = False
            self._connect()
            self._client.loop_forever(retry_first_connection=True)

    def _connect(self) -> None:
        session = _properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = SHARED_EXPIRY_S if self._number else SESSION_EXPIRY_S
        session.ReceiveMaximum = RECEIVE_MAXIMUM
        session.MaximumPacketSize = MAX_PACKET_BYTES
        clean = MQTT_CLEAN_START_FIRST_ONLY if self._number else False
        self._client.connect_async(
            self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=clean, properties=session
        )

    def _connected(self, client: Client, _data: None, _flags: ConnectFlags, reason: ReasonCode, *_: object) -> None:
        if reason.is_failure:
            log.warning("broker refused the connection: %s", reason)
            return
        log.info("connected to %s:%d", self._broker.host, self._broker.port)
        kinds = ANSWERED if self._judges else ()
        topics = [(f"$share/{self._fleet.group}/{every(kind)}" if self._number else every(kind), 1) for kind in kinds]
        if not self._number:
            if not self._judges:
                client.unsubscribe([every(kind) for kind in ANSWERED])
            topics.append((every("status"), 1))
            for terminal in self._fleet.terminals:
                client.publish(topic(terminal, "key-set"), self._fleet.key_set, qos=1, retain=True)
        client.subscribe(topics)

    def _subscribed(self, _client: Client, _data: None, _mid: int, reasons: list[ReasonCode], *_: object) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            log.warning("broker refused the subscription: %s", refused[0])
        else:
            self._ready.set()

    def _disconnected(self, _client: Client, _data: None, _flags: object, reason: ReasonCode, *_: object) -> None:
        self._ready.clear()
        log.info("disconnected: %s", reason)

    def _received(self, client: Client, _data: None, message: MQTTMessage) -> None:
        if self._leaving:
            return
        _, _, terminal, kind = message.topic.split("/")
        try:
            self._answer(terminal, kind, bytes(message.payload))
        except StoreError as error:
            log.error("not answered and not acknowledged, away until the database is back: %s", error)
            metrics.failed(self._number)
            self._leaving = True
            client.disconnect()
            return
        except PaymentError as error:
            log.warning("%s of %r, not taken: %s", kind, terminal, error)
            metrics.refused(self._number, kind, error.code)
        client.ack(message.mid, message.qos)

    def _answer(self, terminal: str, kind: str, envelope: bytes) -> None:
        """Take what came, and answer. Raises PaymentError where there is no answer to give, StoreError."""
        came = time.monotonic()
        if kind == "status":
            self._fleet.take_status(terminal, envelope)
        elif kind == "beacon-request":
            self._publish(terminal, "beacon", self._fleet.beacon(terminal, envelope), BEACON_TTL_S)
        elif kind == "certificate-request":
            self._publish(terminal, "certificate", self._fleet.certificate(terminal, envelope))
        else:
            receipt = self._backend.handle(terminal, envelope)
            self._publish(terminal, "receipt", receipt)
            metrics.answered(self._number, receipt, time.monotonic() - came)

    def _publish(self, terminal: str, kind: Inbound, envelope: bytes, expiry_s: int | None = None) -> None:
        properties = _properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        self._client.publish(topic(terminal, kind), envelope, qos=1, properties=properties)


def suffix(number: int) -> str:
    """What the client id of process `number` ends in, and its certificate's name."""
    return f"-{number}" if number else ""


def every(kind: Outbound) -> str:
    """The filter for one kind of envelope of every terminal."""
    return topic("+", kind)


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _no_delay(_client: Client, _data: None, connection: Any) -> None:
    """Without it Nagle's algorithm holds every small packet back: 46 instead of 3.6 ms (measured)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
