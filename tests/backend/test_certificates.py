"""Certificates for links: for the terminal that signed for the key, for a key of the link's own, and for a while."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import CertificateGrant, CertificateRequest
from firmware.payment.trust import Trust, key_id
from hil.backend.certifier import Certifier, is_demo_authority
from hil.backend.fleet import CERTIFICATES_A_DAY, DAY_S, Fleet
from hil.backend.revocations import revocation_list, taken_back
from hil.backend.shop import START, Shop
from hil.backend.simulator import new_element
from tests.backend.fleet import asked, fleet

LIFE_S = 86_400


def authority(folder: Path, name: str = "Somebody's demo CA") -> tuple[Path, Path]:
    """PEM files of a certificate authority and of its key."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.fromtimestamp(START, timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start - timedelta(days=1))
        .not_valid_after(start + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "ca.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "ca.pem", folder / "ca.key"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


@pytest.fixture
def office(shop: Shop, tmp_path: Path) -> Fleet:
    return fleet(shop, certifier=Certifier(*authority(tmp_path / "ca"), LIFE_S))


def granted(shop: Shop, office: Fleet, envelope: bytes) -> x509.Certificate:
    """What came back for a request, for exactly these bytes."""
    grant = schema.verify(office.certificate("till-1", envelope), CertificateGrant, shop.trust.resolve)[1]
    assert (grant.terminal, grant.request) == ("till-1", hashlib.sha256(envelope).digest())
    return x509.load_der_x509_certificate(grant.certificate)


def test_a_link_gets_a_certificate_for_its_own_key_in_its_terminals_name(
    shop: Shop, office: Fleet, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = granted(shop, office, asked(shop, key=key))
    made.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca" / "ca.pem").read_bytes()))
    assert made.public_key() == key.public_key()
    assert made.subject.rfc4514_string() == "CN=till-1"
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    now = datetime.fromtimestamp(shop.time, timezone.utc)
    assert made.not_valid_before_utc < now
    assert made.not_valid_after_utc == now + timedelta(seconds=LIFE_S)


def test_the_same_request_again_gets_the_same_certificate(shop: Shop, office: Fleet) -> None:
    envelope = asked(shop)
    first = office.certificate("till-1", envelope)
    shop.time += 3_600
    assert office.certificate("till-1", envelope) == first


def test_a_certificate_given_under_a_key_that_is_another_now_is_given_again_under_that(
    shop: Shop, tmp_path: Path
) -> None:
    """Or a grant lost on its way would come again for ever, by a key nobody believes since it was revoked."""
    certifier, envelope = Certifier(*authority(tmp_path / "ca"), LIFE_S), asked(shop)
    first = granted(shop, fleet(shop, certifier=certifier), envelope)
    shop.key = ec.generate_private_key(ec.SECP256R1())
    shop.trust = Trust({key_id(shop.key.public_key()): shop.key.public_key()})
    assert granted(shop, fleet(shop, certifier=certifier), envelope) == first


def test_no_certificate_outlives_its_authority(shop: Shop, office: Fleet) -> None:
    shop.time += 3 * DAY_S // 2
    made = granted(shop, office, asked(shop))
    assert made.not_valid_after_utc == datetime.fromtimestamp(START, timezone.utc) + timedelta(days=2)


@pytest.mark.parametrize("name", ["till-2", "backend", "tap", "till-1 "])
def test_a_request_in_another_name_is_refused(shop: Shop, office: Fleet, name: str) -> None:
    with pytest.raises(PaymentError, match="terminal_mismatch"):
        office.certificate("till-1", asked(shop, name))


def test_a_terminal_registered_under_a_name_of_the_brokers_gets_no_certificate(shop: Shop, tmp_path: Path) -> None:
    certifier = Certifier(*authority(tmp_path / "ca"), LIFE_S)
    key = ec.generate_private_key(ec.SECP256R1())
    for name in ("backend", "backend-7", "tap", "probe"):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        with pytest.raises(PaymentError, match="terminal_mismatch"):
            certifier.issue(name, csr.public_bytes(Encoding.DER), frozenset(), START)


def test_another_terminals_or_a_strangers_request_is_refused(shop: Shop, office: Fleet) -> None:
    with pytest.raises(PaymentError, match="kid_topic_mismatch"):
        office.certificate("till-1", asked(shop, element=shop.terminals["till-2"].element))
    with pytest.raises(PaymentError, match="unknown_key"):
        office.certificate("till-1", asked(shop, element=new_element()))


def test_a_request_its_key_did_not_sign_is_refused(shop: Shop, office: Fleet) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "till-1")])
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    der = bytearray(csr.public_bytes(Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(PaymentError, match="bad_signature"):
        office.certificate("till-1", asked(shop, request=bytes(der)))


@pytest.mark.parametrize("noise", [b"\x30" * 64, bytes(64), b"\x30\x82\x01\x00" + bytes(252)])
def test_noise_is_no_request(shop: Shop, office: Fleet, noise: bytes) -> None:
    with pytest.raises(PaymentError, match="malformed"):
        office.certificate("till-1", asked(shop, request=noise))


def test_a_key_of_another_curve_is_refused(shop: Shop, office: Fleet) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(PaymentError, match="P-256"):
        office.certificate("till-1", asked(shop, key=key))


def test_the_device_key_is_not_certified_for_the_link(shop: Shop, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certifier = Certifier(*authority(tmp_path / "ca"), LIFE_S)
    csr = schema.decode(cose.peek(asked(shop, key=key)), CertificateRequest).request
    with pytest.raises(PaymentError, match="device key"):
        certifier.issue("till-1", csr, {key_id(key.public_key())}, START)


def test_an_old_request_is_good_only_where_a_person_hands_it_over(shop: Shop, office: Fleet) -> None:
    envelope = asked(shop)
    shop.time += 601
    with pytest.raises(PaymentError, match="expired"):
        office.certificate("till-1", envelope)
    assert office.certificate("till-1", envelope, age_s=30 * DAY_S)


def test_a_terminal_gets_a_few_certificates_a_day(shop: Shop, office: Fleet) -> None:
    for _ in range(CERTIFICATES_A_DAY):
        office.certificate("till-1", asked(shop))
    with pytest.raises(PaymentError, match="velocity"):
        office.certificate("till-1", asked(shop))
    shop.time += DAY_S
    assert office.certificate("till-1", asked(shop))


def test_a_suspected_clone_gets_no_certificate(shop: Shop, office: Fleet) -> None:
    message = shop.till.read(shop.authorized())
    shop.answer(shop.till.sign(message))
    assert shop.code(shop.till.sign(msgspec.structs.replace(message, amount_minor=1))) == "clone_suspected"
    with pytest.raises(PaymentError, match="suspended"):
        office.certificate("till-1", asked(shop))


def test_a_backend_without_an_authority_certifies_nobody(shop: Shop) -> None:
    with pytest.raises(PaymentError, match="certifier"):
        fleet(shop).certificate("till-1", asked(shop))


def test_a_key_that_is_not_the_authoritys_is_refused(tmp_path: Path) -> None:
    ca, _ = authority(tmp_path / "one")
    _, key = authority(tmp_path / "two")
    with pytest.raises(PaymentError, match="not the key of"):
        Certifier(ca, key, LIFE_S)
    assert is_demo_authority(ca)
    assert not is_demo_authority(authority(tmp_path / "three", "Somebody's CA")[0])


# -- taken back ---------------------------------------------------------------------------------------------------


def gone(shop: Shop) -> list[str]:
    return [
        each.terminal for each in shop.store.transact(lambda ledger: taken_back(ledger, shop.registrations, shop.time))
    ]


def test_the_certificates_of_a_terminal_whose_key_no_longer_counts_are_taken_back(shop: Shop, office: Fleet) -> None:
    office.certificate("till-1", asked(shop))
    assert gone(shop) == []
    for change in ({"revoked": True}, {"since": shop.time + 1}, {"terminal": "till-9"}):
        known = list(shop.registrations)
        shop.register_again(**change)
        assert gone(shop) == ["till-1"], change
        shop.registrations = known
    shop.restart_backend()
    message = shop.till.read(shop.authorized())
    shop.answer(shop.till.sign(message))
    assert shop.code(shop.till.sign(msgspec.structs.replace(message, amount_minor=1))) == "clone_suspected"
    assert gone(shop) == ["till-1"]
    shop.time += LIFE_S
    assert gone(shop) == [], "it has ended by itself"


def test_what_was_on_the_list_stays_on_it(tmp_path: Path) -> None:
    certifier = Certifier(*authority(tmp_path / "ca"), LIFE_S)
    path = tmp_path / "ca.crl"
    for serial in (7, 8, 7):
        path.write_bytes(revocation_list(path, certifier.ca, certifier.key, [serial], START))
    made = x509.load_pem_x509_crl(path.read_bytes())
    assert {entry.serial_number for entry in made} == {7, 8}
    assert made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 3
    assert made.next_update_utc == datetime.fromtimestamp(START, timezone.utc) + timedelta(days=7)
    other = Certifier(*authority(tmp_path / "other"), LIFE_S)
    with pytest.raises(PaymentError, match="not this authority's list"):
        revocation_list(path, other.ca, other.key, [], START)
    path.write_text("no list")
    with pytest.raises(PaymentError, match="not a list"):
        revocation_list(path, certifier.ca, certifier.key, [], START)
