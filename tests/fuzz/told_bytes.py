"""What terminal and backend tell each other besides payments, rightly signed whatever it says, and X.509 within it."""

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.link.identity import Identity
from firmware.link.tls import LinkError
from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.intent import read_cancellation
from firmware.payment.messages import NO_ID, Beacon, BeaconRequest, Cancellation, CertificateRequest, KeySet, Status
from firmware.payment.trust import key_id
from firmware.runtime.config import TlsConfig
from hil.backend.certifier import Certifier
from hil.backend.keys import signer
from hil.backend.shop import START, Shop
from tests.backend.fleet import fleet, request, requested, status
from tests.backend.test_certificates import authority
from tests.fuzz.payment_bytes import code_of
from tests.payment.rooted import T0, Rooted

NONCE = bytes(range(32))


class Believer:
    """The terminal: keys by its root, the time it asks for, what is taken back."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._rooted = Rooted(folder)
        self.key_set = cose.peek(self._rooted.set_of(2))
        self.beacon = cose.peek(self._rooted.beacon(NONCE))
        said = Cancellation(intent=NO_ID, intent_hash=bytes(32), terminal="till-1", issued_at=T0)
        self.cancellation = schema.encode(said)

    def take_keys(self, payload: bytes) -> str:
        """As a set by the root: versions never fall, and it must not have ended."""
        before = self._rooted.keys.version
        code = self._rooted.taken(self._sealed(payload, self._rooted.root, KeySet))
        # which may have left the backend's key out: for the others it counts on
        self._rooted.keys._keys[key_id(self._rooted.key.public_key())] = self._rooted.key.public_key()
        assert self._rooted.keys.version >= before
        return code or "read"

    def take_time(self, payload: bytes) -> str:
        """As a beacon: the floor never falls."""
        before = self._rooted.time_floor
        self._rooted.beacons.ask(NONCE)
        code = self._rooted.hear(self._sealed(payload, self._rooted.key, Beacon))
        assert self._rooted.time_floor >= before
        return code or "read"

    def take_back(self, payload: bytes) -> str:
        """As a cancellation: it is for this terminal."""
        envelope = self._sealed(payload, self._rooted.key, Cancellation)
        return code_of(lambda: read_cancellation(envelope, self._rooted.keys, "till-1"))

    @staticmethod
    def _sealed(payload: bytes, key: ec.EllipticCurvePrivateKey, kind: type[schema.Message]) -> bytes:
        return cose.sign(payload, signer(key), key_id(key.public_key()), kind.TYP)


class Desk:
    """The backend's other half: what till-1 asks and says, and what is certified."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        ca, ca_key = authority(folder)
        (folder / "ca.crl").touch()
        self._certifier = Certifier(ca, ca_key, 86_400)
        self._fleet, self._shop = fleet(shop, certifier=self._certifier), shop
        self.csr = requested("till-1")
        wanted = CertificateRequest(terminal="till-1", request=self.csr, issued_at=START)
        self.said = [cose.peek(request(shop.till.element)), cose.peek(status(shop)), schema.encode(wanted)]
        self._link = Identity(
            TlsConfig(*(str(folder / name) for name in ("ca.pem", "ca.crl", "l.pem", "l.key"))), "till-1"
        )
        granted = bytearray(self._certifier.issue("till-1", self._link.request(), (), START)[1])
        granted[-1] ^= 1  # else it would be installed, and none after it looked at
        self.certificate = bytes(granted)

    def hear(self, payload: bytes) -> str:
        """As each of a terminal's messages, signed by its key: answered, or refused with a code."""
        ends = []
        for kind, take in (
            (BeaconRequest, self._fleet.beacon), (Status, self._fleet.take_status),
            (CertificateRequest, self._fleet.certificate),
        ):  # fmt: skip
            envelope = cose.sign(payload, self._shop.till.element.sign, self._shop.till.kid, kind.TYP)
            ends.append(code_of(_calling(take, "till-1", envelope)))
        return next((end for end in ends if end == "read"), ends[0])

    def certify(self, request: bytes) -> str:
        """As a PKCS#10 request: what is certified has this one name, and the backend's own extensions."""
        try:
            made, _ = self._certifier.issue("till-1", request, (), START)
        except PaymentError as error:
            return error.code
        assert made.subject.rfc4514_string() == "CN=till-1"
        assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        return "read"

    def install(self, certificate: bytes) -> str:
        """As a certificate for the waiting key: none but an authority's."""
        try:
            self._link.install(certificate, START)
        except LinkError:
            return "refused"
        raise AssertionError("a certificate nobody issued is in use")


def _calling(take: Callable[[str, bytes], object], terminal: str, envelope: bytes) -> Callable[[], object]:
    return lambda: take(terminal, envelope)
