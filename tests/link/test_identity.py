"""The TLS key of link's own: it stays here, and a certificate comes into use whole or not at all."""

import datetime
import stat
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmware.link.identity import Identity
from firmware.link.tls import LinkError
from firmware.runtime.config import TlsConfig
from hil.rig.certificates import Authority

DAY_S = 86_400


class Files:
    """A terminal's files of TLS in a folder, with the authority that certifies it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "ca")
        self.certificate, self.key = folder / "link.pem", folder / "link.key"
        self.next_key = folder / "link.key.next"
        self.tls = TlsConfig(
            ca=str(self.authority.ca), crl=str(self.authority.crl), certificate=str(self.certificate), key=str(self.key)
        )

    def identity(self) -> Identity:
        """As after a start."""
        return Identity(self.tls, "t-1")

    def granted(self, request: bytes, name: str = "t-1", ends: datetime.datetime | None = None) -> bytes:
        """A certificate for a request."""
        key = x509.load_der_x509_csr(request).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return der(self.authority.certify(name, key, ends=ends))

    def in_use(self) -> tuple[bytes, bytes]:
        """Certificate and key as they lie there."""
        return self.certificate.read_bytes(), self.key.read_bytes()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def pair_fits(files: Files) -> bool:
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    return certificate.public_key() == key.public_key()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def used(files: Files) -> Files:
    """With a certificate in use."""
    identity = files.identity()
    identity.install(files.granted(identity.request()), time.time())
    return files


def test_request_is_for_a_new_key_that_only_link_can_read_and_leaves_in_no_message(used: Files) -> None:
    before = used.in_use()
    request = x509.load_der_x509_csr(encoded := used.identity().request())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=t-1"
    assert isinstance(request.public_key().curve, ec.SECP256R1)  # type: ignore[union-attr]
    assert len(encoded) <= 512
    assert stat.S_IMODE(used.next_key.stat().st_mode) == 0o600
    assert used.in_use() == before
    assert request.public_key() != x509.load_pem_x509_certificate(before[0]).public_key()


def test_waiting_key_is_the_same_after_a_restart(files: Files) -> None:
    first, second = (x509.load_der_x509_csr(files.identity().request()) for _ in range(2))
    assert first.public_key() == second.public_key()


def test_certificate_comes_into_use_with_its_key(used: Files) -> None:
    identity, before = used.identity(), used.in_use()
    granted = used.granted(identity.request())
    identity.install(granted, time.time())
    assert pair_fits(used)
    assert used.in_use() != before
    assert not used.next_key.exists()
    assert stat.S_IMODE(used.key.stat().st_mode) == 0o600
    assert identity.until == int(x509.load_der_x509_certificate(granted).not_valid_after_utc.timestamp())


def test_power_cut_between_certificate_and_key_is_made_good_at_the_next_start(used: Files) -> None:
    granted = x509.load_der_x509_certificate(used.granted(used.identity().request()))
    used.certificate.write_bytes(granted.public_bytes(serialization.Encoding.PEM))
    assert not pair_fits(used)
    assert not used.identity().due(time.time())
    assert pair_fits(used)


def test_another_is_due_in_the_last_third_of_its_life_and_where_there_is_none(used: Files) -> None:
    identity = used.identity()
    end = identity.until
    assert not identity.due(end - DAY_S / 3 - 600)
    assert identity.due(end - DAY_S / 3 + 600)
    assert identity.due(end + 1)
    used.key.unlink()
    assert used.identity().due(end - DAY_S)
    used.certificate.unlink()
    assert used.identity().due(end - DAY_S)
    assert used.identity().until == 0


def test_certificate_that_has_ended_is_not_even_tried(used: Files) -> None:
    identity = used.identity()
    identity.check(identity.until - 1)
    with pytest.raises(LinkError, match="has ended; `tessera link request`"):
        identity.check(identity.until)


def refused(files: Files, certificate: bytes, why: str) -> None:
    before = files.in_use()
    with pytest.raises(LinkError, match=why):
        files.identity().install(certificate, time.time())
    assert files.in_use() == before
    assert pair_fits(files)


def test_certificate_for_another_key_or_one_nobody_asked_for_is_refused(used: Files) -> None:
    other = der(used.authority.certify("t-1", ec.generate_private_key(ec.SECP256R1()).public_key()))
    refused(used, other, "not for the key that waits")
    used.identity().request()
    refused(used, other, "not for the key that waits")


def test_certificate_in_another_name_is_refused(used: Files) -> None:
    refused(used, used.granted(used.identity().request(), "t-2"), "not one of t-1")


def test_certificate_of_a_server_is_refused(used: Files) -> None:
    key = x509.load_der_x509_csr(used.identity().request()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    refused(used, der(used.authority.certify("t-1", key, ExtendedKeyUsageOID.SERVER_AUTH)), "as a client")


def test_certificate_of_a_rogue_authority_is_refused(used: Files, tmp_path: Path) -> None:
    ours, used.authority = used.authority, Authority(tmp_path / "rogue")
    rogue = used.granted(used.identity().request())
    used.authority = ours
    refused(used, rogue, "not of a pinned authority")


def test_certificate_that_has_ended_already_is_refused(used: Files) -> None:
    ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    refused(used, used.granted(used.identity().request(), ends=ended), "ended at")


@pytest.mark.parametrize("odd", [b"", b"\x30", b"\x30\x82\x07\xff" + bytes(100)])
def test_rough_bytes_are_refused(used: Files, odd: bytes) -> None:
    refused(used, odd, "cannot be read")


@pytest.mark.parametrize(
    ("part", "by"),
    [
        (bytes.fromhex("a003020102"), bytes.fromhex("a003020107")),  # version 8
        (bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030109")),  # a curve nobody knows
        (bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d23")),  # an extension twice
        (bytes.fromhex("170d"), bytes.fromhex("170c")),  # no time
    ],
)
def test_certificate_with_an_odd_part_is_refused_and_not_stumbled_over(used: Files, part: bytes, by: bytes) -> None:
    granted = used.granted(used.identity().request())
    assert part in granted
    refused(used, granted.replace(part, by), "cannot be read")


def test_files_that_cannot_be_written_change_nothing(used: Files) -> None:
    identity = used.identity()
    granted, before = used.granted(identity.request()), used.in_use()
    used.certificate.with_name("link.pem.tmp").mkdir()
    with pytest.raises(LinkError, match="cannot be written"):
        identity.install(granted, time.time())
    assert used.in_use() == before
    assert pair_fits(used)
