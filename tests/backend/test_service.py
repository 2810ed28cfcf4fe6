"""The backend as a process, with mosquitto and its register: a payment, kill -9, a resend, a clean end."""

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import GuardianMandate, Mandate
from firmware.payment.trust import load_trust
from hil.backend.keys import create_backend_key, registration, save_registrations
from hil.backend.service import load_service_config
from hil.backend.simulator import SimulatedTerminal, new_element
from hil.rig.brokers import Broker, client_context, free_port, mosquitto
from hil.rig.certificates import Authority, Identity

TOKEN = "a-register-token-of-the-test"
WAIT_S = 20.0


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition of another process."""
    deadline = time.monotonic() + WAIT_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, what
        pause.wait(0.05)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def broker(tmp_path: Path, authority: Authority, mosquitto_installed: None) -> Iterator[Broker]:
    """mosquitto with mutual TLS."""
    with mosquitto(tmp_path / "broker", authority) as broker:
        yield broker


class Service:
    """The backend's process and a cash register that calls it."""

    def __init__(self, folder: Path, broker: Broker, identity: Identity) -> None:
        self.folder, port = folder, free_port()
        create_backend_key(folder / "backend.pem", folder / "backend-keys.json")
        (folder / "token").write_text(TOKEN)
        (folder / "backend.toml").write_text(
            f'store = "backend.db"\nkey = "backend.pem"\nterminals = "terminals.json"\ntoken = "token"\nport = {port}\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'[broker.tls]\nca = "{identity.ca}"\ncertificate = "{identity.certificate}"\nkey = "{identity.key}"\n'
        )
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.register = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False)

    def start(self) -> None:
        config = str(self.folder / "backend.toml")
        self.process = subprocess.Popen([sys.executable, "-m", "hil.backend", "--config", config])
        until(self._up, "the backend does not come up")

    def _up(self) -> bool:
        assert self.process.poll() is None, "the backend ended"
        try:
            return bool(self.register.get("/health").json()["broker"])
        except httpx.TransportError:
            return False


@pytest.fixture
def service(tmp_path: Path, broker: Broker, authority: Authority) -> Iterator[Service]:
    service = Service(tmp_path, broker, authority.issue_client("backend"))
    yield service
    service.register.close()
    service.process.kill()
    service.process.wait(WAIT_S)


def test_a_payment_survives_kill_minus_nine_of_the_backend(
    tmp_path: Path, service: Service, broker: Broker, authority: Authority
) -> None:
    terminal = SimulatedTerminal(tmp_path / "till.db", load_trust(tmp_path / "backend-keys.json"), new_element())
    known = registration("till-1", terminal.merchant, "demo", terminal.element.public_key)
    save_registrations(tmp_path / "terminals.json", [known])
    service.start()

    came: queue.Queue[bytes] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2, "till-1", protocol=MQTTv5)
    client.on_message = lambda _client, _data, message: came.put(bytes(message.payload))
    subscribed: queue.Queue[int] = queue.Queue()
    client.on_subscribe = lambda _client, _data, mid, _codes, _properties: subscribed.put(mid)
    client.tls_set_context(client_context(authority.issue_client("till-1")))
    client.connect(broker.host, broker.port)
    client.subscribe([("tessera/v1/till-1/intent", 1), ("tessera/v1/till-1/receipt", 1)])
    client.loop_start()
    subscribed.get(timeout=WAIT_S)

    register = service.register
    consent = {"terminal": "till-1", "payer": "payer-7", "purpose": "payment", "consent_hash": "ab" * 32}
    mandate = bytes.fromhex(register.post("/mandates", json=consent).json()["mandate"])
    child = {"terminal": "till-1", "consent_hash": "ab" * 32, "verifier": "school-office", "method": "document"}
    answer = register.post("/guardian-mandates", json=child)
    _, for_child = schema.verify(bytes.fromhex(answer.json()["mandate"]), GuardianMandate, terminal.trust.resolve)
    assert (for_child.verifier, for_child.method) == ("school-office", "document")
    assert register.post("/guardian-mandates", json=child | {"method": "By Word"}).json()["code"] == "schema"
    order = {"terminal": "till-1", "amount": "12.50", "currency": "EUR", "payer": "payer-7"}
    asked = register.post("/intents", json=order)
    assert asked.status_code == 201
    where = f"/intents/{asked.json()['intent']}"
    assert register.get(where).json()["state"] == "open"

    now = int(time.time())
    accepted = terminal.open(came.get(timeout=WAIT_S), now)
    authorization = terminal.authorize(accepted, schema.verify(mandate, Mandate, terminal.trust.resolve)[1].id, now)
    client.publish("tessera/v1/till-1/authorization", authorization, qos=1)
    first = came.get(timeout=WAIT_S)
    service.process.kill()
    service.process.wait(WAIT_S)
    service.start()
    client.publish("tessera/v1/till-1/authorization", authorization, qos=1)
    assert came.get(timeout=WAIT_S) == first
    assert terminal.outbox.settle(first, terminal.trust, "till-1").outcome == "approved"
    assert register.get(where).json()["state"] == "approved"

    assert register.post("/intents", json=order | {"currency": "XXX"}).json()["code"] == "currency"
    assert register.post("/intents", json=order | {"extra": 1}).status_code == 422
    assert register.get(where, headers={"Authorization": "Bearer no"}).status_code == 401
    client.disconnect()
    client.loop_stop()
    terminal.outbox.close()

    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(WAIT_S) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing required field"),
        ('stroe = "x"', "unknown field"),
        ('store="s"\nkey="k"\nterminals="t"\ntoken="o"\nport=1\n[broker]\nhost="10.0.0.1"\nport=1883', "without TLS"),
        ("not toml", "Expected"),
    ],
)
def test_a_configuration_that_cannot_be_used_says_why(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "backend.toml"
    path.write_text(text)
    with pytest.raises(PaymentError, match=reason):
        load_service_config(path)
