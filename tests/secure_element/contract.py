"""What every secure element does, whatever it is made of: one set of tests, run by each backend over itself.

A backend's test module derives a class from `SecureElementContract` and gives the fixture `bench`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509 import load_pem_x509_csr

from drivers.secure_element.interface import Capability, EpochEndedError, SecureElement, SecureElementError
from drivers.secure_element.request import certificate_request


class Bench(Protocol):
    """Two devices on the bench, provisioned: epoch 1 is prepared in each."""

    def open(self) -> SecureElement:
        """The device, opened anew, as after a restart; whoever opened it before has closed it."""

    def other(self) -> SecureElement:
        """Another device of the same make."""


def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (r || s) is of `message` by the DER `public_key`."""
    key = load_der_public_key(public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert len(signature) == 64
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


class SecureElementContract:
    """The tests. `bench` comes from the class that derives from this one."""

    @pytest.fixture
    def element(self, bench: Bench) -> Iterator[SecureElement]:
        element = bench.open()
        yield element
        element.close()

    def test_identity_survives_a_restart_and_signs(self, bench: Bench, element: SecureElement) -> None:
        key = element.public_key
        assert verifies(key, element.sign(b"message"), b"message")
        element.close()
        again = bench.open()
        assert again.public_key == key
        assert verifies(key, again.sign(b"message"), b"message")
        assert not verifies(key, again.sign(b"message"), b"other")
        again.close()

    def test_two_devices_are_two(self, bench: Bench, element: SecureElement) -> None:
        key, sealed = element.public_key, element.seal(b"template", b"person-1", 1)
        element.close()
        other = bench.other()
        assert other.public_key != key
        with pytest.raises(SecureElementError):
            other.unseal(sealed, b"person-1", 1)
        other.close()

    def test_sealed_opens_after_a_restart(self, bench: Bench, element: SecureElement) -> None:
        sealed = element.seal(b"template", b"person-1", 1)
        assert b"template" not in sealed
        element.close()
        again = bench.open()
        assert again.unseal(sealed, b"person-1", 1) == b"template"
        again.close()

    def test_sealed_is_bound_to_every_bit_its_data_and_its_epoch(self, element: SecureElement) -> None:
        element.prepare_epoch(2)
        sealed = element.seal(b"template", b"person-1", 1)
        assert sealed != element.seal(b"template", b"person-1", 1)
        flipped = [bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]]) for at in (0, len(sealed) // 2, -1)]
        flipped[-1] = sealed[:-1] + bytes([sealed[-1] ^ 1])
        wrong = [(blob, b"person-1", 1) for blob in (*flipped, sealed[:-1], sealed + b"\0", sealed[:20], b"")]
        for blob, associated, epoch in [*wrong, (sealed, b"person-2", 1), (sealed, b"", 1), (sealed, b"person-1", 2)]:
            with pytest.raises(SecureElementError) as raised:
                element.unseal(blob, associated, epoch)
            assert not isinstance(raised.value, EpochEndedError)

    @pytest.mark.parametrize("size", [0, 1, 32, 4096])
    def test_seals_up_to_its_limit(self, element: SecureElement, size: int) -> None:
        plaintext = bytes(range(256)) * 16
        sealed = element.seal(plaintext[:size], b"", 1)
        assert element.unseal(sealed, b"", 1) == plaintext[:size]

    def test_more_than_the_limit_is_refused(self, element: SecureElement) -> None:
        with pytest.raises(SecureElementError):
            element.seal(bytes(4097), b"", 1)

    def test_random_is_bounded_and_differs(self, element: SecureElement) -> None:
        assert len(element.random(1)) == 1
        assert len(element.random(1024)) == 1024
        assert element.random(32) != element.random(32)
        for size in (0, -1, 1025):
            with pytest.raises(SecureElementError):
                element.random(size)

    def test_prepared_epoch_leaves_the_one_before(self, bench: Bench, element: SecureElement) -> None:
        one = element.seal(b"one", b"", 1)
        element.prepare_epoch(2)
        two = element.seal(b"two", b"", 2)
        element.close()
        again = bench.open()
        assert again.unseal(one, b"", 1) == b"one"
        assert again.unseal(two, b"", 2) == b"two"
        again.close()

    def test_ended_epoch_opens_and_seals_nothing_ever_again(self, bench: Bench, element: SecureElement) -> None:
        one = element.seal(b"one", b"", 1)
        element.prepare_epoch(2)
        two = element.seal(b"two", b"", 2)
        element.end_epochs_before(2)
        element.end_epochs_before(2)
        for _ in range(2):
            with pytest.raises(EpochEndedError):
                element.unseal(one, b"", 1)
            with pytest.raises(EpochEndedError):
                element.seal(b"one", b"", 1)
            with pytest.raises(EpochEndedError):
                element.prepare_epoch(1)
            with pytest.raises(EpochEndedError):
                element.end_epochs_before(1)
            assert element.unseal(two, b"", 2) == b"two"
            element.close()
            element = bench.open()
        element.close()

    def test_epoch_that_was_never_prepared_does_nothing(self, element: SecureElement) -> None:
        for asked in (
            lambda: element.seal(b"", b"", 2),
            lambda: element.unseal(bytes(64), b"", 2),
            lambda: element.end_epochs_before(2),
        ):
            with pytest.raises(SecureElementError) as raised:
                asked()
            assert not isinstance(raised.value, EpochEndedError)
        assert element.unseal(element.seal(b"one", b"", 1), b"", 1) == b"one"

    def test_newest_epoch_prepared_again_opens_nothing_of_the_try_before(
        self, bench: Bench, element: SecureElement
    ) -> None:
        one = element.seal(b"one", b"", 1)
        element.prepare_epoch(2)
        failed = element.seal(b"of a change that failed", b"", 2)
        element.close()
        element = bench.open()
        element.prepare_epoch(2)
        two = element.seal(b"two", b"", 2)
        assert element.unseal(one, b"", 1) == b"one"
        element.end_epochs_before(2)
        for _ in range(2):
            assert element.unseal(two, b"", 2) == b"two"
            with pytest.raises(SecureElementError):
                element.unseal(failed, b"", 2)
            with pytest.raises(EpochEndedError):
                element.unseal(one, b"", 1)
            element.close()
            element = bench.open()
        element.close()

    def test_the_only_epoch_prepared_again_keeps_what_it_sealed(self, element: SecureElement) -> None:
        one = element.seal(b"one", b"", 1)
        element.prepare_epoch(1)
        assert element.unseal(one, b"", 1) == b"one"
        element.prepare_epoch(2)
        element.end_epochs_before(2)
        two = element.seal(b"two", b"", 2)
        element.prepare_epoch(2)
        assert element.unseal(two, b"", 2) == b"two"

    def test_several_epochs_end_at_once(self, bench: Bench, element: SecureElement) -> None:
        element.prepare_epoch(2)
        element.prepare_epoch(3)
        blobs = {epoch: element.seal(b"x", b"", epoch) for epoch in (1, 2, 3)}
        element.end_epochs_before(3)
        for _ in range(2):
            assert element.unseal(blobs[3], b"", 3) == b"x"
            for epoch in (1, 2):
                with pytest.raises(EpochEndedError):
                    element.unseal(blobs[epoch], b"", epoch)
            element.close()
            element = bench.open()
        element.close()

    def test_many_epochs_follow_one_another(self, element: SecureElement) -> None:
        for epoch in range(2, 14):
            element.prepare_epoch(epoch)
            sealed = element.seal(b"x", b"", epoch)
            element.end_epochs_before(epoch)
            assert element.unseal(sealed, b"", epoch) == b"x"

    def test_waiting_identity_proves_itself_and_changes_nothing(self, bench: Bench, element: SecureElement) -> None:
        first = element.public_key
        waiting = element.prepare_identity()
        assert waiting != first
        assert verifies(waiting, element.prove_identity(b"message"), b"message")
        element.close()
        again = bench.open()
        assert again.prepare_identity() == waiting
        assert again.public_key == first
        assert verifies(first, again.sign(b"message"), b"message")
        again.close()

    def test_adopted_identity_takes_the_place_of_the_one_before(self, bench: Bench, element: SecureElement) -> None:
        first, sealed = element.public_key, element.seal(b"template", b"", 1)
        waiting = element.prepare_identity()
        element.adopt_identity()
        for _ in range(2):
            assert element.public_key == waiting
            assert verifies(waiting, element.sign(b"message"), b"message")
            assert element.unseal(sealed, b"", 1) == b"template"
            with pytest.raises(SecureElementError):
                element.prove_identity(b"message")
            with pytest.raises(SecureElementError):
                element.adopt_identity()
            element.close()
            element = bench.open()
        assert element.prepare_identity() not in (first, waiting)
        element.close()

    def test_certificate_requests_are_signed_inside(self, element: SecureElement) -> None:
        for waiting, key in ((False, element.public_key), (True, element.prepare_identity())):
            request = load_pem_x509_csr(certificate_request(element, "till-1", waiting=waiting))
            assert request.is_signature_valid
            assert request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == key

    def test_counter_only_where_declared_and_then_only_upwards(self, bench: Bench, element: SecureElement) -> None:
        if Capability.MONOTONIC_COUNTER not in element.capabilities:
            for asked in (element.counter, element.advance):
                with pytest.raises(SecureElementError):
                    asked()
            return
        before = element.counter()
        after = element.advance()
        assert after > before
        element.close()
        again = bench.open()
        assert again.counter() == after
        again.close()

    def test_threads_take_turns(self, element: SecureElement) -> None:
        sealed = element.seal(b"template", b"", 1)

        def use(number: int) -> None:
            for _ in range(8):
                message = b"%d" % number
                assert verifies(element.public_key, element.sign(message), message)
                assert element.unseal(sealed, b"", 1) == b"template"
                assert len(element.random(32)) == 32

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(use, range(4))) == [None] * 4

    def test_closed_element_does_nothing(self, element: SecureElement) -> None:
        sealed = element.seal(b"template", b"", 1)
        element.close()
        element.close()
        asked: list[Callable[[], bytes]] = [
            lambda: element.sign(b"message"),
            lambda: element.unseal(sealed, b"", 1),
            lambda: element.seal(b"template", b"", 1),
            element.prepare_identity,
        ]
        for ask in asked:
            with pytest.raises(SecureElementError):
                ask()
