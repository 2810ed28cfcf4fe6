"""TLS to the broker: both sides by certificate, judged by a time that has surely passed.

Rules kept here:
- TLS 1.3 only, P-256 only. Chain, name and revocation list are OpenSSL's to check, strictly.
- A terminal that was without power may not know what time it is. So OpenSSL's own look at the clock is off, and ours
  follows the handshake, before anything of ours is sent: what ended before `now()` is refused, the list and the
  authority included. Whether something is valid already is not asked: `now` is only the least the time can be.
- A pinned authority itself has signed the broker's certificate: nothing between them could have ended unseen.
- No packet above `MAX_PACKET_BYTES` is read, whatever its head says.
"""

import contextlib
import datetime
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from firmware.runtime.config import TlsConfig
from firmware.runtime.messages import MAX_ENVELOPE_BYTES

# an envelope and room for topic and properties
MAX_PACKET_BYTES = MAX_ENVELOPE_BYTES + 1024
# what reading X.509 comes to where it is odd, at once or when a part of it is looked at
_ODD = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
# of a terminal's configuration
LINK_TABLE = "link.tls"
_LIST = b"-----BEGIN X509 CRL-----"
# X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h)
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


class LinkError(Exception):
    """The connection cannot even be tried: a file of TLS is missing, wrong or has ended. The message names it."""


def client_context(tls: TlsConfig, now: Callable[[], float], table: str = LINK_TABLE) -> ssl.SSLContext:
    """Return a client's context.

    Args:
        tls: the files.
        now: a time that has surely passed, seconds since 1970.
        table: what the configuration calls them.

    Raises:
        LinkError: a file cannot be used; it says which.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve("prime256v1")
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF | _NO_CHECK_TIME
    with _named(table, "ca", tls.ca):
        context.load_verify_locations(tls.ca)
        authorities = load_authorities(tls)
    with _named(table, "crl", tls.crl):
        context.load_verify_locations(tls.crl)
        revoked = _load_lists(Path(tls.crl).read_bytes())
    with _named(table, "certificate", tls.certificate):
        x509.load_pem_x509_certificate(Path(tls.certificate).read_bytes())
    with _named(table, "key", tls.key):
        context.load_cert_chain(tls.certificate, tls.key)
    context.sslsocket_class = _judged_by(lambda peer: judge(peer, authorities, revoked, now()))
    return context


@contextlib.contextmanager
def _named(table: str, key: str, path: str) -> Iterator[None]:
    """Say of which file it is where it cannot be used. Raises LinkError."""
    try:
        yield
    except (OSError, *_ODD) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        own = table == LINK_TABLE and key in ("certificate", "key")
        then = "; `tessera link request` asks for a certificate by hand" if own else ""
        raise LinkError(f"{table}.{key}: {path}: {why}{then}") from error


def load_authorities(tls: TlsConfig) -> list[x509.Certificate]:
    """Return the pinned authorities. Raises OSError, ValueError."""
    found = x509.load_pem_x509_certificates(Path(tls.ca).read_bytes())
    return [parsed(one.public_bytes(Encoding.DER)) for one in found]


def parsed(
    encoded: bytes, load: Callable[[bytes], x509.Certificate] = x509.load_der_x509_certificate
) -> x509.Certificate:
    """Return a certificate, DER unless `load` says otherwise, whose every part can be read. Raises ValueError."""
    try:
        certificate = load(encoded)
        certificate.public_key()
        list(certificate.subject)
        list(certificate.extensions)
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.issuer
    except _ODD as error:
        raise ValueError(f"not a certificate: {error}") from error
    return certificate


def judge(
    peer: x509.Certificate,
    authorities: Sequence[x509.Certificate],
    revoked: Sequence[x509.CertificateRevocationList],
    now: float,
) -> None:
    """Check what OpenSSL was not asked or cannot know.

    Raises:
        ssl.SSLCertVerificationError: which certificate or list, and what is wrong with it.
    """
    issuer = issuer_of(peer, authorities)
    if issuer is None:
        raise _refused("the broker's certificate is not of a pinned authority itself")
    if not (is_p256(peer) and is_p256(issuer)):
        raise _refused("the broker's key or the authority's is not P-256")
    for what, ends in (
        ("the broker's certificate", peer.not_valid_after_utc),
        ("the authority's certificate", issuer.not_valid_after_utc),
        ("the list of revoked certificates", _end_of_list(issuer, revoked)),
    ):
        if ends is None or ends.timestamp() <= now:
            raise _refused(f"{what} ended at {ends}")


def issuer_of(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Return the one among `authorities` whose signature `certificate` carries, if any."""
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (InvalidSignature, *_ODD):
            continue
        return authority
    return None


def is_p256(certificate: x509.Certificate) -> bool:
    """Whether its key is on P-256."""
    key = certificate.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _load_lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    parts = [part for part in pem.split(_LIST) if part.strip()]
    return [x509.load_pem_x509_crl(_LIST + part) for part in parts]


def _end_of_list(
    issuer: x509.Certificate, revoked: Sequence[x509.CertificateRevocationList]
) -> datetime.datetime | None:
    """When the newest list of this authority ends."""
    key = issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    own = [one.next_update_utc for one in revoked if one.issuer == issuer.subject and one.is_signature_valid(key)]
    return max((ends for ends in own if ends is not None), default=None)


def _judged_by(judge_peer: Callable[[x509.Certificate], None]) -> type[ssl.SSLSocket]:
    class Judged(ssl.SSLSocket):
        """A socket that is of use only once its peer was judged."""

        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            encoded = self.getpeercert(binary_form=True)
            assert encoded is not None
            try:
                peer = parsed(encoded)
            except ValueError as error:
                raise _refused(f"the broker's certificate cannot be read: {error}") from error
            judge_peer(peer)

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            # paho asks for the whole rest of a packet at once, as its head says
            if buflen > MAX_PACKET_BYTES:
                raise ConnectionError(f"a packet of more than {MAX_PACKET_BYTES} bytes")
            return super().recv(buflen, flags)

    return Judged


def _refused(why: str) -> ssl.SSLCertVerificationError:
    return ssl.SSLCertVerificationError(1, why)
