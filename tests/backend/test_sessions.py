"""What the backend's sessions at the broker are subscribed to after a change: what is wanted now, and nothing more."""

from types import SimpleNamespace
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from firmware.link.topics import topic
from firmware.payment.errors import PaymentError
from firmware.runtime.config import LinkConfig
from hil.backend import mqtt
from hil.backend.database import StoreError
from hil.backend.mqtt import BackendLink, suffix
from hil.rig.brokers import Broker, client_context
from hil.rig.certificates import Authority
from tests.backend.service import until


class Process:
    """The broker's end of one process, in place of whose judgement stands a list of what came."""

    def __init__(self, broker: Broker, authority: Authority, number: int) -> None:
        held = authority.issue_client(f"backend{suffix(number)}")
        self._broker, self._tls = LinkConfig(host=broker.host, port=broker.port), client_context(held)
        self._number = number
        self.heard: list[bytes] = []
        self.fails: list[PaymentError] = []

    def run(self, group: str = "", *, judges: bool = True) -> BackendLink:
        """Connect, under this name of the workers' subscription."""
        fleet: Any = SimpleNamespace(
            group=group, terminals=(), key_set=b"", beacon=self._hear, take_status=self._hear
        )  # fmt: skip
        backend: Any = SimpleNamespace(ready=lambda: True)
        link = BackendLink(backend, fleet, self._broker, self._tls, self._number, judges=judges)
        link.start()
        until(lambda: link.connected, "no connection")
        return link

    def _hear(self, _terminal: str, envelope: bytes) -> bytes:
        self.heard.append(envelope)
        raise self.fails.pop() if self.fails else PaymentError("malformed", "of a test")


@pytest.fixture
def till(broker: Broker, authority: Authority) -> Any:
    client = Client(CallbackAPIVersion.VERSION2, "till-1", protocol=MQTTv5)
    client.tls_set_context(client_context(authority.issue_client("till-1")))
    client.connect(broker.host, broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def test_after_a_new_signing_key_no_worker_hears_under_the_name_that_followed_from_the_old_one(
    broker: Broker, authority: Authority, till: Client
) -> None:
    worker = Process(broker, authority, 1)
    worker.run("old").stop()
    link = worker.run("new")
    for said in (b"one", b"two"):
        till.publish(topic("till-1", "beacon-request"), said, qos=1)
    until(lambda: b"two" in worker.heard, "nothing came")
    link.stop()
    assert worker.heard.count(b"one") == 1


def test_a_register_that_was_alone_judges_nothing_once_it_has_workers(
    broker: Broker, authority: Authority, till: Client
) -> None:
    first = Process(broker, authority, 0)
    first.run().stop()
    link = first.run(judges=False)
    till.publish(topic("till-1", "beacon-request"), b"for the workers", qos=1)
    till.publish(topic("till-1", "status"), b"status", qos=1, retain=True)
    until(lambda: b"status" in first.heard, "no status came")
    link.stop()
    assert first.heard == [b"status"]


def test_a_worker_that_left_while_the_database_was_away_is_given_again_what_it_did_not_take(
    broker: Broker, authority: Authority, till: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "RETURN_S", 0.01)
    worker = Process(broker, authority, 1)
    worker.fails.append(StoreError("away"))
    link = worker.run("name")
    till.publish(topic("till-1", "beacon-request"), b"question", qos=1)
    until(lambda: worker.heard == [b"question"] * 2, "it was not given again")
    link.stop()
