"""The test vectors in `docs/`: the terminal's own decoder takes every good one, names what is wrong with the others."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.trust import Trust, key_id
from hil.backend import vectors
from tests.payment.cddl import KINDS

FILE = Path(__file__).parents[2] / "docs" / "protocol-vectors.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text())


def public(name: str) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(bytes.fromhex(VECTORS["keys"][name]["spki"]))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


TRUST = Trust({key_id(public(name)): public(name) for name in VECTORS["keys"]})


def readable(value: object) -> object:
    if hasattr(value, "__struct_fields__"):
        return {name: readable(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [readable(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value


def test_every_good_vector_is_read_as_it_says() -> None:
    for vector in VECTORS["good"]:
        envelope = bytes.fromhex(vector["envelope"])
        kid, message = schema.verify(envelope, KINDS[vector["message"]], TRUST.resolve)
        assert kid.hex() == VECTORS["keys"][vector["signer"]]["kid"]
        assert readable(message) == vector["fields"], vector["name"]
        assert hashlib.sha256(envelope).hexdigest() == vector["sha256"]


def test_every_bad_vector_gets_its_code() -> None:
    for vector in VECTORS["bad"]:
        with pytest.raises(PaymentError) as caught:
            schema.verify(bytes.fromhex(vector["envelope"]), KINDS[vector["message"]], TRUST.resolve)
        assert caught.value.code == vector["code"], vector["name"]


def test_every_message_has_good_vectors_at_both_edges_and_bad_ones_for_every_field() -> None:
    good = {(vector["message"], vector["name"].partition(": ")[2]) for vector in VECTORS["good"]}
    assert good == {(name, which) for name in KINDS for which in ("plain", "least", "most")}
    bad = {tuple(vector["name"].split(" ")[:2]) for vector in VECTORS["bad"] if vector["code"] == "schema"}
    assert {(f"{name}:", field) for name, kind in KINDS.items() for field in kind.__struct_fields__} <= bad


def test_the_file_is_what_its_command_writes() -> None:
    assert FILE.read_bytes() == vectors.document(), "run `make vectors`"


def test_the_keys_say_that_they_are_test_keys() -> None:
    assert "never" in VECTORS["warning"]
    assert all("test_private_key" in key for key in VECTORS["keys"].values())
