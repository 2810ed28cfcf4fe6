"""A device key in an encrypted file: for demonstration and test rigs, never for a terminal in a shop.

Rules kept here:
- No capability is claimed: whoever copies the file and its passphrase has the keys, those of epochs that ended too.
- Every change is on the disk, whole, before it counts in memory.
"""

import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from drivers.secure_element.interface import (
    MAX_PLAINTEXT_BYTES,
    MAX_RANDOM_BYTES,
    Capability,
    EpochEndedError,
    SecureElement,
    SecureElementError,
    check_prepared,
)
from drivers.secure_element.key_file import KEY, NONCE, TAG, KeyFile, State, read_passphrase


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the key file and its passphrase lie."""

    path: str
    passphrase_file: str


class SoftwareSecureElement(SecureElement):
    """The interface over keys in memory, kept by whatever `keep` writes to."""

    def __init__(self, state: State, keep: Callable[[State], None]) -> None:
        self._held: State | None = state
        self._identity: ec.EllipticCurvePrivateKey | None = _key(state.identity)
        self._public_key = _public_key(self._identity)
        self._keep = keep

    @property
    def capabilities(self) -> frozenset[Capability]:
        """None."""
        return frozenset()

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo, P-256."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 with SHA-256 over `message`. Returns 64 bytes, r || s."""
        return _sign(self._identity, message)

    def random(self, size: int) -> bytes:
        """`size` bytes (1 to 1024) of the operating system's generator."""
        if not 1 <= size <= MAX_RANDOM_BYTES:
            raise SecureElementError(f"random: {size} bytes asked, 1 to {MAX_RANDOM_BYTES} allowed")
        return secrets.token_bytes(size)

    def prepare_epoch(self, number: int) -> None:
        """Make and keep a key, or another for the newest epoch. Raises as `check_prepared` does."""
        state = self._state
        if check_prepared(number, state.epochs.keys()):
            self._change(replace(state, epochs=state.epochs | {number: secrets.token_bytes(KEY)}))

    def end_epochs_before(self, number: int) -> None:
        """Forget the keys below `number`; a copy of the file still has them. Raises as `unseal` does."""
        self._epoch_key(number)
        kept = {epoch: key for epoch, key in self._state.epochs.items() if epoch >= number}
        if number > self._state.first:
            self._change(replace(self._state, first=number, epochs=kept))

    def seal(self, plaintext: bytes, associated: bytes, epoch: int) -> bytes:
        """AES-256-GCM under a random nonce, which stands in front."""
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise SecureElementError(f"seal: {len(plaintext)} bytes given, {MAX_PLAINTEXT_BYTES} at most")
        nonce = secrets.token_bytes(NONCE)
        return nonce + AESGCM(self._epoch_key(epoch)).encrypt(nonce, plaintext, associated)

    def unseal(self, sealed: bytes, associated: bytes, epoch: int) -> bytes:
        """Open what `seal` made. Raises EpochEndedError, SecureElementError on any mismatch."""
        key = self._epoch_key(epoch)
        if len(sealed) < NONCE + TAG:
            raise SecureElementError(f"a sealed blob of {len(sealed)} bytes is too short")
        try:
            return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], associated)
        except InvalidTag as error:
            raise SecureElementError(
                "the sealed blob is damaged, of another element or epoch, or bound to other data"
            ) from error

    def prepare_identity(self) -> bytes:
        """Make the next identity, or find the one that waits. Returns its public key, DER."""
        waiting = self._state.waiting or _new_identity()
        if self._state.waiting is None:
            self._change(replace(self._state, waiting=waiting))
        return _public_key(_key(waiting))

    def prove_identity(self, message: bytes) -> bytes:
        """Sign by the identity that waits. Raises SecureElementError: none waits."""
        return _sign(_key(self._waiting), message)

    def adopt_identity(self) -> None:
        """Put the identity that waits in force. Raises SecureElementError: none waits."""
        self._change(replace(self._state, identity=self._waiting, waiting=None))

    def close(self) -> None:
        """Let go of the keys. Idempotent."""
        self._held = self._identity = None

    @property
    def _state(self) -> State:
        if self._held is None:
            raise SecureElementError("the secure element is closed")
        return self._held

    @property
    def _waiting(self) -> bytes:
        if self._state.waiting is None:
            raise SecureElementError("no identity waits; prepare one first")
        return self._state.waiting

    def _epoch_key(self, epoch: int) -> bytes:
        state = self._state
        if epoch < state.first:
            raise EpochEndedError(f"epoch {epoch} has ended: what it sealed is erased")
        if epoch not in state.epochs:
            raise SecureElementError(f"epoch {epoch} was never prepared")
        return state.epochs[epoch]

    def _change(self, state: State) -> None:
        self._keep(state)
        self._held, self._identity = state, _key(state.identity)
        self._public_key = _public_key(self._identity)


def in_memory() -> SoftwareSecureElement:
    """A new element that nothing keeps: for simulators and tests."""
    return SoftwareSecureElement(_new_state(), lambda _: None)


def create(path: Path, passphrase: bytes) -> SoftwareSecureElement:
    """Make a new identity and the sealing key of epoch 1 and write them to `path`, which must not exist.

    Raises:
        SecureElementError: the file is there already or cannot be written, or the passphrase is empty.
    """
    state = _new_state()
    return SoftwareSecureElement(state, KeyFile.create(path, passphrase, state).write)


def provision(options: dict[str, str | int | float | bool]) -> SoftwareSecureElement:
    """Make the key file that `options` name, under the passphrase in the file that is there already.

    Raises:
        SecureElementError: the key file is there already, the passphrase is not, or cannot be used.
    """
    where = _options(options)
    return create(Path(where.path), read_passphrase(Path(where.passphrase_file)))


def open_secure_element(options: dict[str, str | int | float | bool]) -> SoftwareSecureElement:
    """Open the key file named in `options`: `path` and `passphrase_file`, no other.

    Raises:
        SecureElementError: naming the file, what is wrong and what to do.
    """
    where = _options(options)
    file, state = KeyFile.read(Path(where.path), Path(where.passphrase_file))
    return SoftwareSecureElement(state, file.write)


def _options(options: dict[str, str | int | float | bool]) -> Options:
    try:
        return msgspec.convert(options, Options, strict=True)
    except msgspec.ValidationError as error:
        raise SecureElementError(f"secure_element.options: {error}") from error


def _new_state() -> State:
    return State(_new_identity(), None, 1, {1: secrets.token_bytes(KEY)})


def _new_identity() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(KEY, "big")


def _key(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def _public_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sign(key: ec.EllipticCurvePrivateKey | None, message: bytes) -> bytes:
    if key is None:
        raise SecureElementError("the secure element is closed")
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
