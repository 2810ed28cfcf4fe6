"""The wrapping key: what all data keys of an epoch are wrapped with, itself sealed by the secure element.

Rules kept here:
- One wrapping key an epoch. When the epoch ends, so does every data key that was wrapped in it and nowhere else.
- A wrapped data key names its person.
- The key is in memory only while something is wrapped or unwrapped.
"""

import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.secure_element.interface import EpochEndedError, SecureElement, SecureElementError
from firmware.gallery.sealed import KEY_BYTES, associated, seal, unseal

_NAMES = b"tessera-wrapping-key"
_MOST_EPOCHS = 2**40


@dataclass(frozen=True, slots=True)
class Wrapping:
    """A wrapping key in hand: the epoch it is of, as the element sealed it, and ready for use."""

    epoch: int
    sealed: bytes
    _aead: AESGCM

    @classmethod
    def new(cls, element: SecureElement, epoch: int) -> "Wrapping":
        """Make the key of an epoch, which is prepared. Raises SecureElementError."""
        key = secrets.token_bytes(KEY_BYTES)
        return cls(epoch, element.seal(key, _NAMES, epoch), AESGCM(key))

    @classmethod
    def open(cls, element: SecureElement, epoch: int, sealed: bytes) -> "Wrapping":
        """Raises SecureElementError, EpochEndedError."""
        return cls(epoch, sealed, AESGCM(element.unseal(sealed, _NAMES, epoch)))

    def wrap(self, key: bytes | memoryview, kind: str, name: str) -> bytes:
        """A key or seed, bound to its kind and to whose it is."""
        return seal(self._aead, key, associated("wrapped", kind, name))

    def unwrap(self, wrapped: bytes, kind: str, name: str) -> bytes:
        """Open what `wrap` made. Raises DamagedError."""
        return unseal(self._aead, wrapped, associated("wrapped", kind, name))


def first_epoch(element: SecureElement) -> int:
    """The first epoch that has not ended: where a new gallery begins. Changes nothing.

    Raises:
        SecureElementError: the element is gone.
    """
    low, high = 1, 1
    while _ended(element, high):
        low, high = high + 1, 2 * high
        if high > _MOST_EPOCHS:
            raise SecureElementError("the secure element says that every epoch has ended")
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _ended(element, middle) else (low, middle)
    return low


def _ended(element: SecureElement, epoch: int) -> bool:
    try:
        element.seal(b"", _NAMES, epoch)
    except EpochEndedError:
        return True
    except SecureElementError:
        element.random(1)  # gone, or merely not prepared yet?
    return False
