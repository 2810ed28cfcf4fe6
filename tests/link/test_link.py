"""The link process against real brokers: envelopes arrive, strangers get nothing, nothing is lost on the way."""

import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from firmware.link.broker import Broker as LinkBroker
from firmware.link.topics import INBOUND, OUTBOUND, inbound_kind, topic
from firmware.runtime.config import LinkConfig, TlsConfig
from firmware.runtime.ipc import IpcError
from firmware.runtime.messages import MAX_ENVELOPE_BYTES, Delivered, Inbound, LinkState, Outbound, Publish
from hil.rig import brokers
from hil.rig.brokers import Broker
from hil.rig.certificates import Authority, Identity
from tests.link.ends import ROOT, WAIT_S, WILL, Client, Core, Link, link_core

pytestmark = pytest.mark.usefixtures("mosquitto_installed")

INTENT, RECEIPT = "tessera/v1/t-1/intent", "tessera/v1/t-1/receipt"
AUTHORIZATION, DECLINE = "tessera/v1/t-1/authorization", "tessera/v1/t-1/decline"

CONFIG = """
profile = "demo"
terminal = "t-1"
merchant = "m-1"
state_dir = "state"
run_dir = "run"
models_dir = "models"
[camera]
source = "virtual"
[secure_element]
backend = "software"
[link]
host = "127.0.0.1"
port = {port}
[backend]
root = "root.json"
keys = "key-set.cose"
"""
TLS = """
[link.tls]
ca = "{identity.ca}"
crl = "{identity.crl}"
certificate = "{identity.certificate}"
key = "{identity.key}"
"""


class Line(NamedTuple):
    """A broker with mutual TLS, the backend on it, a core, and between them a link that has connected."""

    broker: Broker
    authority: Authority
    backend: Client
    core: Core


def write_config(folder: Path, port: int, identity: Identity | None) -> Path:
    path = folder / "terminal.toml"
    path.write_text(CONFIG.format(port=port) + (TLS.format(identity=identity) if identity else ""))
    return path


def link_settings(broker: Broker, identity: Identity | None) -> LinkConfig:
    if identity is None:
        return LinkConfig(host=broker.host, port=broker.port)
    tls = TlsConfig(
        ca=str(identity.ca), crl=str(identity.crl), certificate=str(identity.certificate), key=str(identity.key)
    )
    return LinkConfig(host=broker.host, port=broker.port, tls=tls)


def link_broker(
    settings: LinkConfig,
    on_envelope: Callable[[Inbound, bytes], None] = lambda *_: None,
    on_state: Callable[[bool, str], None] = lambda *_: None,
) -> LinkBroker:
    return LinkBroker(settings, "t-1", WILL, time.time, on_envelope, on_state)


@pytest.fixture
def line(folder: Path, stack: ExitStack) -> Line:
    authority = Authority(folder / "certificates")
    broker = stack.enter_context(brokers.mosquitto(folder / "broker", authority))
    backend = stack.enter_context(Client(broker, "backend", authority.issue_client("backend"), AUTHORIZATION, DECLINE))
    core = stack.enter_context(link_core(folder))
    stack.enter_context(Link(write_config(folder, broker.port, authority.issue_client("t-1"))))
    assert core.hears(LinkState).connected
    return Line(broker, authority, backend, core)


def test_envelopes_pass_both_ways_over_mutual_tls(line: Line) -> None:
    line.backend.publish(INTENT, b"an intent")
    assert line.core.hears(Delivered) == Delivered(kind="intent", envelope=b"an intent")
    line.core.say(Publish(kind="authorization", envelope=b"an authorization"))
    assert line.backend.got.get(timeout=WAIT_S) == (AUTHORIZATION, b"an authorization")
    line.core.say(Publish(kind="decline", envelope=b"a decline"))
    assert line.backend.got.get(timeout=WAIT_S) == (DECLINE, b"a decline")
    line.backend.publish(RECEIPT, b"\x00" * MAX_ENVELOPE_BYTES)
    assert line.core.hears(Delivered).kind == "receipt"


