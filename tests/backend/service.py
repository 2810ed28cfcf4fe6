"""The backend as processes, with mosquitto and a till of real keys and a real MQTT client."""

import contextlib
import hashlib
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from firmware.payment import schema
from firmware.payment.messages import Mandate, Receipt
from firmware.payment.trust import load_trust
from hil.backend.keys import create_backend_key, create_root, registration, save_registrations, sign_key_set
from hil.backend.simulator import SimulatedTerminal, new_element
from hil.rig.brokers import Broker, client_context, free_port
from hil.rig.certificates import Authority

TOKEN = "a-register-token-of-the-test"
WAIT_S = 60.0
RESEND_S = 0.5


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition of another process."""
    deadline = time.monotonic() + WAIT_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, what
        pause.wait(0.05)


class Service:
    """The backend's processes and a cash register that calls them."""

    def __init__(self, folder: Path, broker: Broker, authority: Authority) -> None:
        self.folder, port = folder, free_port()
        first, *_ = [authority.issue_client(name) for name in ("backend", "backend-1", "backend-2")]
        certificate, key = (path.with_stem("backend{worker}") for path in (first.certificate, first.key))
        signing = create_backend_key(folder / "backend.pem", folder / "backend-keys.json").public_key()
        root = create_root(folder / "root.key", folder / "root.json")
        (folder / "key-set.cose").write_bytes(sign_key_set(root, [signing], version=1, now=int(time.time())))
        (folder / "token").write_text(TOKEN)
        self.config = folder / "backend.toml"
        self.config.write_text(
            f'store = "backend.db"\nkey = "backend.pem"\nterminals = "terminals.json"\ntoken = "token"\nport = {port}\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'[broker.tls]\nca = "{first.ca}"\ncrl = "{first.crl}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
        )
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.register = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, program: Sequence[str] = ("-m", "hil.backend", "--config"), *more: str) -> None:
        """Start it, `program CONFIG more`, and wait until its register answers and has its broker."""
        self.process = subprocess.Popen([sys.executable, *program, str(self.config), *more])
        self._processes.append(self.process)
        until(self._up, "the backend does not come up")

    def close(self) -> None:
        """End everything."""
        self.register.close()
        for process in self._processes:
            process.kill()
            process.wait(WAIT_S)

    def state(self, intent: str) -> str:
        """How an intent stands."""
        return str(self.register.get(f"/intents/{intent}").json()["state"])

    def metrics(self) -> str:
        """What it counted."""
        return self.register.get("/metrics").text

    def _up(self) -> bool:
        assert self.process.poll() is None, "the backend ended"
        try:
            return bool(self.register.get("/health").json()["broker"])
        except httpx.TransportError:
            return False


class Till:
    """Terminal `till-1`: receipts that come are in `came`."""

    def __init__(self, folder: Path, service: Service, broker: Broker, authority: Authority) -> None:
        self.terminal = SimulatedTerminal(
            folder / "till.db", load_trust(folder / "backend-keys.json"), new_element(), "till-1"
        )
        known = registration("till-1", self.terminal.merchant, "demo", self.terminal.element.public_key)
        save_registrations(folder / "terminals.json", [known])
        self.service, self.came, self._settled = service, queue.Queue[bytes](), set[bytes]()
        subscribed: queue.Queue[int] = queue.Queue()
        self.client = Client(CallbackAPIVersion.VERSION2, "till-1", protocol=MQTTv5)
        self._intents = queue.Queue[bytes]()
        self.client.on_message = lambda _client, _data, message: self._sorted(message.topic, bytes(message.payload))
        self.client.on_subscribe = lambda _client, _data, mid, _codes, _properties: subscribed.put(mid)
        self.client.tls_set_context(client_context(authority.issue_client("till-1")))
        self.client.connect(broker.host, broker.port)
        self.client.subscribe([("tessera/v1/till-1/intent", 1), ("tessera/v1/till-1/receipt", 1)])
        self.client.loop_start()
        subscribed.get(timeout=WAIT_S)

    def close(self) -> None:
        """Leave the broker."""
        self.client.disconnect()
        self.client.loop_stop()
        self.terminal.outbox.close()

    def mandate(self) -> bytes:
        """The id of a new mandate of payer-7."""
        consent = {"terminal": "till-1", "payer": "payer-7", "purpose": "payment", "consent_hash": "ab" * 32}
        envelope = bytes.fromhex(self.service.register.post("/mandates", json=consent).json()["mandate"])
        return schema.verify(envelope, Mandate, self.terminal.trust.resolve)[1].id

    def asked(self) -> str:
        """Have the register ask for 12.50; returns the intent's id in hex, its envelope is on its way."""
        order = {"terminal": "till-1", "amount": "12.50", "currency": "EUR", "payer": "payer-7"}
        answer = self.service.register.post("/intents", json=order)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["intent"])

    def authorize(self, mandate: bytes) -> bytes:
        """Sign the next intent that comes."""
        now = int(time.time())
        accepted = self.terminal.open(self._intents.get(timeout=WAIT_S), now)
        return self.terminal.authorize(accepted, mandate, now)

    def send(self, authorization: bytes) -> None:
        """Publish it, once."""
        self.client.publish("tessera/v1/till-1/authorization", authorization, qos=1)

    def answered(self, authorization: bytes) -> Receipt:
        """Publish it again and again, as an outbox does, until its receipt has come; those of before may come twice."""
        digest, end_s = hashlib.sha256(authorization).digest(), time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            self.send(authorization)
            with contextlib.suppress(queue.Empty):
                while (receipt := self.receipt(RESEND_S)).digest != digest:
                    pass
                return receipt
        raise AssertionError("no receipt")

    def receipt(self, wait_s: float = WAIT_S) -> Receipt:
        """The next receipt, settled where it was not. Raises queue.Empty."""
        settled = self.came.get(timeout=wait_s)
        receipt = schema.verify(settled, Receipt, self.terminal.trust.resolve)[1]
        if receipt.digest not in self._settled:
            self._settled.add(receipt.digest)
            self.terminal.outbox.settle(settled, self.terminal.trust, "till-1")
        return receipt

    def _sorted(self, topic: str, payload: bytes) -> None:
        (self._intents if topic.endswith("/intent") else self.came).put(payload)
