"""Demonstration keys: the backend's own, and the list of terminals it knows. A production backend refuses both."""

import os
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

from firmware.payment.cose import Signer
from firmware.payment.errors import PaymentError
from firmware.payment.trust import key_id, load_public_key
from hil.backend.policy import Registration


def signer(key: ec.EllipticCurvePrivateKey) -> Signer:
    """Return the signer `cose.sign` wants, for a key in memory."""

    def sign(message: bytes) -> bytes:
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def create_backend_key(private: Path, pinned: Path) -> ec.EllipticCurvePrivateKey:
    """Make the backend's signing key: `private` (PEM, for its owner only) and `pinned`, the file terminals trust.

    Raises:
        FileExistsError: `private` is there; a key in use is not replaced.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    public = key.public_key()
    pinned.write_bytes(msgspec.json.encode({key_id(public).hex(): _pem(public)}))
    return key


def load_backend_key(private: Path) -> ec.EllipticCurvePrivateKey:
    """Read the backend's signing key. Raises PaymentError `trust`."""
    try:
        key = load_pem_private_key(private.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise PaymentError("trust", f"{private}: not the backend's key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PaymentError("trust", f"{private}: not a P-256 key")
    return key


def registration(terminal: str, merchant: str, profile: str, public_key: bytes) -> Registration:
    """Register a terminal by its device key (DER SubjectPublicKeyInfo). Raises PaymentError `trust`."""
    pem = _pem(load_public_key(public_key))
    return Registration(terminal=terminal, merchant=merchant, profile=profile, public_key=pem)


def save_registrations(path: Path, registrations: list[Registration]) -> None:
    """Write the list of terminals as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(registrations)))


def load_registrations(path: Path) -> list[Registration]:
    """Read the list of terminals. Raises PaymentError `trust`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Registration])
    except (OSError, msgspec.DecodeError) as error:
        raise PaymentError("trust", f"{path}: not a list of terminals: {error}") from error


def _pem(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
