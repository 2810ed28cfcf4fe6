"""The TLS key of `link`'s own, and the certificate for it: asked for, taken, exchanged before it ends.

Rules kept here:
- The key is made here and leaves in no message; only this process's user can read its file. It signs no payment.
- Each certificate is for a new key. The new key waits in a file beside the one in use, so that a certificate that comes
  after a restart still finds it.
- A certificate is installed only if it is for the waiting key and for this terminal, by a pinned authority itself, and
  has not ended. First it, then its key: a power cut between the two is made good at the next start.
"""

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.link.tls import LinkError, is_p256, issuer_of, load_authorities, parsed
from firmware.runtime.config import TlsConfig

# of a certificate's life: with less than this left another is asked for
RENEW_AT = 1 / 3


class Identity:
    """The files of one terminal's TLS key.

    Args:
        tls: where they are.
        terminal: our id, the name in the certificate.
    """

    def __init__(self, tls: TlsConfig, terminal: str) -> None:
        self._tls, self._terminal = tls, terminal
        self._certificate, self._key = Path(tls.certificate), Path(tls.key)
        self._next_key = Path(f"{tls.key}.next")
        self._settle()

    @property
    def until(self) -> int:
        """When the certificate in use ends, seconds since 1970; 0 where there is none that can be read."""
        certificate = self._load()
        return int(certificate.not_valid_after_utc.timestamp()) if certificate is not None else 0

    def check(self, now: float) -> None:
        """See that the certificate in use has not ended: the broker would hang up and not say why.

        Raises:
            LinkError: it has.
        """
        if 0 < self.until <= now:
            raise LinkError(
                f"link.tls.certificate: {self._certificate} has ended; `tessera link request` asks for another by hand"
            )

    def due(self, now: float) -> bool:
        """Whether another certificate is to be asked for: there is none, or the last third of its life has begun."""
        certificate = self._load()
        if certificate is None or not self._is_for(certificate, self._key):
            return True
        begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        return now >= end - (end - begin) * RENEW_AT

    def request(self) -> bytes:
        """Return a PKCS#10 request, DER, for the waiting key, which is made where there is none.

        Raises:
            LinkError: the key cannot be kept.
        """
        key = _load_key(self._next_key)
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            _write(self._next_key, _pem(key), 0o600)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._terminal)])
        asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        return asked.public_bytes(serialization.Encoding.DER)

    def install(self, encoded: bytes, now: float) -> None:
        """Take a certificate into use, DER; the next connection is made with it.

        Raises:
            LinkError: it is not what was asked for, or cannot be kept. What was in use stays.
        """
        try:
            certificate = parsed(encoded)
            authorities = load_authorities(self._tls)
        except (OSError, ValueError) as error:
            raise LinkError(f"a new certificate cannot be read: {error}") from error
        if not self._is_for(certificate, self._next_key):
            raise LinkError("a new certificate is not for the key that waits for one")
        if _names(certificate) != [self._terminal] or not _for_clients(certificate) or not is_p256(certificate):
            raise LinkError(f"a new certificate is not one of {self._terminal} as a client")
        if issuer_of(certificate, authorities) is None:
            raise LinkError("a new certificate is not of a pinned authority")
        if certificate.not_valid_after_utc.timestamp() <= now:
            raise LinkError(f"a new certificate ended at {certificate.not_valid_after_utc}")
        _write(self._certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        self._settle()

    def _settle(self) -> None:
        """Where the certificate is for the waiting key, that key is the one in use."""
        certificate = self._load()
        if certificate is not None and self._is_for(certificate, self._next_key):
            try:
                os.replace(self._next_key, self._key)
            except OSError as error:
                raise LinkError(f"{self._key}: cannot be written: {error}") from error

    def _is_for(self, certificate: x509.Certificate, path: Path) -> bool:
        key = _load_key(path)
        return key is not None and certificate.public_key() == key.public_key()

    def _load(self) -> x509.Certificate | None:
        try:
            return parsed(self._certificate.read_bytes(), x509.load_pem_x509_certificate)
        except (OSError, ValueError):
            return None


def _names(certificate: x509.Certificate) -> list[str | bytes]:
    return [attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file at once and for good. Raises LinkError."""
    aside = path.with_name(path.name + ".tmp")
    try:
        aside.unlink(missing_ok=True)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise LinkError(f"{path}: cannot be written: {error}") from error