@pytest.mark.parametrize("kind", OUTBOUND)
def test_every_kind_goes_out_on_its_topic_and_only_the_status_is_kept(line: Line, kind: Outbound) -> None:
    topics = [topic("t-1", kind) for kind in OUTBOUND]
    with Client(line.broker, "backend-1", line.authority.issue_client("backend-1"), *topics) as hearing:
        line.core.say(Publish(kind=kind, envelope=b"signed"))
        assert hearing.got.get(timeout=WAIT_S) == (topic("t-1", kind), b"signed")
    with Client(line.broker, "backend-2", line.authority.issue_client("backend-2"), *topics) as late:
        if kind == "status":
            assert late.got.get(timeout=WAIT_S) == (topic("t-1", kind), b"signed")
        line.core.say(Publish(kind="decline", envelope=b"the next"))
        assert late.got.get(timeout=WAIT_S) == (DECLINE, b"the next")


def test_every_kind_comes_in_by_its_topic(line: Line) -> None:
    for kind in INBOUND:
        line.backend.publish(topic("t-1", kind), kind.encode())
        assert line.core.hears(Delivered) == Delivered(kind=kind, envelope=kind.encode())


def test_of_what_the_broker_kept_only_a_key_set_is_taken(folder: Path, stack: ExitStack) -> None:
    authority = Authority(folder / "certificates")
    broker = stack.enter_context(brokers.mosquitto(folder / "broker", authority))
    backend = stack.enter_context(Client(broker, "backend", authority.issue_client("backend")))
    for kind in INBOUND:
        backend.mqtt.publish(topic("t-1", kind), kind.encode(), qos=1, retain=True)
    backend.publish("tessera/v1/t-2/intent", b"acknowledged after all of these")
    core = stack.enter_context(link_core(folder))
    stack.enter_context(Link(write_config(folder, broker.port, authority.issue_client("t-1"))))
    assert core.hears(Delivered) == Delivered(kind="key-set", envelope=b"key-set")
    backend.publish(INTENT, b"fresh")
    assert core.hears(Delivered) == Delivered(kind="intent", envelope=b"fresh")


def test_killed_broker_comes_back_and_so_does_the_link(line: Line) -> None:
    line.broker.kill()
    lost = line.core.hears(LinkState)
    assert not lost.connected
    assert "disconnected" in lost.detail
    line.broker.start()
    line.core.hears(LinkState, lambda state: state.connected)
    line.backend.publish(INTENT, b"after the power cut")
    assert line.core.hears(Delivered).envelope == b"after the power cut"
    line.core.say(Publish(kind="authorization", envelope=b"still here"))
    assert line.backend.got.get(timeout=WAIT_S) == (AUTHORIZATION, b"still here")


def test_what_came_while_core_was_away_outlives_a_power_cut_of_the_broker(folder: Path, stack: ExitStack) -> None:
    authority = Authority(folder / "certificates")
    broker = stack.enter_context(brokers.mosquitto(folder / "broker", authority))
    backend = stack.enter_context(Client(broker, "backend", authority.issue_client("backend")))
    config = write_config(folder, broker.port, authority.issue_client("t-1"))
    with link_core(folder) as core, Link(config):
        assert core.hears(LinkState).connected
    backend.publish(INTENT, b"are you there")
    # a PUBACK is not durability: this one, acknowledged at the instant of the cut, may be lost
    backend.publish(INTENT, b"perhaps")
    broker.kill()
    broker.start()
    with link_core(folder) as core, Link(config):
        assert core.hears(Delivered).envelope == b"are you there"


