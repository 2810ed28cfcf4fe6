"""mosquitto under its own configuration and access list, attacked with another terminal's certificate, or with none."""

import datetime
import itertools
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from firmware.link.topics import INBOUND, OUTBOUND, topic
from hil.rig import brokers
from hil.rig.brokers import MAX_PACKET_BYTES, Broker, client_context
from hil.rig.certificates import Authority, Identity
from tests.link.ends import WAIT_S, Client

REFUSED = "Not authorized"
STATUS, KEY_SET = topic("t-1", "status"), topic("t-1", "key-set")


class Line(NamedTuple):
    """A broker, and on it a backend, the terminal t-1, the rig's tap, and the attacker under the name t-2."""

    broker: Broker
    authority: Authority
    backend: Client
    victim: Client
    tap: Client
    attacker: Client

    def nothing_passed(self) -> None:
        """See that of all that was tried since the last look the tap has heard nothing."""
        self.backend.publish(topic("t-9", "intent"), b"end")
        assert self.tap.got.get(timeout=WAIT_S) == (topic("t-9", "intent"), b"end")

    def attacker_heard_nothing(self) -> None:
        """See that the attacker has heard nothing but what is for t-2, by whichever subscription."""
        self.backend.publish(topic("t-2", "intent"), b"for t-2")
        heard = {self.attacker.got.get(timeout=WAIT_S), *self.attacker.got.queue}
        assert heard == {(topic("t-2", "intent"), b"for t-2")}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, mosquitto_installed: None) -> Iterator[tuple[Broker, Authority]]:
    folder = tmp_path_factory.mktemp("broker")
    authority = Authority(folder / "ca")
    with brokers.mosquitto(folder / "broker", authority) as broker:
        yield broker, authority


@pytest.fixture
def line(standing: tuple[Broker, Authority], stack: ExitStack) -> Iterator[Line]:
    broker, authority = standing

    def joined(name: str, *topics: str) -> Client:
        return stack.enter_context(Client(broker, name, authority.issue_client(name), *topics, expiry_s=0))

    tap, backend = joined("tap", "tessera/v1/#"), joined("backend", *(topic("+", kind) for kind in OUTBOUND))
    victim = joined("t-1", *(topic("t-1", kind) for kind in INBOUND))
    yield Line(broker, authority, backend, victim, tap, joined("t-2", topic("t-2", "intent")))
    victim.publish(STATUS, b"", retain=True)
    backend.publish(KEY_SET, b"", retain=True)


def answer(broker: Broker, context: ssl.SSLContext) -> str:
    """What a CONNECT comes to: `Success`, the broker's reason, or the kind of error where there is no answer."""
    answers: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="x", protocol=mqtt.MQTTv5)
    client.on_connect = lambda *arguments: answers.append(str(arguments[3]))
    client.tls_set_context(context)
    try:
        client.connect(broker.host, broker.port, keepalive=5)
        while not answers and client.loop(WAIT_S) == mqtt.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
    except OSError as error:
        return type(error).__name__
    return answers[0] if answers else "hung up"


# -- who is let in -----------------------------------------------------------------------------------------------------


def test_no_certificate(standing: tuple[Broker, Authority]) -> None:
    broker, authority = standing
    assert answer(broker, ssl.create_default_context(cafile=str(authority.ca))) == "hung up"


def test_certificate_of_a_rogue_authority_of_the_same_name(standing: tuple[Broker, Authority], tmp_path: Path) -> None:
    broker, authority = standing
    rogue = Authority(tmp_path).issue_client("t-1")
    mixed = Identity(authority.ca, authority.crl, rogue.certificate, rogue.key)
    assert answer(broker, client_context(mixed)) == "hung up"


def test_expired_certificate(standing: tuple[Broker, Authority]) -> None:
    broker, authority = standing
    ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    assert answer(broker, client_context(authority.issue_client("t-5", ended))) == "hung up"


