"""A fleet of two tills in process: what they sign, and the backend's answers."""

import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from drivers.secure_element.interface import SecureElement
from firmware.payment import authorize, schema
from firmware.payment.messages import Allowance, Beacon, BeaconRequest, CertificateRequest, Status
from hil.backend.certifier import Certifier
from hil.backend.fleet import Fleet
from hil.backend.installation import Installation
from hil.backend.policy import Policy
from hil.backend.shop import Shop
from hil.backend.terminals import Terminals

NONCE = bytes(range(32))


def fleet(shop: Shop, policy: Policy | None = None, certifier: Certifier | None = None) -> Fleet:
    """The backend's other half, on the shop's store and clock."""
    installation = Installation(shop.key, b"", Terminals(shop.registrations), policy or shop.policy, certifier)
    return Fleet(shop.store, installation, lambda: shop.time)


def request(element: SecureElement, terminal: str = "till-1") -> bytes:
    """What time is it?"""
    return authorize.sign(BeaconRequest(terminal=terminal, nonce=NONCE, counter=0, waiting=0), element)


def allowance(shop: Shop, of: Fleet) -> Allowance:
    """What till-1 is allowed by its next beacon."""
    sealed = of.beacon("till-1", request(shop.till.element))
    return schema.verify(sealed, Beacon, shop.trust.resolve)[1].allowance


def status(shop: Shop, **changes: Any) -> bytes:
    """How till-1 is."""
    return said_by(shop.till.element, **({"issued_at": shop.time} | changes))


def said_by(element: SecureElement, **changes: Any) -> bytes:
    """How till-1 is, in its own words."""
    said: dict[str, Any] = {
        "terminal": "till-1",
        "connection": bytes(16),
        "sequence": 1,
        "presence": "online",
        "issued_at": int(time.time()),
        "profile": "demo",
        "firmware": "0.1.0",
        "models": bytes(32),
        "camera": "virtual-0",
        "key_set": 1,
        "counter": 0,
        "waiting": 0,
        "people": 3,
        "tls_until": 0,
    }
    return authorize.sign(Status(**(said | changes)), element)


def asked(
    shop: Shop,
    name: str = "till-1",
    key: ec.EllipticCurvePrivateKey | None = None,
    element: SecureElement | None = None,
    request: bytes | None = None,
) -> bytes:
    """A request of till-1 for a certificate."""
    return asked_by(element or shop.till.element, request or requested(name, key), shop.time)


def asked_by(element: SecureElement, request: bytes | None = None, now: int | None = None) -> bytes:
    """A request of till-1 for a certificate, signed by this element."""
    issued_at = int(time.time()) if now is None else now
    made = request or requested("till-1")
    return authorize.sign(CertificateRequest(terminal="till-1", request=made, issued_at=issued_at), element)


def requested(name: str, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A PKCS#10 request in this name, DER; for a new key where none is given."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)
