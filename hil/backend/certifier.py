"""Certificates for the TLS keys of links, for a day or so: the device identity has stood for the key.

Rules kept here:
- A certificate says the one name of the terminal that asked, and only a client may use it. What else a request wants
  is not looked at: everything in the certificate is ours.
- The key is of P-256, whoever asks holds it (the request is signed by it), and it is no device key.
- Names with a meaning at the broker are nobody's, registered or not.
"""

import datetime
import re
from collections.abc import Container
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.payment.errors import PaymentError
from firmware.payment.trust import key_id
from hil.backend.keys import load_backend_key

# users of the broker that are no terminals
RESERVED = re.compile(r"(backend(-[0-9]+)?|tap|probe|server|localhost)\Z")
# a clock that is a little behind must not find it "not yet valid"
EARLIER = datetime.timedelta(minutes=5)


class Certifier:
    """A certificate authority's key and name, from PEM files. Raises PaymentError `trust`.

    Args:
        ca: its certificate.
        key: its private key.
        life_s: how long what it issues is good for, seconds.

    Attributes:
        ca, key: what was read.
    """

    def __init__(self, ca: Path, key: Path, life_s: int) -> None:
        self.ca, self.key, self._life = _read(ca), load_backend_key(key), datetime.timedelta(seconds=life_s)
        if self.ca.public_key() != self.key.public_key():
            raise PaymentError("trust", f"{key}: not the key of {ca}")

    def issue(
        self, terminal: str, request: bytes, device_keys: Container[bytes], now: int
    ) -> tuple[x509.Certificate, bytes]:
        """Return (certificate, its DER) for a PKCS#10 request of a terminal.

        Args:
            terminal: whose device key signed for it.
            request: DER.
            device_keys: ids of device keys, none of which is certified.
            now: whole seconds since 1970.

        Raises:
            PaymentError: `malformed`, `bad_signature` or `terminal_mismatch`; `trust`, the authority has ended.
        """
        key = requested_key(terminal, request)
        if key_id(key) in device_keys:
            raise PaymentError("malformed", "a device key is asked for; a link has a key of its own")
        start = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
        end = min(start + self._life, self.ca.not_valid_after_utc)
        if end <= start:
            raise PaymentError("trust", f"certifier.ca: ended at {end}; nobody is certified")
        issuer = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, terminal)]))
            .issuer_name(self.ca.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - EARLIER)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNS, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate, certificate.public_bytes(Encoding.DER)


def requested_key(terminal: str, request: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a PKCS#10 request, DER, in this terminal's name, which whoever made it holds.

    Raises:
        PaymentError: `malformed`, `bad_signature`, or `terminal_mismatch` for another name, or one that is nobody's.
    """
    try:
        made = x509.load_der_x509_csr(request)
        key, subject = made.public_key(), made.subject
        holds = made.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise PaymentError("malformed", f"not a certificate request: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PaymentError("malformed", "not a request for a P-256 key")
    if not holds:
        raise PaymentError("bad_signature", "the request is not signed by the key it is for")
    if subject != x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, terminal)]) or RESERVED.match(terminal):
        raise PaymentError("terminal_mismatch", f"the request is for another name than {terminal}, or nobody's name")
    return key


def is_demo_authority(ca: Path) -> bool:
    """Whether this certificate authority calls itself one of a demonstration. Raises PaymentError `trust`."""
    return "demo" in _read(ca).subject.rfc4514_string().lower()


def _read(ca: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(ca.read_bytes())
    except (OSError, ValueError) as error:
        raise PaymentError("trust", f"{ca}: not a certificate: {error}") from error


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=False,
    crl_sign=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