def test_revoked_certificate(standing: tuple[Broker, Authority]) -> None:
    broker, authority = standing
    taken, other = authority.issue_client("t-6"), authority.issue_client("t-7")
    assert answer(broker, client_context(taken)) == "Success"
    authority.revoke(taken)
    broker.reload()
    assert answer(broker, client_context(taken)) == "hung up"
    assert answer(broker, client_context(other)) == "Success"


def test_certificate_of_a_server_is_none_of_a_client(standing: tuple[Broker, Authority]) -> None:
    broker, authority = standing
    assert answer(broker, client_context(authority.issue_server())) == "hung up"


def test_tls_1_2(standing: tuple[Broker, Authority]) -> None:
    broker, authority = standing
    context = client_context(authority.issue_client("t-5"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert answer(broker, context) == "SSLError"


@pytest.mark.parametrize("name", ["+", "#"])
def test_certificate_named_as_a_filter_says_and_hears_nothing(line: Line, name: str) -> None:
    with Client(line.broker, name, line.authority.issue_client(name), topic("t-1", "intent"), expiry_s=0) as odd:
        assert str(odd.publish(topic("t-1", "decline"), b"forged")) == REFUSED
        line.backend.publish(topic("t-1", "intent"), b"for t-1")
        assert line.victim.got.get(timeout=WAIT_S) == line.tap.got.get(timeout=WAIT_S)
        assert odd.got.empty()


def test_client_id_of_another_is_not_taken_over(line: Line) -> None:
    lost = threading.Event()
    line.victim.mqtt.on_disconnect = lambda *_: lost.set()
    with Client(line.broker, "t-1", line.authority.issue_client("t-3"), topic("t-1", "intent")) as thief:
        line.backend.publish(topic("t-1", "intent"), b"for t-1")
        assert line.victim.got.get(timeout=WAIT_S) == (topic("t-1", "intent"), b"for t-1")
        assert thief.got.empty()
    assert not lost.is_set()


# -- what is said ------------------------------------------------------------------------------------------------------


def test_nothing_is_said_in_another_terminals_name(line: Line) -> None:
    for kind in OUTBOUND:
        assert str(line.attacker.publish(topic("t-1", kind), b"forged")) == REFUSED
    line.nothing_passed()


def test_nothing_is_said_in_the_backends_name_neither_to_another_nor_to_oneself(line: Line) -> None:
    for kind, name in itertools.product(INBOUND, ("t-1", "t-2", "backend")):
        assert str(line.attacker.publish(topic(name, kind), b"forged")) == REFUSED
    line.nothing_passed()
    assert line.victim.got.empty()


def test_nothing_is_left_with_the_broker_nor_taken_away(line: Line) -> None:
    line.victim.publish(STATUS, b"here", retain=True)
    line.backend.publish(KEY_SET, b"keys", retain=True)
    for where in (STATUS, KEY_SET, topic("t-2", "key-set"), topic("t-1", "intent"), "$SYS/x", "x"):
        assert line.attacker.publish(where, b"forged", retain=True).is_failure
        assert line.attacker.publish(where, b"", retain=True).is_failure
    line.backend.publish(topic("t-1", "intent"), b"end")
    passed = [line.tap.got.get(timeout=WAIT_S) for _ in range(3)]
    assert passed == [(STATUS, b"here"), (KEY_SET, b"keys"), (topic("t-1", "intent"), b"end")]
    worker = line.authority.issue_client("backend-1")
    with Client(line.broker, "backend-1", worker, topic("+", "status"), expiry_s=0) as late:
        assert late.got.get(timeout=WAIT_S) == (STATUS, b"here")
    line.victim.got.queue.clear()
    for kind in INBOUND:
        line.victim.subscribe(topic("t-1", kind))
    line.backend.publish(topic("t-1", "intent"), b"end")
    assert [line.victim.got.get(timeout=WAIT_S) for _ in range(2)] == [(KEY_SET, b"keys"), passed[2]]


def test_last_will_in_another_terminals_name(line: Line) -> None:
    """The broker takes it, and holds it against the access list when it is to be published."""
    own = topic("t-3", "status")
    for will in (STATUS, own):
        attacker = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="t-3", protocol=mqtt.MQTTv5)
        attacker.tls_set_context(client_context(line.authority.issue_client("t-3")))
        attacker.will_set(will, b"gone", qos=1)
        connected = threading.Event()
        attacker.on_connect = lambda *_, connected=connected: connected.set()
        attacker.connect(line.broker.host, line.broker.port)
        attacker.loop_start()
        assert connected.wait(WAIT_S)
        attacker.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
        attacker.loop_stop()
    assert line.tap.got.get(timeout=WAIT_S) == (own, b"gone")


def test_packet_larger_than_any_of_ours_ends_the_connection_unread(line: Line) -> None:
    gone: queue.Queue[ReasonCode] = queue.Queue()
    line.attacker.mqtt.on_disconnect = lambda *arguments: gone.put(arguments[3])
    line.attacker.mqtt.publish(topic("t-2", "decline"), b"x" * MAX_PACKET_BYTES, qos=1)
    assert gone.get(timeout=WAIT_S).is_failure
    line.nothing_passed()


# -- what is heard -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    ["#", "tessera/v1/#", "tessera/v1/+/intent", "+/+/+/+", "tessera/v1/t-1/#", "$SYS/#", "$share/mine/tessera/v1/#"],
)
def test_wildcard_and_shared_subscriptions_hear_nothing_of_others(line: Line, wanted: str) -> None:
    line.attacker.subscribe(wanted)
    for kind in INBOUND:
        line.backend.publish(topic("t-1", kind), kind.encode())
        assert line.victim.got.get(timeout=WAIT_S) == line.tap.got.get(timeout=WAIT_S)
    for sent in OUTBOUND:
        line.victim.publish(topic("t-1", sent), sent.encode())
        assert line.backend.got.get(timeout=WAIT_S) == line.tap.got.get(timeout=WAIT_S)
    line.attacker_heard_nothing()


