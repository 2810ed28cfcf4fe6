"""Roots and key sets: a demonstration's are told from production's by the key itself, and a key in use stays."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import DEMO_MARK
from firmware.payment.messages import Environment, KeySet
from firmware.payment.trust import load_trust
from hil.backend.keys import create_root, is_demo, load_backend_key, sign_key_set

NOW = 1_800_000_000


def test_a_root_signs_the_keys_that_count_and_terminals_can_pin_it(tmp_path: Path) -> None:
    root = create_root(tmp_path / "root.key", tmp_path / "root.json")
    first, second = (ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(2))
    envelope = sign_key_set(root, [first, second], version=3, now=NOW, life_s=60)
    kid, read = schema.verify(envelope, KeySet, load_trust(tmp_path / "root.json").resolve)
    assert kid[0] == DEMO_MARK
    assert (read.version, read.issued_at, read.expires_at, read.environment) == (3, NOW, NOW + 60, "demo")
    assert read.keys == tuple(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in (first, second)
    )


def test_a_root_in_use_is_not_replaced_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    create_root(tmp_path / "root.key", tmp_path / "root.json")
    before = (tmp_path / "root.key").read_bytes(), (tmp_path / "root.json").read_bytes()
    with pytest.raises(PaymentError, match="File exists"):
        create_root(tmp_path / "root.key", tmp_path / "root.json")
    assert ((tmp_path / "root.key").read_bytes(), (tmp_path / "root.json").read_bytes()) == before
    assert (tmp_path / "root.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("environment", ["demo", "production"])
def test_a_root_signs_for_its_own_environment_only(tmp_path: Path, environment: Environment) -> None:
    create_root(tmp_path / "root.key", tmp_path / "root.json", environment)
    root = load_backend_key(tmp_path / "root.key")
    assert is_demo(root.public_key()) == (environment == "demo")
    other: Environment = "production" if environment == "demo" else "demo"
    key = root.public_key()
    assert sign_key_set(root, [key], version=1, now=NOW, environment=environment)
    with pytest.raises(PaymentError, match=f"signs no key set for {other}"):
        sign_key_set(root, [key], version=1, now=NOW, environment=other)


@pytest.mark.parametrize(("keys", "version"), [(0, 1), (9, 1), (1, 0)])
def test_a_set_of_no_keys_too_many_or_no_version_is_not_signed(tmp_path: Path, keys: int, version: int) -> None:
    root = create_root(tmp_path / "root.key", tmp_path / "root.json")
    with pytest.raises(PaymentError, match="schema"):
        sign_key_set(root, [root.public_key()] * keys, version=version, now=NOW)
