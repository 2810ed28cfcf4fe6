"""The backend's process and its fleet over mosquitto: key sets, time, statuses, certificates, and files replaced."""

import collections
import queue
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cryptography import x509
from typer.testing import CliRunner

from firmware.link.topics import topic
from firmware.payment import authorize, schema
from firmware.payment.messages import Beacon, BeaconRequest, CertificateGrant
from firmware.runtime.messages import Outbound
from hil.backend import registry, rotation
from hil.backend.command import backend
from hil.backend.fleet_view import FleetView
from hil.backend.keys import replace
from tests.backend.fleet import asked_by, said_by
from tests.backend.service import WAIT_S, Service, Till, until

NONCE = bytes(range(32))


class Ear:
    """What comes to till-1, by kind."""

    def __init__(self, till: Till) -> None:
        self._came: dict[str, queue.Queue[bytes]] = collections.defaultdict(queue.Queue)
        till.client.on_message = self._heard
        till.client.subscribe([(topic("till-1", kind), 1) for kind in ("beacon", "key-set", "certificate")])

    def next(self, kind: str) -> bytes:
        """The next of this kind."""
        return self._came[kind].get(timeout=WAIT_S)

    def nothing(self, kind: str) -> bool:
        """Whether none has come."""
        return self._came[kind].empty()

    def _heard(self, _client: Any, _data: None, message: Any) -> None:
        self._came[message.topic.split("/")[3]].put(bytes(message.payload))


def publish(till: Till, kind: Outbound, envelope: bytes) -> None:
    till.client.publish(topic("till-1", kind), envelope, qos=1, retain=kind == "status")


def said(*words: object) -> str:
    """What `tessera backend` says."""
    answer = CliRunner().invoke(backend, [str(word) for word in words], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return " ".join(answer.output.split())


def seen(service: Service) -> FleetView:
    return msgspec.json.decode(service.register.get("/fleet").content, type=FleetView)


def stands(service: Service, key_set: int, key: str) -> bool:
    """Whether this set and this standing of till-1's key are in force; between two beginnings nobody answers."""
    try:
        view = seen(service)
    except httpx.TransportError:
        return False
    return (view.key_set, view.terminals[0].key) == (key_set, key)


def test_a_terminal_is_given_keys_time_and_a_certificate_and_is_seen(
    service: Service, till: Till, tmp_path: Path
) -> None:
    publish(till, "status", said_by(till.terminal.element, people=7))  # before there is a backend: the broker keeps it
    service.config.write_text(
        service.config.read_text() + f'[certifier]\nca = "{tmp_path}/ca/ca.pem"\nkey = "{tmp_path}/ca/ca.key"\n'
    )
    ear = Ear(till)
    service.start()
    files, root = rotation.KeyFiles.of(service.config), tmp_path / "root.key"
    first = ear.next("key-set")
    assert first == files.key_set.read_bytes()

    until(lambda: seen(service).people == 7, "the status the broker kept")
    publish(till, "status", said_by(till.terminal.element, sequence=2, people=8))
    until(lambda: seen(service).people == 8, "the next status")

    trust = till.terminal.trust
    question = authorize.sign(
        BeaconRequest(terminal="till-1", nonce=NONCE, counter=0, waiting=0), till.terminal.element
    )
    publish(till, "beacon-request", question)
    assert schema.verify(ear.next("beacon"), Beacon, trust.resolve)[1].nonce == NONCE

    publish(till, "certificate-request", asked_by(till.terminal.element))
    grant = schema.verify(ear.next("certificate"), CertificateGrant, trust.resolve)[1]
    assert x509.load_der_x509_certificate(grant.certificate).subject.rfc4514_string() == "CN=till-1"

    # the same by hand
    question_of_link, grant_file = tmp_path / "request.cose", tmp_path / "grant.cose"
    question_of_link.write_bytes(asked_by(till.terminal.element))
    by_hand = ("--request", question_of_link, "--out", grant_file, "--config", service.config)
    assert "till-1" in said("certify", "till-1", *by_hand)
    assert schema.verify(grant_file.read_bytes(), CertificateGrant, trust.resolve)[1].terminal == "till-1"

    # the key set is replaced while it runs: it begins anew, and terminals are given the new one
    rotation.rotate(files, root)
    assert ear.next("key-set") == files.key_set.read_bytes() != first
    until(lambda: stands(service, 2, "counts"), "the backend is back")

    # what it cannot use changes nothing
    files.key_set.write_bytes(b"no key set")
    registry.revoke(tmp_path / "terminals.json", "till-1")
    replace(files.key_set, first)
    until(lambda: stands(service, 1, "revoked"), "the revocation is taken up, and the set after it")
    publish(till, "beacon-request", question)
    until(lambda: 'code="revoked",kind="beacon-request"' in service.metrics(), "the question is refused")
    assert ear.nothing("beacon")
    known = ("--list", tmp_path / "revoked.crl", "--config", service.config)
    assert "2 certificates" in said("revocations", *known), "two were given"
    told = said("fleet", "--register", service.register.base_url, "--token", tmp_path / "token")
    assert "1 terminals, 1 online" in told