def test_group_whose_name_a_terminal_knows_loses_a_share_to_it(line: Line) -> None:
    """A weakness of the broker: the access list does not look at who joins, and what it keeps back goes to nobody."""
    wanted = f"$share/known/{topic('+', 'authorization')}"
    with Client(line.broker, "backend-1", line.authority.issue_client("backend-1"), wanted, expiry_s=0) as worker:
        line.attacker.subscribe(wanted)
        for number in range(20):
            line.victim.publish(topic("t-1", "authorization"), str(number).encode())
        line.victim.publish(topic("t-1", "decline"), b"end")
        while line.backend.got.get(timeout=WAIT_S)[1] != b"end":
            continue
        worker.subscribe(topic("+", "decline"))
        line.victim.publish(topic("t-1", "decline"), b"end")
        heard = [worker.got.get(timeout=WAIT_S)]
        while heard[-1][1] != b"end":
            heard.append(worker.got.get(timeout=WAIT_S))
    assert len(heard) - 1 == 10
    line.attacker_heard_nothing()


def test_backend_of_several_workers_shares_under_a_name_that_no_terminal_knows(line: Line) -> None:
    wanted = topic("+", "authorization")
    line.attacker.subscribe(f"$share/tessera-backend/{wanted}")
    workers = [
        Client(
            line.broker, name, line.authority.issue_client(name), f"$share/known-to-workers-only/{wanted}", expiry_s=0
        )
        for name in ("backend-1", "backend-2")
    ]
    with workers[0], workers[1]:
        for number in range(10):
            line.victim.publish(topic("t-1", "authorization"), str(number).encode())
        got = {line.backend.got.get(timeout=WAIT_S)[1] for _ in range(10)}
        shared = [worker.got.get(timeout=WAIT_S)[1] for worker in workers for _ in range(5)]
    assert sorted(shared) == sorted(got)
    line.attacker_heard_nothing()