def test_intent_that_core_could_not_take_comes_again(folder: Path, stack: ExitStack) -> None:
    """Core dies with the intent on its way: unacknowledged, it is the broker's to deliver again."""
    broker = stack.enter_context(brokers.embedded(folder / "broker"))
    backend = stack.enter_context(Client(broker, "backend", None))
    settings, tried, taken = link_settings(broker, None), threading.Event(), threading.Event()

    def fail(kind: Inbound, envelope: bytes) -> None:
        tried.set()
        raise IpcError("core has gone")

    up = threading.Event()
    with link_broker(settings, fail, lambda *_: up.set()):
        assert up.wait(WAIT_S)
        backend.publish(INTENT, b"an intent")
        assert tried.wait(WAIT_S)
    with link_broker(settings, lambda *_: taken.set(), lambda *_: None):
        assert taken.wait(WAIT_S)


@pytest.mark.parametrize("trusts_the_server", [True, False])
def test_rogue_authority_gets_no_session_and_gives_none(folder: Path, line: Line, trusts_the_server: bool) -> None:
    identity = Authority(folder / "rogue").issue_client("t-1")
    if trusts_the_server:
        identity = Identity(line.authority.ca, line.authority.crl, identity.certificate, identity.key)
    states: queue.Queue[tuple[bool, str]] = queue.Queue()
    settings = link_settings(line.broker, identity)
    with link_broker(settings, lambda *_: None, lambda *state: states.put(state)):
        connected, detail = states.get(timeout=WAIT_S)
        assert not connected
        assert str(line.broker.port) in detail
    # and the rightful session was not disturbed
    line.backend.publish(INTENT, b"for t-1")
    assert line.core.hears(Delivered).envelope == b"for t-1"
    assert line.core.said.empty()


def test_another_terminal_can_neither_publish_as_us_nor_hear_nor_displace_us(line: Line) -> None:
    """A valid certificate of t-2 claims to be t-1: client id, topics and all."""
    identity = line.authority.issue_client("t-2")
    heard: queue.Queue[tuple[Inbound, bytes]] = queue.Queue()
    up, refused = threading.Event(), threading.Event()

    def take(kind: Inbound, envelope: bytes) -> None:
        heard.put((kind, envelope))

    def answered(*arguments: Any) -> None:
        link._published(*arguments)
        refused.set()

    with link_broker(link_settings(line.broker, identity), take, lambda *_: up.set()) as link:
        assert up.wait(WAIT_S)
        link._client.on_publish = answered
        link.publish("authorization", b"forged")
        assert refused.wait(WAIT_S)
        assert link.dropped == {"refused by the broker: Not authorized": 1}
        line.backend.publish(INTENT, b"for t-1 only")
        assert line.core.hears(Delivered).envelope == b"for t-1 only"
        assert heard.empty()
    assert line.backend.got.empty()
    assert line.core.said.empty()


def test_stale_subscription_of_an_old_session_is_dropped_counted_and_acknowledged(
    folder: Path, stack: ExitStack
) -> None:
    broker = stack.enter_context(brokers.embedded(folder / "broker"))
    with Client(broker, "t-1", None, "tessera/v1/t-1/firmware"):
        pass
    heard: queue.Queue[bytes] = queue.Queue()
    up = threading.Event()
    link = stack.enter_context(
        link_broker(link_settings(broker, None), lambda _, envelope: heard.put(envelope), lambda *_: up.set())
    )
    assert up.wait(WAIT_S)
    backend = stack.enter_context(Client(broker, "backend", None))
    backend.publish("tessera/v1/t-1/firmware", b"not an envelope of ours")
    backend.publish(INTENT, b"x" * (MAX_ENVELOPE_BYTES + 1))
    backend.publish(INTENT, b"an intent")
    assert heard.get(timeout=WAIT_S) == b"an intent"
    assert link.dropped == {"unknown topic": 1, "too large to take": 1}
    link.publish("decline", b"x" * (MAX_ENVELOPE_BYTES + 1))
    assert link.dropped["too large to send"] == 1


