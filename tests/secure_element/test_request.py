"""Certificate requests by a key that stays in its element."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from drivers.secure_element import request as module
from drivers.secure_element.interface import SecureElementError
from drivers.secure_element.request import certificate_request
from drivers.secure_element.software import in_memory


def read(pem: bytes) -> tuple[x509.CertificateSigningRequest, bytes]:
    """The request, its signature checked, and the public key in it, DER."""
    request = x509.load_pem_x509_csr(pem)
    assert request.is_signature_valid
    return request, request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_request_is_signed_by_the_identity_in_force() -> None:
    element = in_memory()
    request, key = read(certificate_request(element, "till-1"))
    assert key == element.public_key
    assert [name.value for name in request.subject] == ["till-1"]
    assert request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


def test_a_request_for_the_next_identity_changes_nothing_in_force() -> None:
    element = in_memory()
    first = element.public_key
    _, key = read(certificate_request(element, "till-1", waiting=True))
    assert element.public_key == first != key
    _, again = read(certificate_request(element, "till-1", waiting=True))
    assert again == key == element.prepare_identity()
    element.adopt_identity()
    assert element.public_key == key


@pytest.mark.parametrize("name", ["", "t" * 65])
def test_a_name_that_fits_no_certificate_is_refused(name: str) -> None:
    with pytest.raises(SecureElementError, match="name in a certificate"):
        certificate_request(in_memory(), name)


def test_the_key_does_not_leave_even_where_it_is_asked_to() -> None:
    key = module._KeyInside(in_memory(), waiting=False)
    with pytest.raises(SecureElementError):
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(SecureElementError):
        key.private_numbers()
    with pytest.raises(SecureElementError):
        key.exchange(ec.ECDH(), key.public_key())
