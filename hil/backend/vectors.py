"""`python -m hil.backend.vectors FILE`: test vectors of every signed message, good and bad, from fixed keys.

Rules kept here:
- The keys are test keys: their private halves are published with the vectors, and nothing may ever trust them.
- The same software gives the same bytes: signatures are deterministic (RFC 6979), no clock and no chance.
- The good ones are a plain example and both edges of every field; the bad ones leave one edge, or break one rule of
  the envelope, and name the code of the refusal.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.payment import cbor, cose, schema
from firmware.payment.trust import key_id
from hil.backend.vector_broken import broken
from hil.backend.vector_messages import examples
from hil.backend.vector_values import edges, fields_of

WARNING = "TEST KEYS. Their private halves stand here: never register, pin or trust them."
SIGNERS = {"backend": 1, "terminal": 2, "root": 3}  # and the number its key is made from
BY_BACKEND = {
    "intent", "receipt", "mandate", "guardian-mandate", "beacon", "cancellation", "certificate", "reconciliation"
}  # fmt: skip


class VectorKey:
    """A P-256 key that everybody knows."""

    def __init__(self, number: int) -> None:
        seed = hashlib.sha256(b"tessera test key, never trust it: %d" % number).digest()
        self.private = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())
        self.public = self.private.public_key()
        self.kid = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return r || s, the same for the same message."""
        der = self.private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def described(self) -> dict[str, str]:
        """As the file has it."""
        numbers = self.private.private_numbers()
        spki = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        point = {
            "x": numbers.public_numbers.x,
            "y": numbers.public_numbers.y,
            "test_private_key": numbers.private_value,
        }
        return {"kid": self.kid.hex(), "spki": spki.hex()} | {name: f"{value:064x}" for name, value in point.items()}


KEYS = {name: VectorKey(number) for name, number in SIGNERS.items()}


def signer_of(name: str) -> str:
    """Whose signature a kind of message carries."""
    if name == "key-set":
        return "root"
    return "backend" if name in BY_BACKEND else "terminal"


def envelope(name: str, payload: bytes, typ: str) -> bytes:
    """Seal a payload as the one who sends this kind of message."""
    key = KEYS[signer_of(name)]
    return cose.sign(payload, key.sign, key.kid, typ)


def good(name: str, example: schema.Message) -> Iterator[dict[str, object]]:
    """The plain example and both edges."""
    inner = [edges(field.type) for field in fields_of(type(example))]
    payloads = {
        "plain": schema.encode(example),
        "least": cbor.encode({key: each.least for key, each in enumerate(inner)}),
        "most": cbor.encode({key: each.most for key, each in enumerate(inner)}),
    }
    for which, payload in payloads.items():
        sealed = envelope(name, payload, example.TYP)
        fields = _readable(schema.decode(payload, type(example)))
        yield {
            "name": f"{name}: {which}", "message": name, "signer": signer_of(name), "fields": fields,
            "payload": payload.hex(), "envelope": sealed.hex(), "sha256": hashlib.sha256(sealed).hexdigest(),
        }  # fmt: skip


def beyond(name: str, example: schema.Message) -> Iterator[dict[str, object]]:
    """Each field, one step beyond each edge, or of another type: rightly signed, and `schema`."""
    plain = cbor.decode(schema.encode(example))
    assert isinstance(plain, dict)
    for key, field in enumerate(fields_of(type(example))):
        for number, value in enumerate(edges(field.type).never):
            payload = cbor.encode(plain | {key: value})
            yield _bad(f"{name}: {field.name} {number}", name, "schema", envelope(name, payload, example.TYP))
    missing = {key: value for key, value in plain.items() if key != len(plain) - 1}
    for title, rough in {"the last field missing": missing, "a field too many": plain | {len(plain): 0}}.items():
        yield _bad(f"{name}: {title}", name, "schema", envelope(name, cbor.encode(rough), example.TYP))


def document() -> bytes:
    """Return the file, JSON."""
    messages = examples(lambda name, message: envelope(name, schema.encode(message), message.TYP))
    receipt = schema.encode(messages["receipt"])
    bad = [vector for name, message in messages.items() for vector in beyond(name, message)]
    bad += [_bad(f"receipt: {title}", "receipt", code, raw) for title, code, raw in broken(receipt, KEYS["backend"])]
    whole = {
        "warning": WARNING,
        "keys": {name: key.described() for name, key in KEYS.items()},
        "good": [vector for name, message in messages.items() for vector in good(name, message)],
        "bad": bad,
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def _bad(title: str, name: str, code: str, sealed: bytes) -> dict[str, object]:
    return {"name": title, "message": name, "code": code, "envelope": sealed.hex()}


def _readable(value: object) -> Any:
    if isinstance(value, msgspec.Struct):
        return {field: _readable(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_readable(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(document())
