"""Where the device key lives: sign, seal, random, and what the backend can honestly do.

Rules kept here:
- The device identity is an ECDSA P-256 key that never leaves the element.
- A backend declares its capabilities; none is emulated. A caller that needs one and does not find it refuses.
- Sealing is authenticated with associated data: a blob opened under other data is an error, never garbage.
- The sealing key has epochs. One that has ended opens nothing any more, whatever copy of a disk is put back; where
  the element cannot promise that, it does not declare `KEY_DESTRUCTION`.
- An element that is gone is said to be gone (`SecureElementGoneError`), and nothing takes its place.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from enum import Enum

MAX_PLAINTEXT_BYTES = 4096
MAX_RANDOM_BYTES = 1024
MAX_EPOCHS = 8
"""In force at once. A change of epoch needs two."""


class SecureElementError(Exception):
    """The element is missing, locked, refused, or a sealed blob does not open."""


class SecureElementGoneError(SecureElementError):
    """The element was there and answers no more: pulled out, unplugged, dead. Only a new start can bring it back."""


class EpochEndedError(SecureElementError):
    """The blob was sealed in an epoch that has ended: what it held is erased."""


class Capability(Enum):
    """What a secure element can do by itself, in hardware."""

    HARDWARE_KEY = "hardware_key"
    PLATFORM_SEALING = "platform_sealing"
    MONOTONIC_COUNTER = "monotonic_counter"
    ATTESTATION = "attestation"
    KEY_DESTRUCTION = "key_destruction"
    """An epoch that has ended cannot be brought back by restoring the terminal's disk."""


class SecureElement(ABC):
    """One device identity and one sealing key, in epochs. One process owns it; any of its threads may call."""

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """What this element really has."""

    @property
    @abstractmethod
    def public_key(self) -> bytes:
        """The device identity's public key: DER SubjectPublicKeyInfo, P-256."""

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 with SHA-256 over `message`, by the device identity. Returns 64 bytes, r || s."""

    @abstractmethod
    def random(self, size: int) -> bytes:
        """`size` bytes (1 to 1024) from the element's generator."""

    @abstractmethod
    def prepare_epoch(self, number: int) -> None:
        """Make a sealing key for epoch `number` (1 and up), durable before it returns; those that stand go on standing.

        Asked again for the newest epoch while an older one is in force, it makes another key: what a change that failed
        had sealed opens nowhere, whatever copy of a disk is put back. So nothing that counts is sealed in it until the
        caller has committed to the epoch, and then `end_epochs_before` comes first. Any other epoch in force is kept.

        Raises:
            SecureElementError: the epoch has ended, or the key cannot be kept.
        """

    @abstractmethod
    def end_epochs_before(self, number: int) -> None:
        """Destroy the sealing keys of every epoch below `number`, for ever.

        Idempotent; cut short, it may be asked again.

        Raises:
            EpochEndedError: `number` itself has ended.
            SecureElementError: it was never prepared.
        """

    @abstractmethod
    def seal(self, plaintext: bytes, associated: bytes, epoch: int) -> bytes:
        """Encrypt so that only this element opens it, in this epoch, bound to `associated`. At most 4096 bytes.

        Raises:
            EpochEndedError: `epoch` has ended.
            SecureElementError: it was never prepared, or too much was given.
        """

    @abstractmethod
    def unseal(self, sealed: bytes, associated: bytes, epoch: int) -> bytes:
        """Open what `seal` made.

        Raises:
            EpochEndedError: `epoch` has ended.
            SecureElementError: on any mismatch.
        """

    @abstractmethod
    def prepare_identity(self) -> bytes:
        """Make the next device identity, or find the one that waits, and return its public key (DER).

        The one in force stays so until `adopt_identity`.
        """

    @abstractmethod
    def prove_identity(self, message: bytes) -> bytes:
        """Sign as `sign` does, by the identity that waits: for its certificate request.

        Raises SecureElementError: none waits.
        """

    @abstractmethod
    def adopt_identity(self) -> None:
        """Put the identity that waits in force and destroy the one before it. Cut short, either is in force, whole.

        Raises SecureElementError: none waits.
        """

    def counter(self) -> int:
        """The hardware counter's value. Raises SecureElementError where `MONOTONIC_COUNTER` is not declared."""
        raise SecureElementError("this element has no monotonic counter")

    def advance(self) -> int:
        """Increment the hardware counter and return its value. Raises as `counter` does."""
        raise SecureElementError("this element has no monotonic counter")

    @abstractmethod
    def close(self) -> None:
        """Let go of the element: sessions, handles, secrets in memory. Idempotent."""


def check_prepared(number: int, in_force: Collection[int]) -> bool:
    """Whether preparing epoch `number` makes a key, where those `in_force` have one, the lowest being the first.

    Raises:
        EpochEndedError: `number` has ended.
        SecureElementError: too many are in force.
    """
    if number < min(in_force):
        raise EpochEndedError(f"epoch {number} has ended; {min(in_force)} is the first in force")
    if number in in_force:
        return number == max(in_force) > min(in_force)
    if len(in_force) >= MAX_EPOCHS:
        raise SecureElementError(f"{MAX_EPOCHS} epochs are in force; end those before")
    return True
