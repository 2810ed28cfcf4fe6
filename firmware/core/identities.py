"""Every device identity this terminal ever had: what it signed stays readable after its key was exchanged.

    <state_dir>/identities.json    public keys, DER SubjectPublicKeyInfo in hex, oldest first, the current one last

Public keys are no secrets. Whoever can write the file could add one of their own; what is read by it (consent records)
lies in the gallery, sealed, and what auditors read they check against keys they were given.
"""

from pathlib import Path

import msgspec

from drivers.secure_element.files import write_private
from drivers.secure_element.interface import SecureElementError
from firmware.core.errors import TerminalError

MAX_BYTES = 64 * 1024


class Identities:
    """The list, in `core`'s hands. `keys`: all public keys so far, the current one last."""

    def __init__(self, path: Path, current: bytes) -> None:
        """Read the file and add the `current` key where it is new. Raises TerminalError."""
        self._path = path
        try:
            raw = path.read_bytes() if path.exists() else b"[]"
            if len(raw) > MAX_BYTES:
                raise TerminalError(f"{path}: larger than {MAX_BYTES} bytes; restore a backup of this terminal")
            self.keys = tuple(bytes.fromhex(key) for key in msgspec.json.decode(raw, type=list[str]))
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise TerminalError(f"{path}: {error}; restore a backup of this terminal") from error
        self.adopted(current)

    def awaiting(self, waiting: bytes) -> None:
        """Another key may be in force from now on. Raises TerminalError: the file cannot be written."""
        self._keep((*(key for key in self.keys[:-1] if key != waiting), waiting, self.keys[-1]))

    def adopted(self, current: bytes) -> None:
        """Another key is in force. Raises TerminalError: the file cannot be written."""
        if self.keys and self.keys[-1] == current:
            return
        self._keep((*(key for key in self.keys if key != current), current))

    def _keep(self, keys: tuple[bytes, ...]) -> None:
        try:
            write_private(self._path, msgspec.json.encode([key.hex() for key in keys]), replace=True)
        except SecureElementError as error:
            raise TerminalError(str(error)) from error
        self.keys = keys
