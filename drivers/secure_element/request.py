"""Certificate requests (PKCS#10) for a key that never leaves its element."""

from typing import Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

from drivers.secure_element.interface import SecureElement, SecureElementError


def certificate_request(element: SecureElement, common_name: str, *, waiting: bool = False) -> bytes:
    """A request for a certificate of the device identity, signed by that identity: PEM.

    Args:
        element: whose identity.
        common_name: the terminal's name, 1 to 64 characters.
        waiting: for the next identity, which is made where none waits yet, and not for the one in force.

    Raises:
        SecureElementError: the element refused, or the name is none.
    """
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError as error:
        raise SecureElementError(f"{common_name!r} cannot be the name in a certificate: {error}") from error
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(_KeyInside(element, waiting), hashes.SHA256()).public_bytes(Encoding.PEM)


class _KeyInside(ec.EllipticCurvePrivateKey):
    """What cryptography takes for a private key, and asks for signatures only."""

    def __init__(self, element: SecureElement, waiting: bool) -> None:
        key = load_der_public_key(element.prepare_identity() if waiting else element.public_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise SecureElementError("the element's identity is no elliptic-curve key")
        self._public_key = key
        self._sign = element.prove_identity if waiting else element.sign

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise SecureElementError("the element signs with SHA-256 alone")
        signature = self._sign(bytes(data))
        return utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:  # noqa: ARG002
        raise SecureElementError("the device identity signs, nothing else")

    def private_numbers(self) -> NoReturn:
        raise SecureElementError("the device identity does not leave its element")

    def private_bytes(self, *_: Any) -> NoReturn:
        raise SecureElementError("the device identity does not leave its element")

    def __copy__(self) -> "_KeyInside":
        return self

    def __deepcopy__(self, _: Any) -> "_KeyInside":
        return self
