"""A demo certificate authority for brokers and links on one machine, and its list of what it took back.

Rules kept here:
- Everything it issues ends within a day, and says "demo" in its issuer: a production broker has another root.
- The certificate's common name is the broker's user name and so the MQTT client id: a terminal's is its id.
- Private keys are files of mode 0600. They are TLS keys; the key that signs authorizations is another.
"""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(hours=24)
# a clock that is a little behind must not find everything "not yet valid"
_EARLIER = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM files for one end of a mutual TLS connection; `crl` is what the authority took back."""

    ca: Path
    crl: Path
    certificate: Path
    key: Path


class Authority:
    """A demo CA, writing what it issues to `directory`.

    Args:
        directory: made if absent.
        name: of the CA; two with the same name still do not trust each other.

    Attributes:
        ca: its certificate.
        key: its private key, for a backend that renews the certificates of terminals.
        crl: what it took back, by now.
    """

    def __init__(self, directory: Path, name: str = "Tessera demo CA") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._revoked: list[x509.RevokedCertificate] = []
        self._certificate = (
            self._builder(self._name, self._key.public_key(), _in_a_day())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca, self.key, self.crl = directory / "ca.pem", directory / "ca.key", directory / "ca.crl"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(self.key, self._key)
        self.list_revoked()

    def issue_server(self, ends: datetime.datetime | None = None, curve: ec.EllipticCurve | None = None) -> Identity:
        """Issue a certificate for a server on 127.0.0.1. `ends`: in a day unless told; `curve`: P-256 unless told."""
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names = x509.SubjectAlternativeName(here)
        return self._issue("server", ExtendedKeyUsageOID.SERVER_AUTH, names, ends, curve)

    def issue_client(self, name: str, ends: datetime.datetime | None = None) -> Identity:
        """Issue a certificate for the client `name`: a terminal's id, or a user of the broker's access list."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, None, ends, None)

    def certify(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        ends: datetime.datetime | None = None,
        names: x509.SubjectAlternativeName | None = None,
    ) -> x509.Certificate:
        """Sign a certificate for somebody else's key."""
        builder = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, ends or _in_a_day())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def revoke(self, identity: Identity) -> None:
        """Take a certificate back. Brokers hear of it by `Broker.reload`, links at their next connection."""
        taken = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
        revoked = x509.RevokedCertificateBuilder().serial_number(taken.serial_number).revocation_date(_now())
        self._revoked.append(revoked.build())
        self.list_revoked()

    def list_revoked(self, ends: datetime.datetime | None = None) -> None:
        """Write the list of what was taken back; it says nothing any more after `ends`, in a day unless told."""
        until = ends or _in_a_day()
        issuer = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(min(_now(), until) - _EARLIER)
            .next_update(until)
            .add_extension(x509.CRLNumber(len(self._revoked)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        for revoked in self._revoked:
            builder = builder.add_revoked_certificate(revoked)
        listed = builder.sign(self._key, hashes.SHA256())
        self.crl.write_bytes(listed.public_bytes(serialization.Encoding.PEM))

    def _issue(
        self,
        name: str,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
        ends: datetime.datetime | None,
        curve: ec.EllipticCurve | None,
    ) -> Identity:
        key = ec.generate_private_key(curve or ec.SECP256R1())
        certificate = self.certify(name, key.public_key(), usage, ends, names)
        identity = Identity(self.ca, self.crl, self._directory / f"{name}.pem", self._directory / f"{name}.key")
        identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(identity.key, key)
        return identity

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ends: datetime.datetime
    ) -> x509.CertificateBuilder:
        issuer = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(_now(), ends) - _EARLIER)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _in_a_day() -> datetime.datetime:
    return _now() - _EARLIER + LIFETIME


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
