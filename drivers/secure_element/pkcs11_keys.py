"""The keys in a PKCS#11 token: how they are made, found, used.

Rules kept here:
- Every key is made inside the token, sensitive and not extractable; one that is not so is refused.
- A key pair of which one half is missing is none: it was being made or destroyed when the power went.
"""

import hashlib
import secrets
from typing import Any, NamedTuple, TypeAlias

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.mechanisms import GCMParams
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from drivers.secure_element.interface import SecureElementError
from drivers.secure_element.pkcs11_token import DIGITS, OwnedToken

NONCE, TAG, SIGNATURE = 12, 16, 64
IDENTITY, EPOCH = "tessera-identity-", "tessera-epoch-"
P256 = encode_named_curve_parameters("secp256r1")
KEPT_INSIDE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}

Key: TypeAlias = Any
"""A key's handle: what it can do, python-pkcs11 finds out when it meets the token."""


class Identity(NamedTuple):
    """A key pair of the token and its public half, DER."""

    number: int
    private: Key
    public_key: bytes


def identities(token: OwnedToken) -> list[Identity]:
    """The identity in force and, if there is one, the one that waits. Raises SecureElementError."""
    private = token.numbered(ObjectClass.PRIVATE_KEY, IDENTITY)
    public = token.numbered(ObjectClass.PUBLIC_KEY, IDENTITY)
    with token.asked("reading the identity"):
        return [
            Identity(number, _kept_inside(private[number]), encode_ec_public_key(public[number]))
            for number in sorted(private.keys() & public.keys())
        ]


def epochs(token: OwnedToken) -> dict[int, Key]:
    """The sealing keys by epoch, lowest first. Raises SecureElementError."""
    found = token.numbered(ObjectClass.SECRET_KEY, EPOCH)
    with token.asked("reading the sealing keys"):
        return {number: _kept_inside(key) for number, key in found.items()}


def new_epoch(token: OwnedToken, number: int) -> Key:
    """Make the sealing key of an epoch. Raises SecureElementError."""
    with token.asked("making a sealing key") as session:
        return session.generate_key(
            KeyType.AES,
            256,
            label=f"{EPOCH}{number:0{DIGITS}}",
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template=KEPT_INSIDE,
        )


def new_identity(token: OwnedToken, number: int) -> Identity:
    """Make a key pair. Raises SecureElementError."""
    with token.asked("making an identity") as session:
        p256 = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: P256}, local=True)
        public, private = p256.generate_keypair(
            mechanism=Mechanism.EC_KEY_PAIR_GEN,
            store=True,
            id=number.to_bytes(4, "big"),
            label=f"{IDENTITY}{number:0{DIGITS}}",
            capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
            private_template=KEPT_INSIDE,
        )
        return Identity(number, private, encode_ec_public_key(public))


def destroy_identities(token: OwnedToken, keep: set[int]) -> None:
    """Destroy the pairs, and the halves, of every number but those in `keep`. Raises SecureElementError."""
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        for number, half in token.numbered(kind, IDENTITY).items():
            if number not in keep:
                with token.asked("removing what is left of an identity"):
                    half.destroy()


def sign(private: Key, message: bytes) -> bytes:
    """ECDSA in the token, SHA-256 before it: r || s. Raises PKCS11Error, SecureElementError."""
    signature: bytes = private.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA)
    if len(signature) != SIGNATURE:
        raise SecureElementError(f"signing: the token answered {len(signature)} bytes, not {SIGNATURE}")
    return signature


def seal(key: Key, plaintext: bytes, associated: bytes) -> bytes:
    """AES-256-GCM in the token; the random nonce stands in front. Raises PKCS11Error."""
    nonce = secrets.token_bytes(NONCE)
    sealed: bytes = key.encrypt(plaintext, mechanism=Mechanism.AES_GCM, mechanism_param=_gcm(nonce, associated))
    return nonce + sealed


def unseal(key: Key, sealed: bytes, associated: bytes) -> bytes:
    """Open what `seal` made. Raises PKCS11Error, SecureElementError: it is too short."""
    if len(sealed) < NONCE + TAG:
        raise SecureElementError(f"a sealed blob of {len(sealed)} bytes is too short")
    gcm = _gcm(sealed[:NONCE], associated)
    opened: bytes = key.decrypt(sealed[NONCE:], mechanism=Mechanism.AES_GCM, mechanism_param=gcm)
    return opened


def _gcm(nonce: bytes, associated: bytes) -> GCMParams:
    return GCMParams(nonce, associated, 8 * TAG)


def _kept_inside(key: Key) -> Key:
    if not (key[Attribute.LOCAL] and key[Attribute.ALWAYS_SENSITIVE] and key[Attribute.NEVER_EXTRACTABLE]):
        raise SecureElementError(f"{key[Attribute.LABEL]}: was not made in the token, or can be taken out: not used")
    return key
