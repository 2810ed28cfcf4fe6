"""The folder of a TPM's element: sealed blobs that only this TPM opens, and what authorizes their use.

Rules kept here:
- One owner: whoever holds the lock. The kernel drops it when the holder dies.
- A file is replaced whole. Nothing in them opens anything without this TPM.
- The sealing keys lie in a file of their own: put aside, the element has none, and begins anew; put back, they open
  what they opened, unless they have ended since.
"""

import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from drivers.secure_element.files import read_private, write_private
from drivers.secure_element.interface import SecureElementError

MAX_FILE_BYTES = 64 * 1024
DEVICE, SEALED, LOCK = "tpm.json", "epochs.json", "lock"
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


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which TPM it is, and what authorizes its use.

    Attributes:
        version: of this format.
        root: name of the TPM's storage root key.
        pcrs: the platform registers the authorization value is sealed to.
        private, public: that value, which the identity and the counters ask for, as the TPM sealed it.
    """

    version: int
    root: bytes
    pcrs: str
    private: bytes
    public: bytes


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sealing keys.

    Attributes:
        version: of this format.
        first: the lowest epoch that had not ended when this was written.
        epochs: by rising number, `last` rises too.
    """

    version: int = VERSION
    first: int = 1
    epochs: tuple[Epoch, ...] = ()


_File = TypeVar("_File", Device, Sealed)


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

    def made(self) -> bool:
        """Whether an element was made here, or begun."""
        return (self._path / DEVICE).exists()

    def device(self) -> Device:
        """Read which TPM it is. Raises SecureElementError: missing, damaged, or of another version."""
        return self._read(DEVICE, Device)

    def sealed(self) -> Sealed:
        """Read the sealing keys, none where they were put aside. Raises SecureElementError."""
        return self._read(SEALED, Sealed) if (self._path / SEALED).exists() else Sealed()

    def write(self, file: Device | Sealed) -> None:
        """Replace a file, whole. Raises SecureElementError."""
        name = DEVICE if isinstance(file, Device) else SEALED
        write_private(self._path / name, msgspec.json.encode(file), replace=True)

    def _read(self, name: str, kind: type[_File]) -> _File:
        path = self._path / name
        try:
            file = msgspec.json.decode(read_private(path, MAX_FILE_BYTES), type=kind)
        except msgspec.DecodeError as error:
            raise SecureElementError(f"{path}: damaged ({error}); put back its last copy") from error
        if file.version != VERSION:
            raise SecureElementError(f"{path}: version {file.version}, this software reads {VERSION}")
        return file
