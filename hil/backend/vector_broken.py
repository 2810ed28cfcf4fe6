"""Envelopes that break one rule each, made from a good payload and a key: what they are, and the code they get."""

import struct
from collections.abc import Iterator
from typing import Protocol

import cbor2

from firmware.payment import cbor, cose
from firmware.payment.messages import Authorization, Receipt
from firmware.runtime.messages import MAX_ENVELOPE_BYTES

Broken = tuple[str, str, bytes]  # title, code, envelope


class Key(Protocol):
    """Who signs."""

    kid: bytes

    def sign(self, message: bytes) -> bytes:
        """Return r || s."""


def broken(receipt: bytes, key: Key) -> Iterator[Broken]:
    """Return what no reader of receipts may take; `receipt` is the payload of a good one."""
    good = cose.sign(receipt, key.sign, key.kid, Receipt.TYP)
    yield from _rough_bytes(good)
    yield from _headers(receipt, key)
    yield from _signatures(good, receipt, key)
    for title, code, payload in _payloads(receipt):
        yield title, code, cose.sign(payload, key.sign, key.kid, Receipt.TYP)


def _rough_bytes(good: bytes) -> Iterator[Broken]:
    yield "no bytes", "malformed", b""
    yield "cut short", "malformed", good[:-1]
    yield "a byte trails", "malformed", good + b"\x00"
    yield "untagged", "malformed", good[1:]
    yield "another tag (98)", "malformed", b"\xd8\x62" + good[1:]
    yield "larger than the limit", "malformed", good + bytes(MAX_ENVELOPE_BYTES)
    yield "a length in more bytes than it needs", "non_canonical", good[:1] + b"\x98\x04" + good[2:]
    yield "array of indefinite length", "malformed", good[:1] + b"\x9f" + good[2:] + b"\xff"


def _headers(receipt: bytes, key: Key) -> Iterator[Broken]:
    honest: dict[int, object] = {1: -7, 4: key.kid, 16: Receipt.TYP}
    headers: dict[str, dict[int, object]] = {
        "no algorithm": {4: key.kid, 16: Receipt.TYP},
        "no key id": {1: -7, 16: Receipt.TYP},
        "no type": {1: -7, 4: key.kid},
        "EdDSA": honest | {1: -8},
        "an empty key id": honest | {4: b""},
        "a key id of 33 bytes": honest | {4: bytes(33)},
        "critical headers": honest | {2: [1]},
        "the type of an authorization": honest | {16: Authorization.TYP},
    }
    for title, header in headers.items():
        yield title, "malformed", _sealed(cbor2.dumps(header, canonical=True), {}, receipt, key)
    protected = cbor2.dumps(honest, canonical=True)
    yield "the algorithm unprotected besides", "malformed", _sealed(protected, {1: -7}, receipt, key)
    unordered = cbor2.dumps(dict(reversed(honest.items())))
    yield "header out of order", "non_canonical", _sealed(unordered, {}, receipt, key)


def _signatures(good: bytes, receipt: bytes, key: Key) -> Iterator[Broken]:
    s = int.from_bytes(good[-32:], "big")
    yield "a bit of the signature flipped", "bad_signature", good[:-1] + bytes([good[-1] ^ 1])
    yield "a bit of the payload flipped", "bad_signature", good.replace(b"till-1", b"till-0")
    yield "the signature mirrored (high s)", "bad_signature", good[:-32] + (cose.P256_ORDER - s).to_bytes(32, "big")
    yield "r is zero", "bad_signature", good[:-64] + bytes(32) + good[-32:]
    yield "s is zero", "bad_signature", good[:-32] + bytes(32)
    short = cbor2.dumps([*cbor2.loads(good).value[:3], good[-63:]])
    yield "a signature of 63 bytes", "malformed", good[:1] + short
    yield "an unknown key", "unknown_key", cose.sign(receipt, key.sign, b"stranger", Receipt.TYP)


def _payloads(receipt: bytes) -> Iterator[Broken]:
    item = cbor.decode(receipt)
    assert isinstance(item, dict)
    seconds = item[5]
    assert isinstance(seconds, int)
    yield "no map", "schema", cbor.encode([])
    yield "map out of order", "non_canonical", cbor2.dumps(dict(reversed(item.items())))
    yield "an integer in more bytes than it needs", "non_canonical", receipt[:-5] + struct.pack(">BQ", 0x1B, seconds)
    yield "a key twice", "non_canonical", b"\xa7" + receipt[1:] + receipt[-6:]
    yield "a time as a tagged date", "malformed", receipt[:-5] + b"\xc1" + receipt[-5:]
    yield "a time as a float", "malformed", receipt[:-5] + struct.pack(">Bd", 0xFB, seconds)
    yield "null", "malformed", receipt[:-5] + b"\xf6"
    yield "a text key", "malformed", receipt[:-6] + b"\x61\x05" + receipt[-5:]
    yield "text that is not UTF-8", "malformed", receipt.replace(b"till-1", b"till-\xff")
    yield "nested too deep", "malformed", receipt[:-5] + b"\x81" * (cbor.MAX_DEPTH + 1) + b"\x00"


def _sealed(protected: bytes, unprotected: dict[int, int], payload: bytes, key: Key) -> bytes:
    """Sign with any header, as `cose.sign` never would."""
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
    s = int.from_bytes(signature[32:], "big")
    low = signature[:32] + min(s, cose.P256_ORDER - s).to_bytes(32, "big")
    return cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected, payload, low]))
