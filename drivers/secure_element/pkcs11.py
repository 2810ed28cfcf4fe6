"""A device key in a PKCS#11 token: a smart card, a USB token, an HSM; SoftHSM2 in tests.

Rules kept here:
- The keys are token objects with numbers in their labels. The identity in force is the lowest numbered private key, the
  next one waits; the epochs in force are the AES keys there are, and what lies below the lowest has ended. So each
  change that counts is one object destroyed or one made, and there is no record beside the keys to go wrong.
- `HARDWARE_KEY` is the token's own word (its slot says hardware). `KEY_DESTRUCTION` no token can tell: some keep their
  objects wrapped in files of the host. It is declared where the configuration says that this one does not.
- PKCS#11 has no platform sealing, no monotonic counter, no attestation: none is claimed.
"""

from pathlib import Path

import msgspec

from drivers.secure_element import pkcs11_keys as keys
from drivers.secure_element.interface import (
    MAX_PLAINTEXT_BYTES,
    MAX_RANDOM_BYTES,
    Capability,
    EpochEndedError,
    SecureElement,
    SecureElementError,
    check_prepared,
)
from drivers.secure_element.pkcs11_token import OwnedToken


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which token, and what its maker promises.

    Attributes:
        module: the vendor's PKCS#11 library, e.g. `/usr/lib/softhsm/libsofthsm2.so`.
        token: the token's label.
        pin_file: the user PIN, alone in a file of mode 0600; its lock is the token's.
        keeps_objects_inside: the token's maker says that its objects lie in the token and not, even encrypted, on the
            host: a destroyed one cannot come back with a restored disk.
    """

    module: str
    token: str
    pin_file: str
    keeps_objects_inside: bool = False


class Pkcs11SecureElement(SecureElement):
    """The interface over the objects of one token."""

    def __init__(self, token: OwnedToken, keeps_objects_inside: bool) -> None:
        self._token = token
        self._keeps_objects_inside = keeps_objects_inside
        self._identities = keys.identities(token)
        self._epochs = keys.epochs(token) if self._identities else {}
        if not self._epochs:
            raise SecureElementError(f"{token}: not provisioned, or its keys are gone; see `tessera element create`")
        token.watch(self._identities[0].private)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the token says of itself, and what its maker promises."""
        if not self._token.in_hardware:
            return frozenset()
        destroys = {Capability.KEY_DESTRUCTION} if self._keeps_objects_inside else set()
        return frozenset({Capability.HARDWARE_KEY} | destroys)

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo, P-256."""
        return self._identities[0].public_key

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 in the token, SHA-256 before it. Returns 64 bytes, r || s."""
        return self._sign(self._identities[0], message)

    def random(self, size: int) -> bytes:
        """`size` bytes (1 to 1024) of the token's generator. Some libraries make them without it: it must be there."""
        if not 1 <= size <= MAX_RANDOM_BYTES:
            raise SecureElementError(f"random: {size} bytes asked, 1 to {MAX_RANDOM_BYTES} allowed")
        with self._token.asked("random") as session:
            drawn = bytes(session.generate_random(8 * size))
            self._token.must_answer()
        return drawn

    def prepare_epoch(self, number: int) -> None:
        """Make a key, or another for the newest epoch. Raises as `check_prepared` does."""
        if not check_prepared(number, self._epochs.keys()):
            return
        self._epochs.pop(number, None)
        self._epochs[number] = keys.new_epoch(self._token, number)

    def end_epochs_before(self, number: int) -> None:
        """Destroy the keys below `number`, lowest first: cut short, what is left to destroy is what there is."""
        self._epoch_key(number)
        for ended in sorted(epoch for epoch in self._epochs if epoch < number):
            with self._token.asked("ending an epoch"):
                self._epochs[ended].destroy()
            del self._epochs[ended]

    def seal(self, plaintext: bytes, associated: bytes, epoch: int) -> bytes:
        """AES-256-GCM in the token under a random nonce, which stands in front."""
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise SecureElementError(f"seal: {len(plaintext)} bytes given, {MAX_PLAINTEXT_BYTES} at most")
        key = self._epoch_key(epoch)
        with self._token.asked("sealing"):
            return keys.seal(key, plaintext, associated)

    def unseal(self, sealed: bytes, associated: bytes, epoch: int) -> bytes:
        """Open what `seal` made. Raises EpochEndedError, SecureElementError on any mismatch."""
        key = self._epoch_key(epoch)
        with self._token.asked("opening a sealed blob (damaged, of another element or epoch, or bound to other data)"):
            return keys.unseal(key, sealed, associated)

    def prepare_identity(self) -> bytes:
        """Make the next identity, or find the one that waits. Returns its public key, DER."""
        if len(self._identities) == 1:
            in_force = self._identities[0].number
            self._identities.append(keys.new_identity(self._token, in_force + 1, in_force))
        return self._waiting.public_key

    def prove_identity(self, message: bytes) -> bytes:
        """Sign by the identity that waits. Raises SecureElementError: none waits."""
        return self._sign(self._waiting, message)

    def adopt_identity(self) -> None:
        """Destroy the identity in force, so that the one that waits is. Raises SecureElementError: none waits."""
        waiting = self._waiting
        with self._token.asked("adopting the next identity"):
            self._identities[0].private.destroy()
        self._identities = [waiting]
        self._token.watch(waiting.private)

    def close(self) -> None:
        """Log out and let the next owner in. Idempotent."""
        self._token.close()

    @property
    def _waiting(self) -> keys.Identity:
        if len(self._identities) == 1:
            raise SecureElementError("no identity waits; prepare one first")
        return self._identities[1]

    def _sign(self, identity: keys.Identity, message: bytes) -> bytes:
        with self._token.asked("signing"):
            return keys.sign(identity.private, message)

    def _epoch_key(self, epoch: int) -> keys.Key:
        first = min(self._epochs)
        if epoch < first:
            raise EpochEndedError(f"epoch {epoch} has ended: what it sealed is erased")
        if epoch not in self._epochs:
            raise SecureElementError(f"epoch {epoch} was never prepared")
        return self._epochs[epoch]


