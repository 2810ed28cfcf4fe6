"""The folder of a TPM's element: sealed blobs that only this TPM opens, and what authorizes their use.

Rules kept here:
- One owner: whoever holds the lock. The kernel drops it when the holder dies.
- The file is replaced whole; nothing in it is secret from this TPM's owner, and nothing in it opens anything elsewhere.
"""

import fcntl
import os
from pathlib import Path

import msgspec

from drivers.secure_element.files import read_private, write_private
from drivers.secure_element.interface import SecureElementError

MAX_FILE_BYTES = 64 * 1024
FILE, LOCK = "tpm.json", "lock"
VERSION = 1


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sealing key, sealed by the TPM.

    Attributes:
        number: of the epoch.
        last: the highest value of the TPM's counter of ended epochs at which it still opens.
        pcrs: the platform registers it is sealed to, e.g. `7` or `4,7`.
        private, public: the TPM's sealed object.
    """

    number: int
    last: int
    pcrs: str
    private: bytes
    public: bytes


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All the folder holds.

    Attributes:
        version: of this format.
        root: name of the TPM's storage root key: which TPM it is.
        auth: authorizes the use of the identity and the counters, 32 bytes.
        first: the lowest epoch that had not ended when this was written.
        epochs: by rising number, `last` rises too.
    """

    version: int
    root: bytes
    auth: bytes
    first: int
    epochs: tuple[Epoch, ...]


class Folder:
    """A folder held by this process until `close`."""

    def __init__(self, path: Path, *, make: bool = False) -> None:
        """Take it. Raises SecureElementError: it is not there or held by another."""
        self._path = path
        try:
            if make:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SecureElementError(
                f"{path}: cannot be used: {error.strerror}; a new element is made by `tessera element create`"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise SecureElementError(
                f"{path}: another process owns this secure element; is the terminal running? Stop it first"
            ) from error

    def close(self) -> None:
        """Let go. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._path

    def written(self) -> bool:
        """Whether an element was made here."""
        return (self._path / FILE).exists()

    def read(self) -> State:
        """Read the file. Raises SecureElementError: it is missing, damaged, or of another version."""
        raw = read_private(self._path / FILE, MAX_FILE_BYTES)
        try:
            state = msgspec.json.decode(raw, type=State)
        except msgspec.DecodeError as error:
            raise SecureElementError(f"{self._path / FILE}: damaged ({error}); put back its last copy") from error
        if state.version != VERSION:
            raise SecureElementError(f"{self._path / FILE}: version {state.version}, this software reads {VERSION}")
        return state

    def write(self, state: State) -> None:
        """Replace the file, whole. Raises SecureElementError."""
        write_private(self._path / FILE, msgspec.json.encode(state), replace=True)
