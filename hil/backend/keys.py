"""Keys as files: the root that terminals pin, the backend's own under it, and the list of terminals it knows.

Rules kept here:
- The root signs key sets and nothing else. No process of the backend needs it: it may lie on another machine.
- A root of the demonstration shows by its key id, which nobody can take off it, and signs no set for production.
- A private key is a file for its owner only, and one in use is never replaced.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from firmware.payment import schema
from firmware.payment.cose import Signer
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import DEMO_MARK
from firmware.payment.messages import Environment, KeySet
from firmware.payment.trust import key_id, load_public_key
from hil.backend.disk import named
from hil.backend.policy import Registration

# long enough for a terminal that was away for a month, and a key that was lost ends by itself
KEY_SET_LIFE_S = 90 * 86_400


def signer(key: ec.EllipticCurvePrivateKey) -> Signer:
    """Return the signer `cose.sign` wants, for a key in memory."""

    def sign(message: bytes) -> bytes:
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def create_root(private: Path, pinned: Path, environment: Environment = "demo") -> ec.EllipticCurvePrivateKey:
    """Make a root: `private` (PEM, for its owner only) and `pinned`, the file terminals and backends trust.

    Raises:
        PaymentError: `trust`, `private` is there, and a key in use is not replaced; or a file cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    # one key in 256 has the mark by chance
    while is_demo(key.public_key()) != (environment == "demo"):
        key = ec.generate_private_key(ec.SECP256R1())
    _write_private(private, key)
    try:
        _write_pinned(pinned, key.public_key())
    except PaymentError:
        private.unlink()
        raise
    return key


def is_demo(root: ec.EllipticCurvePublicKey) -> bool:
    """Whether this root is of a demonstration."""
    return key_id(root)[0] == DEMO_MARK


def create_backend_key(private: Path, pinned: Path | None = None) -> ec.EllipticCurvePrivateKey:
    """Make a signing key of the backend: `private` (PEM, for its owner only) and, where told, `pinned` as of a root.

    Raises:
        PaymentError: `trust`, `private` is there, and a key in use is not replaced; or a file cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    _write_private(private, key)
    if pinned is not None:
        _write_pinned(pinned, key.public_key())
    return key


def sign_key_set(
    root: ec.EllipticCurvePrivateKey,
    keys: Iterable[ec.EllipticCurvePublicKey],
    *,
    version: int,
    now: int,
    environment: Environment = "demo",
    life_s: int = KEY_SET_LIFE_S,
) -> bytes:
    """Return the envelope of the set of `keys` that count from `now` on, for `life_s` seconds.

    Raises:
        PaymentError: `trust`, the root is of the other environment; `schema`, no set can be like this.
    """
    if is_demo(root.public_key()) != (environment == "demo"):
        raise PaymentError("trust", f"this root signs no key set for {environment}: make one for that environment")
    made = KeySet(
        version=version,
        issued_at=now,
        expires_at=now + life_s,
        environment=environment,
        keys=tuple(spki(key) for key in keys),
    )
    return schema.sign(made, signer(root), key_id(root.public_key()))


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as key sets list it: DER SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def load_backend_key(private: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key, the backend's or a root. Raises PaymentError `trust`."""
    try:
        with named(private):
            key = load_pem_private_key(private.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise PaymentError("trust", f"{private}: not the backend's key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PaymentError("trust", f"{private}: not a P-256 key")
    return key


def registration(terminal: str, merchant: str, profile: str, public_key: bytes) -> Registration:
    """Register a terminal by its device key (DER SubjectPublicKeyInfo). Raises PaymentError `trust`."""
    pem = _pem(load_public_key(public_key))
    return Registration(terminal=terminal, merchant=merchant, profile=profile, public_key=pem)


def save_registrations(path: Path, registrations: list[Registration]) -> None:
    """Write the list of terminals as JSON; who reads it meanwhile sees the old list or the new one."""
    replace(path, msgspec.json.format(msgspec.json.encode(registrations)))


def load_registrations(path: Path) -> list[Registration]:
    """Read the list of terminals. Raises PaymentError `trust`."""
    if not path.exists():
        raise PaymentError("trust", f"{path}: is not there; `tessera backend terminals register` begins it")
    try:
        with named(path):
            return msgspec.json.decode(path.read_bytes(), type=list[Registration])
    except msgspec.DecodeError as error:
        raise PaymentError("trust", f"{path}: not a list of terminals: {error}") from error


def replace(path: Path, data: bytes) -> None:
    """Replace a file that is no secret, whole. Raises PaymentError `trust`; what was there then stays."""
    beside = path.with_name(path.name + ".new")
    with named(path), _whole(beside):
        beside.write_bytes(data)
        os.replace(beside, path)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with named(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with _whole(path), os.fdopen(handle, "wb") as file:
            file.write(pem)


def _write_pinned(path: Path, key: ec.EllipticCurvePublicKey) -> None:
    replace(path, msgspec.json.encode({key_id(key).hex(): _pem(key)}))


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Leave no part of a file where it cannot be written whole."""
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _pem(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