def provision(options: dict[str, str | int | float | bool]) -> Pkcs11SecureElement:
    """Make the identity and the sealing key of epoch 1 in an initialised token. Cut short, it can be asked again.

    Raises:
        SecureElementError: the token holds keys already, or anything that `open_secure_element` raises.
    """
    where = _options(options)
    token = OwnedToken(Path(where.module), where.token, Path(where.pin_file))
    try:
        epochs = keys.epochs(token, unfinished=True)
        if keys.identities(token, unfinished=True) or epochs.keys() - {1}:
            raise SecureElementError(f"{token}: has keys already, and an old key is not replaced")
        if not epochs:
            keys.new_epoch(token, 1)
        keys.new_identity(token, 1, in_force=None)
        return Pkcs11SecureElement(token, where.keeps_objects_inside)
    except SecureElementError:
        token.close()
        raise


def open_secure_element(options: dict[str, str | int | float | bool]) -> Pkcs11SecureElement:
    """Open the token that `options` name, see `Options`.

    Raises:
        SecureElementError: no library, no such token, a wrong PIN, another owner, or no keys; and what to do.
    """
    where = _options(options)
    token = OwnedToken(Path(where.module), where.token, Path(where.pin_file))
    try:
        return Pkcs11SecureElement(token, where.keeps_objects_inside)
    except SecureElementError:
        token.close()
        raise


def _options(options: dict[str, str | int | float | bool]) -> Options:
    try:
        return msgspec.convert(options, Options, strict=True)
    except msgspec.ValidationError as error:
        raise SecureElementError(f"secure_element.options: {error}") from error
