"""The limit table: what a board may emit, signed where its optics were measured.

Rules kept here:
- The table belongs to one board, by serial number. Host and board both verify it; the board refuses to light without,
  so a compromised host cannot raise a limit.
- File and upload are the same `FILE_BYTES`: the table, then ECDSA P-256 over its SHA-256 as r and s, 32 bytes each.
- The longest heartbeat time-out a table may have is `MAX_HEARTBEAT_MS`: light is to be out within 200 ms, and the
  board's timer and switch need some of them.

The figures come from whoever measured the module against the standard its product is certified to (IEC 62471 or
IEC 60825-1); this code keeps to them and knows nothing of eyes.
"""

import struct
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Meta

from drivers.emitter.errors import EmitterError

MAX_HEARTBEAT_MS = 190
MAX_KEY_BYTES = 4096
_MAGIC = b"TEL1"
# magic, serial, wavelength_nm, heartbeat_ms, window_ms; then flood and dots as in `Source`
_LAYOUT = struct.Struct("<4s16sHHH5H5H")
_SIGNATURE_BYTES = 64
FILE_BYTES = _LAYOUT.size + _SIGNATURE_BYTES

BoardSerial = Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,16}$")]


class LimitsError(EmitterError):
    """The limit table is missing, not signed by the calibration key, another board's, or impossible."""

    cause = "emitter_limits"


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one light source.

    Attributes:
        drive_ma: current at level 1.0.
        peak_ma: current above which the board goes dark.
        average_ma: current averaged over the table's window above which it goes dark.
        max_pulse_us: longest light in one exposure; the rest of a longer strobe is dark.
        max_duty_permille: of any window that may be lit, thousandths; at the limit it goes dark.
    """

    drive_ma: Annotated[int, Meta(ge=1, le=10_000)]
    peak_ma: Annotated[int, Meta(ge=1, le=10_000)]
    average_ma: Annotated[int, Meta(ge=1, le=10_000)]
    max_pulse_us: Annotated[int, Meta(ge=10, le=20_000)]
    max_duty_permille: Annotated[int, Meta(ge=1, le=500)]

    def __post_init__(self) -> None:
        """Refuse currents out of order. Raises ValueError."""
        if not self.average_ma <= self.peak_ma or not self.drive_ma <= self.peak_ma:
            raise ValueError("`drive_ma` and `average_ma` are at most `peak_ma`")


class LimitTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one board may emit.

    Attributes:
        board: serial number of the board it was measured for.
        wavelength_nm: of both sources.
        heartbeat_ms: the light goes out this long after the stamp the last heartbeat gave back.
        window_ms: over which duty and average current count.
    """

    board: BoardSerial
    wavelength_nm: Annotated[int, Meta(ge=780, le=1100)]
    heartbeat_ms: Annotated[int, Meta(ge=100, le=MAX_HEARTBEAT_MS)]
    window_ms: Annotated[int, Meta(ge=100, le=2000)]
    flood: Source
    dots: Source


def sign(table: LimitTable, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The file of `table`, signed with the P-256 calibration key. Raises LimitsError where the table is impossible."""
    try:
        raw = _LAYOUT.pack(
            _MAGIC, table.board.encode(), table.wavelength_nm, table.heartbeat_ms, table.window_ms,
            *msgspec.structs.astuple(table.flood), *msgspec.structs.astuple(table.dots),
        )  # fmt: skip
    except struct.error as error:
        raise LimitsError(f"impossible limits: {error}") from error
    if _parse(raw) != table:
        raise LimitsError(f"the serial number {table.board!r} is too long")
    r, s = decode_dss_signature(key.sign(raw, ec.ECDSA(hashes.SHA256())))
    return raw + r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(file: bytes, key: ec.EllipticCurvePublicKey, board: str) -> LimitTable:
    """The table in `file` if `key` signed it and it is `board`'s. Raises LimitsError."""
    if len(file) != FILE_BYTES:
        raise LimitsError(f"a limit table of {len(file)} bytes; one has {FILE_BYTES}")
    raw, r, s = file[: _LAYOUT.size], file[_LAYOUT.size : -32], file[-32:]
    try:
        signature = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        key.verify(signature, raw, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise LimitsError("the limit table is not signed by the calibration key") from error
    table = _parse(raw)
    if table.board != board:
        raise LimitsError(f"the limit table is board {table.board}'s; this is board {board}")
    return table


def read_file(path: Path) -> bytes:
    """A limit table's file, unverified and of bounded size. Raises LimitsError."""
    return _read(path, FILE_BYTES)


def read_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The calibration key: a PEM file of a P-256 public key. Raises LimitsError."""
    try:
        key = load_pem_public_key(_read(path, MAX_KEY_BYTES))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LimitsError(f"{path}: not a public key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise LimitsError(f"{path}: not a P-256 key")
    return key


def _read(path: Path, at_most: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(at_most + 1)
    except OSError as error:
        raise LimitsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > at_most:
        raise LimitsError(f"{path}: larger than {at_most} bytes")
    return raw


def _parse(raw: bytes) -> LimitTable:
    magic, board, wavelength, heartbeat, window, *currents = _LAYOUT.unpack(raw)
    if magic != _MAGIC:
        raise LimitsError("not a limit table of this version")
    names = Source.__struct_fields__
    try:
        return msgspec.convert(
            {
                "board": board.rstrip(b"\0").decode("ascii"),
                "wavelength_nm": wavelength,
                "heartbeat_ms": heartbeat,
                "window_ms": window,
                "flood": dict(zip(names, currents[:5], strict=True)),
                "dots": dict(zip(names, currents[5:], strict=True)),
            },
            LimitTable,
        )
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise LimitsError(f"impossible limits: {error}") from error
