"""Which certificates of links are taken back: those of terminals whose device key stands for nothing any more.

Rules kept here:
- What was once on the list of the authority stays on it.
- A certificate ends soon by itself; the list is for those who must be gone from the broker now.
"""

import datetime
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from firmware.payment.errors import PaymentError
from firmware.payment.trust import key_id, load_pem
from hil.backend import fleet_store
from hil.backend.fleet_store import Certified
from hil.backend.policy import Registration
from hil.backend.store import Transaction

# it is signed anew every day; a broker whose list has ended lets nobody in
LIST_LIFE = datetime.timedelta(days=7)
EARLIER = datetime.timedelta(minutes=5)


def taken_back(ledger: Transaction, registrations: Iterable[Registration], now: int) -> list[Certified]:
    """Every certificate still good at `now` whose terminal is not registered, revoked, suspended, or got a new key."""
    known, db = {each.terminal: each for each in registrations}, ledger.connection
    suspended = fleet_store.suspended_keys(db)

    def stands(certified: Certified) -> bool:
        found = known.get(certified.terminal)
        if found is None or found.revoked or certified.granted_at < found.since:
            return False
        return key_id(load_pem(found.public_key.encode(), found.terminal)) not in suspended

    return [each for each in fleet_store.certified(db, now) if not stands(each)]


def revocation_list(
    path: Path, ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, serials: Iterable[int], now: int
) -> bytes:
    """Return the list at `path`, PEM, with `serials` added, signed anew at `now`.

    Raises:
        PaymentError: `trust`, there is a list and it is not this authority's.
    """
    number, entries = 0, dict[int, x509.RevokedCertificate]()
    if path.exists():
        number, entries = _read(path, key)
    at = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        entries.setdefault(serial, entry)
    issuer = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(at - EARLIER)
        .next_update(at + LIST_LIFE)
        .add_extension(x509.CRLNumber(number + 1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )
    for entry in entries.values():
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _read(path: Path, key: ec.EllipticCurvePrivateKey) -> tuple[int, dict[int, x509.RevokedCertificate]]:
    """The number and the entries of a list of ours."""
    try:
        known = x509.load_pem_x509_crl(path.read_bytes())
        ours = known.is_signature_valid(key.public_key())
        number = known.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise PaymentError("trust", f"{path}: not a list of revoked certificates: {error}") from error
    if not ours:
        raise PaymentError("trust", f"{path}: not this authority's list")
    return number, {entry.serial_number: entry for entry in known}
