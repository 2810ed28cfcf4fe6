"""The encrypted key file of the software element.

Rules kept here:
- It holds identities and sealing keys under AES-256-GCM, keyed by scrypt from a passphrase that lies in another file.
- The scrypt cost is fixed, so that a swapped file can demand no other.
- A file that another process changed is not overwritten.

Layout: magic | 16 salt | 12 nonce | AES-256-GCM(`State` as MessagePack), the magic and the salt authenticated.
"""

import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from drivers.secure_element.files import read_private, write_private
from drivers.secure_element.interface import SecureElementError

MAGIC = b"TESSERA-SE2\n"
SALT, NONCE, KEY, TAG = 16, 12, 32, 16
HEADER = len(MAGIC) + SALT
MAX_FILE_BYTES = 1024
MAX_PASSPHRASE_BYTES = 1024
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1  # 32 MiB, about 0.1 s: core must be ready within 3 s


class State(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All the element holds.

    Attributes:
        identity: private scalar of the device identity, 32 bytes, big endian.
        waiting: that of the next one, or None.
        first: the lowest epoch that has not ended.
        epochs: sealing key by epoch, 32 bytes each.
    """

    identity: bytes
    waiting: bytes | None
    first: int
    epochs: dict[int, bytes]


class KeyFile:
    """One key file, its passphrase stretched once; it remembers the bytes it last read or wrote."""

    def __init__(self, path: Path, passphrase: bytes, salt: bytes) -> None:
        if not passphrase:
            raise SecureElementError("the passphrase is empty; write a long random one into the passphrase file")
        self._path, self._header = path, MAGIC + salt
        self._aead = AESGCM(Scrypt(salt=salt, length=KEY, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase))
        self._known = b""

    @classmethod
    def create(cls, path: Path, passphrase: bytes, state: State) -> "KeyFile":
        """Write `state` to `path`. Raises SecureElementError: it is there already, or the passphrase is empty."""
        file = cls(path, passphrase, secrets.token_bytes(SALT))
        file.write(state)
        return file

    @classmethod
    def read(cls, path: Path, passphrase_file: Path) -> "tuple[KeyFile, State]":
        """Open the file. Raises SecureElementError, naming the file, what is wrong and what to do."""
        blob = read_private(path, MAX_FILE_BYTES)
        passphrase = read_passphrase(passphrase_file)
        if len(blob) < HEADER + NONCE + TAG or not blob.startswith(MAGIC):
            raise SecureElementError(f"{path}: not a Tessera key file; restore it, or make a new key and register it")
        file = cls(path, passphrase, blob[len(MAGIC) : HEADER])
        file._known = blob
        try:
            plain = file._aead.decrypt(blob[HEADER : HEADER + NONCE], blob[HEADER + NONCE :], file._header)
            return file, msgspec.msgpack.decode(plain, type=State)
        except (InvalidTag, msgspec.DecodeError) as error:
            raise SecureElementError(
                f"{path}: does not open: the passphrase in {passphrase_file} is wrong or the file is damaged"
            ) from error

    def write(self, state: State) -> None:
        """Replace the file, whole. Raises SecureElementError: it is not the one last read, or cannot be written."""
        if self._known and read_private(self._path, MAX_FILE_BYTES) != self._known:
            raise SecureElementError(f"{self._path}: another process changed it; only one may own a secure element")
        nonce = secrets.token_bytes(NONCE)
        blob = self._header + nonce + self._aead.encrypt(nonce, msgspec.msgpack.encode(state), self._header)
        write_private(self._path, blob, replace=bool(self._known))
        self._known = blob


def read_passphrase(path: Path) -> bytes:
    """The passphrase alone in a file. Raises SecureElementError: it cannot be read, or others can read it."""
    return read_private(path, MAX_PASSPHRASE_BYTES).rstrip(b"\r\n")
