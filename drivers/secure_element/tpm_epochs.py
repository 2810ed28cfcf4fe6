"""Sealing keys in epochs, which the TPM opens on this platform only, and never again once they have ended.

Rules kept here:
- The TPM opens a key only while its counter of ended epochs is at most the key's `last`, and while the platform
  registers are what they were when it was sealed. Nobody turns the counter back: an old disk put back opens nothing.
- Each key's `last` is one above every other's that was ever written here, so that a key given up dies with the rest.
- Before an epoch is ended, the one that follows it has been opened: no error leaves neither.
- A key is in this process's memory for one call.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tpm2_pytss import TPM2_EO

from drivers.secure_element.interface import MAX_EPOCHS, EpochEndedError, SecureElementError
from drivers.secure_element.tpm_folder import SEALED, Epoch, Folder, Sealed
from drivers.secure_element.tpm_link import Tpm
from drivers.secure_element.tpm_objects import (
    EPOCHS,
    RefusedError,
    demand_platform,
    handle_of,
    make_sealed,
    open_sealed,
    read_counter,
)

KEY = 32


class TpmEpochs:
    """The epochs in force."""

    def __init__(self, tpm: Tpm, root: Any, folder: Folder, sealed: Sealed, auth: bytes, pcrs: str) -> None:
        """Compare the file with the counter, which `auth` authorizes to use. Raises SecureElementError."""
        self._tpm, self._root, self._folder, self._pcrs = tpm, root, folder, pcrs
        self._counter = handle_of(tpm, EPOCHS, auth)
        self._state = self._less_ended(sealed)

    def prepare(self, number: int) -> None:
        """As `SecureElement.prepare_epoch`."""
        state = self._state
        self._check_standing(number)
        epochs = state.epochs
        if epochs and number <= epochs[0].number:
            return
        if epochs and number < epochs[-1].number:
            raise SecureElementError(f"epoch {number} cannot be prepared: {epochs[-1].number} was before it")
        if len(kept := tuple(epoch for epoch in epochs if epoch.number != number)) >= MAX_EPOCHS:
            raise SecureElementError(f"{MAX_EPOCHS} epochs are in force; end those before")
        last = max(self._ended(), *(epoch.last + 1 for epoch in epochs)) if epochs else self._ended()
        made = self._sealed(number, last)
        self._write(msgspec.structs.replace(state, epochs=(*kept, made)))

    def end_before(self, number: int) -> None:
        """As `SecureElement.end_epochs_before`."""
        stays = self._epoch(number)
        if self._ended() < stays.last:
            with self.key(number):
                while self._ended() < stays.last:
                    self._tpm.ask("nv_increment", self._counter, session1=self._tpm.session)
        if stays is not self._state.epochs[0]:
            self._write(self._less_ended(self._state))

    @contextmanager
    def key(self, number: int) -> Iterator[AESGCM]:
        """The cipher of an epoch's sealing key.

        Raises:
            EpochEndedError: it has ended.
            SecureElementError: it was never prepared, or the platform is not what it was.
        """
        epoch = self._epoch(number)
        try:
            secret = self._unsealed(epoch)
        except RefusedError as error:
            if self._ended() > epoch.last:
                raise EpochEndedError(f"epoch {number} has ended: what was sealed in it is erased") from error
            raise SecureElementError(
                f"PCR {epoch.pcrs} is not what it was when epoch {number} was prepared: the terminal was started with "
                "other firmware or other Secure Boot keys. Start it as it was started before; if the change was "
                f"yours, what is sealed is lost: put {self._folder.path / SEALED} and the gallery aside and enrol again"
            ) from error
        yield AESGCM(secret)

    def _sealed(self, number: int, last: int) -> Epoch:
        demand = partial(self._demand, pcrs=self._pcrs, last=last)
        private, public = make_sealed(self._tpm, self._root, secrets.token_bytes(KEY), demand)
        return Epoch(number, last, self._pcrs, private, public)

    def _unsealed(self, epoch: Epoch) -> bytes:
        demand = partial(self._demand, pcrs=epoch.pcrs, last=epoch.last)
        return open_sealed(self._tpm, self._root, epoch.private, epoch.public, demand)

    def _demand(self, session: Any, pcrs: str, last: int) -> None:
        """The platform as it is now, and a counter that is at most `last`."""
        demand_platform(self._tpm, session, pcrs)
        limit = last.to_bytes(8, "big")
        at_most = TPM2_EO.UNSIGNED_LE
        self._tpm.ask("policy_nv", self._counter, self._counter, session, limit, at_most, session1=self._tpm.session)

    def _ended(self) -> int:
        return read_counter(self._tpm, self._counter)

    def _check_standing(self, number: int) -> None:
        if number < 1:
            raise SecureElementError(f"epoch {number}: epochs count from 1")
        if number < self._state.first:
            raise EpochEndedError(f"epoch {number} has ended: what was sealed in it is erased")

    def _epoch(self, number: int) -> Epoch:
        self._check_standing(number)
        for epoch in self._state.epochs:
            if epoch.number == number:
                return epoch
        raise SecureElementError(
            f"epoch {number} was never prepared here; if {self._folder.path} was put back from a copy, take a later one"
        )

    def _less_ended(self, state: Sealed) -> Sealed:
        """Without the epochs that the counter has ended."""
        ended = self._ended()
        standing = tuple(epoch for epoch in state.epochs if epoch.last >= ended)
        gone = [epoch.number for epoch in state.epochs if epoch.last < ended]
        return msgspec.structs.replace(state, first=max([state.first, *(n + 1 for n in gone)]), epochs=standing)

    def _write(self, state: Sealed) -> None:
        self._folder.write(state)
        self._state = state
