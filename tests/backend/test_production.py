"""A production backend begins with nothing of a demonstration, and a demonstration with nothing of production."""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from firmware.liveness.verdict import DYNAMIC
from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Environment, Evidence, Mandate
from firmware.runtime.config import LinkConfig, TlsConfig
from hil.backend.installation import CertifierConfig, Installation, ServiceConfig, load_installation
from hil.backend.keys import create_backend_key, create_root, registration, save_registrations, sign_key_set
from hil.backend.policy import DEMO, Policy
from hil.backend.shop import CONSENT, Shop
from hil.backend.simulator import new_element
from tests.backend.test_certificates import authority

KNOWN = "0" * 64
STRICT = Policy(
    name="shops",
    profiles=("payment",),
    assurance="dynamic",
    gates=DEMO.gates,
    match_band=4,
    firmware="0.1.0",
    policies=(KNOWN,),
    thresholds=(KNOWN,),
    models=(KNOWN,),
)


class Laid:
    """A backend's files, each of the environment it is told."""

    def __init__(self, folder: Path, environment: Environment) -> None:
        self.folder, self.environment = folder, environment
        self.root = create_root(folder / "root.key", folder / "root.json", environment)
        self.key = create_backend_key(folder / "backend.key").public_key()
        self.sign(environment)
        profile = "payment" if environment == "production" else "demo"
        self.register(profile)
        ca, key = authority(folder / "ca", "Tessera demo CA" if environment == "demo" else "Shops CA")
        tls = TlsConfig(ca=str(ca), crl="crl.pem", certificate="link.pem", key="link.key")
        self.config = ServiceConfig(
            store="s",
            key="backend.key",
            terminals="terminals.json",
            token="token",
            port=1,
            broker=LinkConfig(host="127.0.0.1", port=1, tls=tls),
            policy=STRICT if environment == "production" else DEMO,
            environment=environment,
            certifier=CertifierConfig(ca=str(ca), key=str(key)),
        )

    def sign(self, environment: Environment, life_s: int = 3_600, keys: list[Any] | None = None) -> None:
        made = sign_key_set(
            self.root, keys or [self.key], version=1, now=int(time.time()), environment=environment, life_s=life_s
        )
        (self.folder / "key-set.cose").write_bytes(made)

    def register(self, profile: str) -> None:
        known = registration("till-1", "SHOP", profile, new_element().public_key)
        save_registrations(self.folder / "terminals.json", [known])

    def load(self, **changes: Any) -> Installation:
        return load_installation(self.folder / "backend.toml", msgspec.structs.replace(self.config, **changes))


@pytest.fixture
def production(tmp_path: Path) -> Laid:
    return Laid(tmp_path, "production")


@pytest.fixture
def demo(tmp_path_factory: pytest.TempPathFactory) -> Laid:
    return Laid(tmp_path_factory.mktemp("demo"), "demo")


def test_both_begin_with_what_is_their_own(production: Laid, demo: Laid) -> None:
    assert production.load().policy.name == "shops"
    assert demo.load().policy.name == "demo"


def test_production_refuses_the_demo_root(production: Laid, demo: Laid) -> None:
    """Even where its key set calls itself one for production, which our own tool does not sign."""
    with pytest.raises(PaymentError, match="signs no key set for production"):
        demo.sign("production")
    for name in ("root.json", "key-set.cose", "backend.key"):
        (production.folder / name).write_bytes((demo.folder / name).read_bytes())
    with pytest.raises(PaymentError, match="demonstration"):
        production.load()


