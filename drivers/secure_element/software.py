"""A device key in an encrypted file: for demonstration and test rigs, never for a terminal in a shop.

Rules kept here:
- No capability is claimed: whoever copies the file and its passphrase has the key.
- The file holds the P-256 identity and the sealing key under AES-256-GCM, keyed by scrypt from a passphrase that
  lies in another file. Only its owner may read either; a file others can read is refused.
- The scrypt cost is fixed, so that a swapped file can demand no other.

Layout: magic | 16 salt | 12 nonce | AES-256-GCM(32 private scalar | 32 sealing key), the first 40 bytes authenticated.
"""

import os
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from drivers.secure_element.interface import Capability, SecureElement, SecureElementError

MAGIC = b"TESSERA-SE1\n"
SALT, NONCE, KEY, TAG = 16, 12, 32, 16
HEADER = len(MAGIC) + SALT + NONCE
FILE_BYTES = HEADER + 2 * KEY + TAG
MAX_PASSPHRASE_BYTES = 1024
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1  # 32 MiB, about 0.1 s: core must be ready within 3 s
MAX_RANDOM_BYTES = 1024


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the key file and its passphrase lie."""

    path: str
    passphrase_file: str


class SoftwareSecureElement(SecureElement):
    """The interface over two keys in memory."""

    def __init__(self, identity: ec.EllipticCurvePrivateKey, sealing_key: bytes) -> None:
        self._identity = identity
        self._aead = AESGCM(sealing_key)
        self._public_key = identity.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

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
        r, s = utils.decode_dss_signature(self._identity.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        """AES-256-GCM under a random nonce, which stands in front."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._aead.encrypt(nonce, plaintext, associated)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """Open what `seal` made. Raises SecureElementError on any mismatch."""
        if len(sealed) < NONCE + TAG:
            raise SecureElementError(f"a sealed blob of {len(sealed)} bytes is too short")
        try:
            return self._aead.decrypt(sealed[:NONCE], sealed[NONCE:], associated)
        except InvalidTag as error:
            raise SecureElementError(
                "the sealed blob is damaged, of another element, or bound to other data"
            ) from error

    def random(self, size: int) -> bytes:
        """`size` bytes (1 to 1024) of the operating system's generator."""
        if not 1 <= size <= MAX_RANDOM_BYTES:
            raise SecureElementError(f"random: {size} bytes asked, 1 to {MAX_RANDOM_BYTES} allowed")
        return secrets.token_bytes(size)


def create(path: Path, passphrase: bytes) -> SoftwareSecureElement:
    """Make a new identity and sealing key and write them to `path`, which must not exist.

    Raises:
        SecureElementError: the file is there already or cannot be written, or the passphrase is empty.
    """
    identity, sealing_key = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(KEY)
    header = MAGIC + secrets.token_bytes(SALT + NONCE)
    secret = identity.private_numbers().private_value.to_bytes(KEY, "big") + sealing_key
    blob = header + _cipher(header, passphrase).encrypt(header[-NONCE:], secret, header)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SecureElementError(f"{path}: cannot be created: {error.strerror}; an old key is not replaced") from error
    return SoftwareSecureElement(identity, sealing_key)


def open_secure_element(options: dict[str, str | int | float | bool]) -> SoftwareSecureElement:
    """Open the key file named in `options`: `path` and `passphrase_file`, no other.

    Raises:
        SecureElementError: naming the file, what is wrong and what to do.
    """
    try:
        where = msgspec.convert(options, Options, strict=True)
    except msgspec.ValidationError as error:
        raise SecureElementError(f"secure_element.options: {error}") from error
    blob = _read(Path(where.path), FILE_BYTES)
    passphrase = _read(Path(where.passphrase_file), MAX_PASSPHRASE_BYTES).rstrip(b"\r\n")
    if len(blob) != FILE_BYTES or not blob.startswith(MAGIC):
        raise SecureElementError(f"{where.path}: not a Tessera key file; restore it, or make a new key and register it")
    header = blob[:HEADER]
    try:
        secret = _cipher(header, passphrase).decrypt(header[-NONCE:], blob[HEADER:], header)
    except InvalidTag as error:
        raise SecureElementError(
            f"{where.path}: does not open: the passphrase in {where.passphrase_file} is wrong or the file is damaged"
        ) from error
    return SoftwareSecureElement(
        ec.derive_private_key(int.from_bytes(secret[:KEY], "big"), ec.SECP256R1()), secret[KEY:]
    )


def _cipher(header: bytes, passphrase: bytes) -> AESGCM:
    if not passphrase:
        raise SecureElementError("the passphrase is empty; write a long random one into the passphrase file")
    salt = header[len(MAGIC) : len(MAGIC) + SALT]
    return AESGCM(Scrypt(salt=salt, length=KEY, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase))


def _read(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes that only its owner can read."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise SecureElementError(f"{path}: others can read it; chmod 600 it")
            data = file.read(limit + 1)
    except OSError as error:
        raise SecureElementError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise SecureElementError(f"{path}: larger than {limit} bytes")
    return data
