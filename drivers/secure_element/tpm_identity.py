"""The device identity in a TPM: two places for keys, and one byte that says which is in force.

Rules kept here:
- All of it is in the TPM: a disk put back from a copy brings no earlier identity back.
- The byte changes in one write, which the TPM makes whole or not at all. A key that the byte does not know is of a
  change that was cut short, and is removed when the element is opened.

The byte: bit 0 is the place of the identity in force; bit 1 is set while the key in the other place waits.
"""

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tpm2_pytss import (
    TPM2_ALG,
    TPM2_RH,
    TPM2_ST,
    TPM2B_DIGEST,
    TPMT_SIG_SCHEME,
    TPMT_TK_HASHCHECK,
)

from drivers.secure_element.interface import SecureElementError
from drivers.secure_element.tpm_link import Tpm
from drivers.secure_element.tpm_objects import IDENTITIES, STATE, handle_of, make_identity, remove

_WAITS = 2


class TpmIdentity:
    """The identity in force, and the one that waits."""

    def __init__(self, tpm: Tpm, root: Any, auth: bytes) -> None:
        """Look at both places, and finish what was cut short. Raises SecureElementError."""
        self._tpm, self._root, self._auth = tpm, root, auth
        self._state = handle_of(tpm, STATE, auth)
        value = bytes(tpm.ask("nv_read", self._state, 1, session1=tpm.session))[0]
        self._place, waits = value & 1, bool(value & _WAITS)
        if not waits:
            remove(tpm, IDENTITIES[1 - self._place])
        self._key = handle_of(tpm, IDENTITIES[self._place], auth)
        self._waiting = handle_of(tpm, IDENTITIES[1 - self._place], auth) if waits else None
        self.public_key = self._public(self._key)

    def sign(self, message: bytes) -> bytes:
        """As `SecureElement.sign`."""
        return self._sign(self._key, message)

    def prove(self, message: bytes) -> bytes:
        """As `SecureElement.prove_identity`."""
        return self._sign(self._waits(), message)

    def prepare(self) -> bytes:
        """As `SecureElement.prepare_identity`."""
        if self._waiting is None:
            place = IDENTITIES[1 - self._place]
            remove(self._tpm, place)
            make_identity(self._tpm, self._root, self._auth, place)
            self._write(self._place | _WAITS)
            self._waiting = handle_of(self._tpm, place, self._auth)
        return self._public(self._waiting)

    def adopt(self) -> None:
        """As `SecureElement.adopt_identity`."""
        waiting, before = self._waits(), self._place
        public_key = self._public(waiting)
        self._write(1 - before)
        self._place, self._key, self._waiting, self.public_key = 1 - before, waiting, None, public_key
        remove(self._tpm, IDENTITIES[before])

    def _waits(self) -> Any:
        if self._waiting is None:
            raise SecureElementError("no identity waits; prepare one first")
        return self._waiting

    def _write(self, value: int) -> None:
        self._tpm.ask("nv_write", self._state, bytes([value]), session1=self._tpm.session)

    def _public(self, key: Any) -> bytes:
        public, *_ = self._tpm.ask("read_public", key, session1=self._tpm.session)
        point = public.publicArea.unique.ecc
        x, y = (int.from_bytes(bytes(value), "big") for value in (point.x, point.y))
        numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
        return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def _sign(self, key: Any, message: bytes) -> bytes:
        signature = self._tpm.ask(
            "sign",
            key,
            TPM2B_DIGEST(hashlib.sha256(message).digest()),
            TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL),
            TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL),
            session1=self._tpm.session,
        )
        made = signature.signature.ecdsa  # a view: `signature` owns the memory
        return bytes(made.signatureR).rjust(32, b"\0") + bytes(made.signatureS).rjust(32, b"\0")
