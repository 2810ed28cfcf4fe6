"""An MQTT echo that commits what it hears: the measure beside which the backend stands. `python -m hil.rig.load_echo`.

It does what any backend must, and nothing else: take a message, make it durable in the same kind of database, answer,
acknowledge. It judges nothing, verifies nothing and signs nothing.
"""

import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import text

from hil.backend.database import Database
from hil.rig.brokers import client_context
from hil.rig.certificates import Identity

USER = "echo"
ACCESS = f"""
pattern write echo/%u/in
pattern read echo/%u/out

user {USER}
topic read echo/+/in
topic write echo/+/out
"""


def main(database: str, port: int, ca: str, crl: str, certificate: str, key: str) -> None:
    """Echo until SIGTERM; `files` of the TLS identity: CA, revocations, certificate, key."""
    store = Database(database)
    kind = "BYTEA" if database.startswith("postgresql") else "BLOB"
    store.transact(lambda db: db.execute(text(f"CREATE TABLE IF NOT EXISTS echoes (body {kind} NOT NULL)")))
    keep = text("INSERT INTO echoes VALUES (:body)")

    def heard(client: Client, _data: None, message: MQTTMessage) -> None:
        store.transact(lambda db: db.execute(keep, {"body": message.payload}))
        client.publish(message.topic.removesuffix("in") + "out", message.payload, qos=1)
        client.ack(message.mid, message.qos)

    client = Client(CallbackAPIVersion.VERSION2, USER, protocol=MQTTv5, manual_ack=True)
    client.tls_set_context(client_context(Identity(Path(ca), Path(crl), Path(certificate), Path(key))))
    client.on_socket_open = _without_delay
    client.on_connect = _subscribe
    client.on_subscribe = lambda *_: print("ready", flush=True)  # noqa: T201
    client.on_message = heard
    client.connect("127.0.0.1", port)
    threading.Thread(target=client.loop_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    client.disconnect()
    store.close()


def _subscribe(client: Client, *_: object) -> None:
    client.subscribe("echo/+/in", qos=1)


def _without_delay(_client: Client, _data: None, stream: Any) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:7])