def test_production_refuses_a_set_for_production_by_a_demo_root(
    production: Laid, demo: Laid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.backend.keys.is_demo", lambda _: False)
    demo.sign("production")
    for name in ("root.json", "key-set.cose", "backend.key"):
        (production.folder / name).write_bytes((demo.folder / name).read_bytes())
    with pytest.raises(PaymentError, match="demonstration"):
        production.load()


def test_production_refuses_demo_key_sets(production: Laid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil.backend.keys.is_demo", lambda _: True)
    production.sign("demo")
    with pytest.raises(PaymentError, match="for demo"):
        production.load()


def test_production_refuses_the_demo_authority_of_broker_and_links(production: Laid, demo: Laid) -> None:
    assert demo.config.certifier is not None
    with pytest.raises(PaymentError, match="certificate authority"):
        production.load(certifier=demo.config.certifier)
    with pytest.raises(PaymentError, match="certificate authority"):
        production.load(broker=demo.config.broker)


def test_production_refuses_a_broker_without_tls(production: Laid) -> None:
    with pytest.raises(PaymentError, match="without TLS"):
        production.load(broker=LinkConfig(host="127.0.0.1", port=1))


def test_production_refuses_the_demo_policy(production: Laid) -> None:
    with pytest.raises(PaymentError, match="policy demo"):
        production.load(policy=DEMO)


def test_production_hands_out_no_mandate_where_authentication_was_simulated(tmp_path: Path) -> None:
    """That is what a register asks for that does not say how."""
    with closing(Shop(tmp_path, STRICT, profile="payment")) as shop:
        with pytest.raises(PaymentError, match="simulated"):
            shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT)
        with pytest.raises(PaymentError, match="simulated"):
            shop.backend.issue_guardian_mandate("till-1", CONSENT, "school-office", "simulated")
        assert shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT, "bank_app")


@pytest.mark.parametrize(("method", "code"), [("simulated", "mandate"), ("bank_app", "approved")])
def test_production_approves_nothing_under_a_mandate_where_authentication_was_simulated(
    tmp_path: Path, method: str, code: str
) -> None:
    """One of before: by a backend that still handed them out, or in a store taken over from a demonstration."""
    with closing(Shop(tmp_path, profile="payment")) as shop:
        before = shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT, method)
        shop.policy = STRICT
        shop.restart_backend()
        mandate = schema.verify(before, Mandate, shop.trust.resolve)[1].id
        evidence = Evidence(assurance="dynamic", gates=(*DEMO.gates, DYNAMIC), match_band=4, record=bytes(32))
        honest = shop.till.read(shop.till.authorize(shop.open(), mandate, shop.time, evidence))
        fitting = msgspec.structs.replace(honest, profile="payment", policy=bytes.fromhex(KNOWN))
        assert shop.code(shop.till.sign(fitting)) == code


@pytest.mark.parametrize("profile", ["demo", "rig"])
def test_production_refuses_terminals_of_a_demonstration(production: Laid, profile: str) -> None:
    production.register(profile)
    with pytest.raises(PaymentError, match=f"profile {profile}"):
        production.load()


def test_a_demonstration_does_not_begin_with_productions_keys(production: Laid, demo: Laid) -> None:
    for name in ("root.json", "key-set.cose", "backend.key"):
        (demo.folder / name).write_bytes((production.folder / name).read_bytes())
    with pytest.raises(PaymentError, match="for production"):
        demo.load()


def test_a_backend_whose_key_is_not_in_the_set_does_not_begin(demo: Laid) -> None:
    demo.sign("demo", keys=[demo.root.public_key()])
    with pytest.raises(PaymentError, match="not in the key set"):
        demo.load()


def test_a_backend_whose_key_set_has_ended_does_not_begin(demo: Laid) -> None:
    demo.sign("demo", life_s=0)
    with pytest.raises(PaymentError, match="has ended"):
        demo.load()


def test_a_key_set_by_another_root_is_refused(demo: Laid, tmp_path: Path) -> None:
    create_root(tmp_path / "r.key", tmp_path / "r.json")
    (demo.folder / "root.json").write_bytes((tmp_path / "r.json").read_bytes())
    with pytest.raises(PaymentError, match="not a set by the root"):
        demo.load()
