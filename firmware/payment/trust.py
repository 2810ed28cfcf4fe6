"""Whose signatures count: the backend's pinned public keys, and how a key gets its id."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from firmware.payment.errors import PaymentError

MAX_TRUST_BYTES = 64 * 1024
KID_BYTES = 8


class Trust:
    """The keys one side pins. `resolve` is what `cose.verify` asks."""

    def __init__(self, keys: Mapping[bytes, ec.EllipticCurvePublicKey]) -> None:
        self._keys = dict(keys)

    def resolve(self, kid: bytes) -> ec.EllipticCurvePublicKey:
        """Return the key pinned under `kid`. Raises PaymentError `unknown_key`."""
        if kid not in self._keys:
            raise PaymentError("unknown_key", f"no pinned key has the id {kid.hex()}")
        return self._keys[kid]


def load_trust(path: Path) -> Trust:
    """Read the backend's pinned keys: a JSON object `{key id in hex: PEM}`.

    Raises:
        PaymentError: `trust`, naming the file and the reason.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_TRUST_BYTES:
            raise PaymentError("trust", f"{path}: larger than {MAX_TRUST_BYTES} bytes")
        table = msgspec.json.decode(raw, type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PaymentError("trust", f"{path}: cannot be read as pinned backend keys: {error}") from error
    keys: dict[bytes, ec.EllipticCurvePublicKey] = {}
    for kid, pem in table.items():
        key = load_pem(pem.encode(), f"{path}: key {kid}")
        if key_id(key).hex() != kid:
            raise PaymentError("trust", f"{path}: key {kid} has the id {key_id(key).hex()}")
        keys[key_id(key)] = key
    if not keys:
        raise PaymentError("trust", f"{path}: pins no key; without one no intent is believed")
    return Trust(keys)


def load_pem(pem: bytes, what: str) -> ec.EllipticCurvePublicKey:
    """Read a PEM public key of P-256. Raises PaymentError `trust` that begins with `what`."""
    return _p256(load_pem_public_key, pem, what)


def load_public_key(der: bytes) -> ec.EllipticCurvePublicKey:
    """Read a DER SubjectPublicKeyInfo of P-256. Raises PaymentError `trust`."""
    return _p256(load_der_public_key, der, "public key")


def _p256(load: Callable[[bytes], object], data: bytes, what: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PaymentError("trust", f"{what}: not a public key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PaymentError("trust", f"{what}: not a P-256 key")
    return key


def key_id(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the key's id: the first 8 bytes of SHA-256 over its DER SubjectPublicKeyInfo."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()[:KID_BYTES]
