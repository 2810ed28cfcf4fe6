"""COSE_Sign1 (RFC 9052) with ES256, and nothing else of COSE.

Rules kept here:
- Algorithm, key id and type (RFC 9596) are all in the protected header; the unprotected one is empty.
- One envelope has one byte string: the CBOR is deterministic and a signature's s lies in the lower half of the
  order. Otherwise whoever carries an envelope could turn (r, s) into (r, n - s), and the backend would see
  "the same counter, another body" and suspend an honest terminal. A signer elsewhere must do the same.
- The size is checked before a byte is read, the structure before a key is looked up, the signature before the
  payload means anything.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from firmware.payment import cbor
from firmware.payment.errors import PaymentError
from firmware.runtime.messages import MAX_ENVELOPE_BYTES

MAX_KID_BYTES = 32
ALG, KID, TYP = 1, 4, 16  # header labels: RFC 9052 table 3, RFC 9596
ES256 = -7  # RFC 9053 table 1
SIGN1 = 0xD2  # the head of tag 18, COSE_Sign1
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-4, D.1.2.3

Signer = Callable[[bytes], bytes]  # message -> 64 bytes, r || s
ResolveKey = Callable[[bytes], ec.EllipticCurvePublicKey]  # key id -> key; raises PaymentError


def sign(payload: bytes, signer: Signer, kid: bytes, typ: str) -> bytes:
    """Return the envelope of `payload`, signed by `signer` under key id `kid`, as a `typ`."""
    protected = cbor.encode({ALG: ES256, KID: kid, TYP: typ})
    raw = signer(_to_be_signed(protected, payload))
    s = int.from_bytes(raw[32:], "big")
    signature = raw[:32] + min(s, P256_ORDER - s).to_bytes(32, "big")
    return bytes([SIGN1]) + cbor.encode([protected, {}, payload, signature])


def verify(envelope: bytes, resolve_key: ResolveKey, typ: str) -> tuple[bytes, bytes]:
    """Return (key id, payload) of an envelope whose signature holds.

    Raises:
        PaymentError: `malformed`, `non_canonical`, `bad_signature`, or what `resolve_key` raises.
    """
    protected, payload, signature = _parts(envelope)
    kid = _key_id(protected, typ)
    key = resolve_key(kid)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if s > P256_ORDER // 2:
        raise PaymentError("bad_signature", "the signature is not in its one form (low s)")
    try:
        key.verify(utils.encode_dss_signature(r, s), _to_be_signed(protected, payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise PaymentError("bad_signature", "the signature does not hold") from error
    return kid, payload


def peek(envelope: bytes) -> bytes:
    """Return the payload without checking who signed it: only to name what is being refused. Raises PaymentError."""
    return _parts(envelope)[1]


def peek_kid(envelope: bytes) -> bytes:
    """Return the key id the envelope claims in its protected header: of what we signed ourselves, or of no worth.

    Raises:
        PaymentError: `malformed` or `non_canonical`.
    """
    match cbor.decode(_parts(envelope)[0]):
        case {4: bytes(found)}:
            return found
    raise PaymentError("malformed", "no key id in the protected header")


def peek_type(envelope: bytes) -> str:
    """Return the type the envelope claims in its protected header: only to choose what to verify it as.

    Raises:
        PaymentError: `malformed` or `non_canonical`.
    """
    match cbor.decode(_parts(envelope)[0]):
        case {16: str(found)}:
            return found
    raise PaymentError("malformed", "no type in the protected header")


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", protected, b"", payload])


def _parts(envelope: bytes) -> tuple[bytes, bytes, bytes]:
    """Split into protected header, payload and signature."""
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise PaymentError("malformed", f"envelope larger than {MAX_ENVELOPE_BYTES} bytes")
    if envelope[:1] != bytes([SIGN1]):
        raise PaymentError("malformed", "not a tagged COSE_Sign1")
    match cbor.decode(envelope[1:]):
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            if unprotected or len(signature) != 64:
                raise PaymentError("malformed", "an unprotected header, or a signature that is not 64 bytes")
            return protected, payload, signature
    raise PaymentError("malformed", "not a COSE_Sign1")


def _key_id(protected: bytes, typ: str) -> bytes:
    match cbor.decode(protected):
        case {1: int(alg), 4: bytes(kid), 16: str(found), **rest}:
            if rest or alg != ES256 or not 1 <= len(kid) <= MAX_KID_BYTES:
                raise PaymentError("malformed", "another algorithm, a header we do not know, or a bad key id")
            if found != typ:
                raise PaymentError("malformed", f"a {typ} was expected")
            return kid
    raise PaymentError("malformed", "algorithm, key id and type must all be protected")
