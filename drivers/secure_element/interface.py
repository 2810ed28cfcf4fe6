"""Where the device key lives: sign, seal, random, and what the backend can honestly do.

Rules kept here:
- The device identity is an ECDSA P-256 key that never leaves the element.
- A backend declares its capabilities; none is emulated. A caller that needs one and does not find it refuses.
- Sealing is authenticated with associated data: a blob opened under other data is an error, never garbage.
"""

from abc import ABC, abstractmethod
from enum import Enum


class SecureElementError(Exception):
    """The element is missing, locked, refused, or a sealed blob does not open."""


class Capability(Enum):
    """What a secure element can do by itself, in hardware."""

    HARDWARE_KEY = "hardware_key"
    PLATFORM_SEALING = "platform_sealing"
    MONOTONIC_COUNTER = "monotonic_counter"
    ATTESTATION = "attestation"


class SecureElement(ABC):
    """One device identity and one sealing key."""

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
        """ECDSA P-256 with SHA-256 over `message`. Returns 64 bytes, r || s."""

    @abstractmethod
    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        """Encrypt so that only this element opens it, bound to `associated`."""

    @abstractmethod
    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """Open what `seal` made. Raises SecureElementError on any mismatch."""

    @abstractmethod
    def random(self, size: int) -> bytes:
        """`size` bytes from the element's generator."""
