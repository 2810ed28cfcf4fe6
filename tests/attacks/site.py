"""One site for the attacks: mosquitto with mutual TLS, the backend as a process, a terminal of its own for each test.

Each terminal has a certificate, a registered key, an outbox and a real MQTT client; whoever holds it signs and sends
what they like. What the backend knows is read from its database, table by table, before and after.
"""

import hashlib
import queue
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any

import msgspec
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from firmware.link.topics import INBOUND
from firmware.payment import schema
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import Allowance, Authorization, Beacon, BeaconRequest, Decline, Mandate, Receipt
from firmware.payment.trust import Trust, key_id, load_trust
from hil.backend.keys import load_backend_key, registration, save_registrations, signer
from hil.backend.simulator import SimulatedTerminal, new_element
from hil.rig.brokers import Broker, client_context
from hil.rig.certificates import Authority
from tests.backend.service import WAIT_S, Service

PAYER = "payer-7"
CONSENT = "ab" * 32
METHOD = "bank_app"  # as a desk would say it
TERMINALS = 120  # one for each test, and more
REVOKED, LATE, STRANGER = "revoked", "late", "stranger"
UNCOUNTED = "uncounted"  # its element does not count in hardware; the others' do
World = dict[str, set[tuple[object, ...]]]  # table -> rows


def _no_delay(_client: Client, _data: None, opened: Any) -> None:
    """Else Nagle's algorithm holds every small packet back for 40 ms."""
    opened.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


class Wire:
    """A connection to the broker under one certificate."""

    def __init__(self, broker: Broker, authority: Authority, name: str, *topics: str) -> None:
        """Connect, and hear `topics`."""
        self.name, self.came = name, queue.Queue[tuple[str, bytes]]()
        ready: queue.Queue[None] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTv5)
        self._client.tls_set_context(client_context(authority.issue_client(name)))
        self._client.on_socket_open = _no_delay
        self._client.on_connect = lambda *_: ready.put(None)
        self._client.on_subscribe = lambda *_: ready.put(None)
        self._client.on_message = lambda _client, _data, message: self.came.put((message.topic, bytes(message.payload)))
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        ready.get(timeout=WAIT_S)
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])
            ready.get(timeout=WAIT_S)

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish it and wait for the broker's acknowledgement."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def hear(self, kind: str) -> bytes:
        """The next message on a topic of this kind; others are passed over. Raises queue.Empty."""
        while True:
            topic, payload = self.came.get(timeout=WAIT_S)
            if topic.endswith(f"/{kind}"):
                return payload

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Site:
    """Broker and backend. `more` is appended to the backend's configuration."""

    def __init__(
        self, folder: Path, broker: Broker, authority: Authority, profile: str = "demo", more: str = ""
    ) -> None:
        self.folder, self.broker, self.authority = folder, broker, authority
        self.service = Service(folder, broker, authority)
        with self.service.config.open("a") as config:
            config.write(f'[certifier]\nca = "{authority.ca}"\nkey = "{authority.key}"\n{more}')
        self.trust: Trust = load_trust(folder / "backend-keys.json")
        self.key = load_backend_key(folder / "backend.pem")
        self.kid = key_id(self.key.public_key())
        names = [*(f"till-{number}" for number in range(TERMINALS)), REVOKED, LATE, UNCOUNTED]
        self.elements = {name: new_element() for name in [*names, STRANGER]}
        known = {
            name: registration(name, SimulatedTerminal.merchant, profile, self.elements[name].public_key)
            for name in names
        }
        known |= {name: msgspec.structs.replace(known[name], counter=name != UNCOUNTED) for name in names}
        known[REVOKED] = msgspec.structs.replace(known[REVOKED], revoked=True)
        known[LATE] = msgspec.structs.replace(known[LATE], since=int(time.time()) + 3600)
        save_registrations(folder / "terminals.json", list(known.values()))
        self._unused = iter(names[:TERMINALS])
        self.service.start()

    def terminal(self, name: str | None = None) -> "Terminal":
        """The next terminal that nobody used, or the one of this name."""
        return Terminal(self, name or next(self._unused))

    def close(self) -> None:
        self.service.close()

    def post(self, path: str, body: Mapping[str, object], status: int = 201) -> Any:
        """What the register answers to a call."""
        answer = self.service.register.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def sealed(self, message: schema.Message) -> bytes:
        """Signed by the backend's own key."""
        return schema.sign(message, signer(self.key), self.kid)

    def world(self) -> World:
        """Everything the backend knows."""
        with closing(sqlite3.connect(f"file:{self.folder / 'backend.db'}?mode=ro", uri=True)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: set(db.execute(f'SELECT * FROM "{name}"')) for name in names}


