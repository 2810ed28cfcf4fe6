"""The keys in a PKCS#11 token: how they are made, found, used.

Rules kept here:
- Every key is made inside the token, sensitive and not extractable, and tried before it counts.
- The newest key may fail that: it was being made when the process was killed. It is passed over, and destroyed before
  another is made under its number. The key in force is never passed over: if it fails, the element does not open.
"""

import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.mechanisms import GCMParams
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from drivers.secure_element.interface import SecureElementError, SecureElementGoneError
from drivers.secure_element.pkcs11_token import DIGITS, OwnedToken

NONCE, TAG, SIGNATURE = 12, 16, 64
IDENTITY, EPOCH = "tessera-identity-", "tessera-epoch-"
P256 = encode_named_curve_parameters("secp256r1")
PROBE = b"tessera: a key is tried"
KEPT_INSIDE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}

_Found = TypeVar("_Found")
_Tried = TypeVar("_Tried")
Key: TypeAlias = Any
"""A key's handle: what it can do, python-pkcs11 finds out when it meets the token."""


class Identity(NamedTuple):
    """A key pair of the token and its public half, DER."""

    number: int
    private: Key
    public_key: bytes


def identities(token: OwnedToken, *, unfinished: bool = False) -> list[Identity]:
    """The identity in force and, if there is one, the one that waits.

    Args:
        token: where they are.
        unfinished: the element may never have been finished: even the lowest key is passed over if it is not whole.

    Raises:
        SecureElementError: the one in force does not work, or could be taken out of the token.
    """
    private = token.numbered(ObjectClass.PRIVATE_KEY, IDENTITY)
    public = token.numbered(ObjectClass.PUBLIC_KEY, IDENTITY)
    pairs = {number: (private[number], public[number]) for number in private.keys() & public.keys()}
    return list(_whole(token, pairs, _tried_pair, unfinished).values())


def epochs(token: OwnedToken, *, unfinished: bool = False) -> dict[int, Key]:
    """The sealing keys by epoch, lowest first. Arguments and errors as those of `identities`."""
    return _whole(token, token.numbered(ObjectClass.SECRET_KEY, EPOCH), _tried_key, unfinished)


def new_epoch(token: OwnedToken, number: int) -> Key:
    """Make the sealing key of an epoch, in the place of any of its number. Raises SecureElementError."""
    _destroy(token, ObjectClass.SECRET_KEY, EPOCH, lambda other: other == number)
    with token.asked("making a sealing key") as session:
        return session.generate_key(
            KeyType.AES,
            256,
            label=f"{EPOCH}{number:0{DIGITS}}",
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template=KEPT_INSIDE,
        )


def new_identity(token: OwnedToken, number: int, in_force: int | None) -> Identity:
    """Make a key pair, and remove all that is left of others but that `in_force`. Raises SecureElementError."""
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        _destroy(token, kind, IDENTITY, lambda other: other != in_force)
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


def _destroy(token: OwnedToken, kind: ObjectClass, prefix: str, which: Callable[[int], bool]) -> None:
    for number, left in token.numbered(kind, prefix).items():
        if which(number):
            with token.asked("removing a key"):
                left.destroy()


def _whole(
    token: OwnedToken, found: dict[int, _Found], tried: Callable[[int, _Found], _Tried], unfinished: bool
) -> dict[int, _Tried]:
    whole: dict[int, _Tried] = {}
    for number, key in sorted(found.items()):
        may_fail = unfinished or (len(whole) > 0 and number == max(found))
        answer = _try(token, partial(tried, number, key), may_fail)
        if answer is not None:
            whole[number] = answer
    return whole


def _try(token: OwnedToken, tried: Callable[[], _Tried], may_fail: bool) -> _Tried | None:
    try:
        with token.asked("trying a key"):
            return tried()
    except SecureElementError as error:
        if may_fail and not isinstance(error, SecureElementGoneError):
            return None
        raise


def _tried_pair(number: int, pair: tuple[Key, Key]) -> Identity:
    private, public = pair
    _check_kept_inside(private)
    try:
        der = encode_ec_public_key(public)
        key = load_der_public_key(der)
    except ValueError as error:
        raise SecureElementError(f"identity {number}: its public key cannot be read") from error
    signature = sign(private, PROBE)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise SecureElementError(f"identity {number}: is no P-256 key")
        key.verify(utils.encode_dss_signature(r, s), PROBE, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise SecureElementError(f"identity {number}: its halves do not belong together") from error
    return Identity(number, private, der)


def _tried_key(number: int, key: Key) -> Key:
    _check_kept_inside(key)
    if unseal(key, seal(key, PROBE, b""), b"") != PROBE:
        raise SecureElementError(f"epoch {number}: its key does not open what it sealed")
    return key


def _check_kept_inside(key: Key) -> None:
    if not (key[Attribute.LOCAL] and key[Attribute.ALWAYS_SENSITIVE] and key[Attribute.NEVER_EXTRACTABLE]):
        raise SecureElementError(f"{key[Attribute.LABEL]}: was not made in the token, or can be taken out: not used")
