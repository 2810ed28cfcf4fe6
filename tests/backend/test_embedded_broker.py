"""The demo's embedded broker hands out a shared subscription too."""

import queue
from pathlib import Path

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from firmware.runtime.config import LinkConfig
from hil.backend.mqtt import BackendLink
from hil.backend.shop import Shop
from hil.rig.brokers import embedded
from tests.backend.service import WAIT_S, until


def test_each_authorization_is_answered_once_by_one_of_two_workers(tmp_path: Path) -> None:
    shop, came, subscribed = Shop(tmp_path), queue.Queue[bytes](), queue.Queue[int]()
    with embedded(tmp_path / "broker") as broker:
        links = [BackendLink(shop.backend, LinkConfig(host=broker.host, port=broker.port), n) for n in (1, 2)]
        for link in links:
            link.start()
        until(lambda: all(link.connected for link in links), "the workers are at the broker")
        till = Client(CallbackAPIVersion.VERSION2, "till-1", protocol=MQTTv5)
        till.on_message = lambda _client, _data, message: came.put(bytes(message.payload))
        till.on_subscribe = lambda _client, _data, mid, _codes, _properties: subscribed.put(mid)
        till.connect(broker.host, broker.port)
        till.subscribe("tessera/v1/till-1/receipt", 1)
        till.loop_start()
        subscribed.get(timeout=WAIT_S)
        for _ in range(4):
            till.publish("tessera/v1/till-1/authorization", shop.authorized(), qos=1)
            assert shop.read(came.get(timeout=WAIT_S)).outcome == "approved"
        for link in links:
            link.stop()
        till.disconnect()
        till.loop_stop()
    assert came.empty(), "none was answered twice"
    assert len(shop.backend.payments()) == 4
    shop.close()
