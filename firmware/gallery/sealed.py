"""What is kept of one person, sealed: AES-256-GCM under a key of that person's own.

Rules kept here:
- The associated data of each blob names what it is and whose: moved to another person, payer or purpose it does not
  open.
- Templates are decrypted into locked memory, nowhere else, and encrypted from there.
"""

import secrets
from typing import Any

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from firmware.gallery.memory import SecretRows
from firmware.gallery.transform import Transform
from firmware.vision.templates import TEMPLATE_SHAPE

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
KEYS_BYTES = 2 * KEY_BYTES
DTYPE: np.dtype[Any] = np.dtype([("key", np.uint8, (KEYS_BYTES,)), ("templates", "<f4", TEMPLATE_SHAPE)])
"""A row of locked memory: a person's data key, then their audit key, and templates. The data key is drawn anew when
something is taken back; the audit key stays, so that the log goes on naming them alike."""
TEMPLATE_BYTES = DTYPE["templates"].itemsize

Cell = NDArray[Any]
"""One such row, as an array of one."""


class DamagedError(Exception):
    """A blob was altered, moved, or is of another key."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is known of a person besides templates and consent. Times are Unix seconds.

    Attributes:
        purposes: what they may be matched for.
        payer: the payer token.
        mandate: id of the mandate they were enrolled under.
        networks: digest of the networks that made the templates.
        enrolled_at, last_seen: when.
        retain_until: from then on nothing is kept, by their consent.
        disputes: wrong matches reported.
    """

    purposes: tuple[str, ...]
    payer: str
    mandate: bytes
    networks: bytes
    enrolled_at: int
    last_seen: int
    retain_until: int
    disputes: int


def associated(*names: str) -> bytes:
    """The associated data of what `names` say, injectively."""
    return msgspec.msgpack.encode(("tessera-gallery-3", *names))


def seal(key: AESGCM, plaintext: bytes | memoryview, names: bytes) -> bytes:
    """Nonce and ciphertext."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + key.encrypt(nonce, plaintext, names)


def unseal(key: AESGCM, sealed: bytes, names: bytes) -> bytes:
    """Open what `seal` made. Raises DamagedError."""
    try:
        return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], names)
    except (InvalidTag, ValueError) as error:
        raise DamagedError("does not open") from error


class Vault:
    """Seals and opens one person's blobs with the data key that stands in their cell."""

    def __init__(self, person: str, cell: Cell) -> None:
        self._person, self._cell = person, cell
        self._aead = AESGCM(cell["key"][0, :KEY_BYTES].data)

    @property
    def audit_key(self) -> bytes:
        """32 bytes of this person alone, which are wrapped with their data key and die with it."""
        return bytes(self._cell["key"][0, KEY_BYTES:])

    def record(self, record: Record) -> bytes:
        """Seal it."""
        return seal(self._aead, msgspec.msgpack.encode(record), associated("record", self._person))

    def open_record(self, sealed: bytes) -> Record:
        """Open it. Raises DamagedError."""
        try:
            return msgspec.msgpack.decode(
                unseal(self._aead, sealed, associated("record", self._person)), type=Record, strict=True
            )
        except msgspec.DecodeError as error:
            raise DamagedError(str(error)) from error

    def consent(self, consent: bytes, payer: str) -> bytes:
        """Seal it."""
        return seal(self._aead, consent, associated("consent", self._person, payer))

    def open_consent(self, sealed: bytes, payer: str) -> bytes:
        """Open it. Raises DamagedError."""
        return unseal(self._aead, sealed, associated("consent", self._person, payer))

    def secret(self, secret: bytes, payer: str, purpose: str) -> bytes:
        """Seal what only this person knows, or what it is checked against."""
        return seal(self._aead, secret, associated("secret", self._person, payer, purpose))

    def open_secret(self, sealed: bytes, payer: str, purpose: str) -> bytes:
        """Open it. Raises DamagedError."""
        return unseal(self._aead, sealed, associated("secret", self._person, payer, purpose))

    def templates(self, payer: str, purpose: str, transform: Transform, scratch: SecretRows) -> bytes:
        """Turn the templates of the cell by the purpose's rotation and seal them. Row 0 of `scratch` is used."""
        turned = scratch.rows["templates"][0]
        transform.turn(self._cell["templates"][0], out=turned)
        sealed = seal(self._aead, _bytes(turned), associated("templates", self._person, payer, purpose))
        turned[:] = 0
        return sealed

    def open_templates(
        self, sealed: bytes, payer: str, purpose: str, transform: Transform, scratch: SecretRows
    ) -> None:
        """Open templates and turn them back, into the cell. Raises DamagedError."""
        if len(sealed) != NONCE_BYTES + TEMPLATE_BYTES + TAG_BYTES:
            raise DamagedError(f"{len(sealed)} bytes are no templates")
        turned = scratch.rows["templates"][0]
        names = associated("templates", self._person, payer, purpose)
        try:
            self._aead.decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], names, _bytes(turned))
            transform.turn_back(turned, out=self._cell["templates"][0])
        except InvalidTag as error:
            raise DamagedError("does not open") from error
        finally:
            turned[:] = 0


def _bytes(array: NDArray[np.float32]) -> memoryview:
    """The memory of a contiguous array, not a copy."""
    return array.view(np.uint8).reshape(-1).data