def test_connect_names_every_limit_and_the_last_will() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_S)
        settings = LinkConfig(host="127.0.0.1", port=listener.getsockname()[1])
        with link_broker(settings):
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(WAIT_S)
                head = accepted.recv(2, socket.MSG_WAITALL)
                packet = accepted.recv(head[1], socket.MSG_WAITALL)
    # MQTT 5, 3.1.2.11: session expiry 24 h, receive maximum 20, maximum packet size 5120; 3.1.3.2: will delay 5 s
    for named in ("1100015180", "210014", "2700001400", "1800000005"):
        assert bytes.fromhex(named) in packet, named
    will_kept_at_least_once, clean_start = 0b101100, 0b10
    assert packet[7] == will_kept_at_least_once
    assert not packet[7] & clean_start
    assert topic("t-1", "status").encode() in packet
    assert packet.endswith(WILL)


def test_reconnecting_is_spread_out_at_random_and_over_ever_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[list[float]] = []
    for _ in range(2):
        link, waited = link_broker(LinkConfig(host="127.0.0.1", port=1)), list[float]()
        monkeypatch.setattr(link._client, "reconnect_delay_set", lambda least, _most, into=waited: into.append(least))
        for _ in range(6):
            link._not_connected(None, None)
        waits.append(waited)
    for base, *both in zip((1, 2, 4, 8, 8, 8), *waits, strict=True):
        assert all(0.5 * base <= wait <= 1.5 * base for wait in both)
    assert waits[0] != waits[1]


def test_full_queue_drops_rather_than_grows(folder: Path) -> None:
    with link_broker(LinkConfig(host="127.0.0.1", port=1), lambda *_: None, lambda *_: None) as link:
        for _ in range(200):
            link.publish("authorization", b"x")
        assert 0 < link.dropped["queue full"] < 200


def test_demo_broker_carries_the_same_envelopes(folder: Path, stack: ExitStack) -> None:
    broker = stack.enter_context(brokers.embedded(folder / "broker"))
    backend = stack.enter_context(Client(broker, "backend", None, AUTHORIZATION))
    core = stack.enter_context(link_core(folder))
    stack.enter_context(Link(write_config(folder, broker.port, None)))
    assert core.hears(LinkState).connected
    backend.publish(INTENT, b"an intent")
    assert core.hears(Delivered).envelope == b"an intent"
    core.say(Publish(kind="authorization", envelope=b"an authorization"))
    assert backend.got.get(timeout=WAIT_S) == (AUTHORIZATION, b"an authorization")


def test_absent_broker_and_missing_key_are_told_to_core(folder: Path, stack: ExitStack) -> None:
    identity = Authority(folder / "certificates").issue_client("t-1")
    core = stack.enter_context(link_core(folder))
    with Link(write_config(folder, 1, identity)):
        state = core.hears(LinkState)
        assert not state.connected
        assert "127.0.0.1:1: cannot connect" in state.detail
        assert "refused" in state.detail
    identity.key.unlink()
    with Link(write_config(folder, 1, identity)):
        state = core.hears(LinkState)
        assert not state.connected
        assert f"link.tls.key: {identity.key}: No such file" in state.detail


def test_link_ends_promptly_when_asked(folder: Path) -> None:
    link = Link(write_config(folder, 1, None))
    with link_core(folder) as core:
        core.hears(LinkState)
        link.popen.send_signal(signal.SIGTERM)
        assert link.popen.wait(3.0) == 0


def test_link_process_knows_nothing_of_payment_faces_or_keys() -> None:
    script = "import sys, firmware.link.__main__; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True).split()
    forbidden = ("firmware.payment", "firmware.vision", "firmware.gallery", "firmware.core", "cbor2", "cv2")
    assert not [name for name in loaded if name.startswith(forbidden)]


@pytest.mark.parametrize(
    "received", ["tessera/v1/t-2/intent", "tessera/v1/t-1/authorization", "tessera/v1/t-1/intent/x", "", INTENT + " "]
)
def test_only_our_own_topics_are_ours(received: str) -> None:
    assert inbound_kind("t-1", INTENT) == "intent"
    assert inbound_kind("t-1", received) is None