def difference(before: World, after: World) -> World:
    """Every row that is gone or new, by table."""
    return {name: before.get(name, set()) ^ rows for name, rows in after.items() if before.get(name) != rows}


class Terminal:
    """One terminal and its wire, in whoever's hands; it has asked the desk for a mandate of `PAYER`."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name
        self.device = SimulatedTerminal(site.folder / f"{name}.db", site.trust, site.elements[name], name)
        self.wire = Wire(site.broker, site.authority, name, *(self.topic(kind) for kind in INBOUND))
        self._mandate: bytes | None = None

    def close(self) -> None:
        self.wire.close()
        self.device.outbox.close()

    @property
    def mandate(self) -> bytes:
        """The id of its mandate."""
        if self._mandate is None:
            self._mandate = self.new_mandate()
        return self._mandate

    def new_mandate(self, **other: str) -> bytes:
        """The id of one more, for another terminal, payer or purpose."""
        body = {"terminal": self.name, "payer": PAYER, "purpose": "payment", "consent_hash": CONSENT, "method": METHOD}
        body |= other
        envelope = bytes.fromhex(self.site.post("/mandates", body)["mandate"])
        return schema.verify(envelope, Mandate, self.site.trust.resolve)[1].id

    def topic(self, kind: str) -> str:
        return f"tessera/v1/{self.name}/{kind}"

    def ask(self, amount: str = "12.50", currency: str = "EUR", assurance: str = "geometry") -> tuple[str, bytes]:
        """Have the register ask for a payment here; its id, and its envelope as it came over the broker."""
        body = {"terminal": self.name, "amount": amount, "currency": currency, "payer": PAYER, "assurance": assurance}
        return self.site.post("/intents", body)["intent"], self.wire.hear("intent")

    def opened(self, amount: str = "12.50", currency: str = "EUR", assurance: str = "geometry") -> AcceptedIntent:
        """An intent that came and was accepted."""
        return self.device.open(self.ask(amount, currency, assurance)[1], int(time.time()))

    def cancel(self, intent: bytes) -> str:
        """Have the register take it back; how it stands then."""
        return str(self.site.post(f"/intents/{intent.hex()}/cancel", {}, 200)["state"])

    def authorized(self, amount: str = "12.50", currency: str = "EUR") -> bytes:
        """An honest authorization of a new intent."""
        return self.device.authorize(self.opened(amount, currency), self.mandate, int(time.time()))

    def allowance(self) -> Allowance:
        """What it may take while its link is down, by the backend's next beacon."""
        asked = BeaconRequest(terminal=self.name, nonce=bytes(32), counter=0, waiting=0)
        self.wire.say(self.topic("beacon-request"), schema.sign(asked, self.device.element.sign, self.device.kid))
        return schema.verify(self.wire.hear("beacon"), Beacon, self.site.trust.resolve)[1].allowance

    def altered(self, **changes: object) -> bytes:
        """One that differs from the honest one, signed by the terminal's own key."""
        return self.sign(msgspec.structs.replace(self.read(self.authorized()), **changes))

    def read(self, envelope: bytes) -> Authorization:
        return self.device.read(envelope)

    def sign(self, message: Authorization | Decline) -> bytes:
        return self.device.sign(message)

    def send(self, envelope: bytes, kind: str = "authorization") -> tuple[Receipt, bytes]:
        """Publish it on this terminal's topic; its receipt, verified, and the receipt's bytes."""
        digest = hashlib.sha256(envelope).digest()
        self.wire.say(self.topic(kind), envelope)
        while True:
            came = self.wire.hear("receipt")
            receipt = schema.verify(came, Receipt, self.site.trust.resolve)[1]
            if receipt.digest == digest:
                return receipt, came

    def code(self, envelope: bytes, kind: str = "authorization") -> str:
        """The code of its receipt, or the outcome where there is none."""
        receipt, _ = self.send(envelope, kind)
        return receipt.code or receipt.outcome

    def state(self, intent: bytes) -> str:
        """How an intent stands, by the register."""
        return self.site.service.state(intent.hex())
