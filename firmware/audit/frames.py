"""How records lie in a file: one after the other, each naming the digest of the one before.

    4 length of what follows | 8 sequence | 32 digest of the one before | 8 seconds since 1970 | 1 kind | body | 8 check

All numbers big-endian. The digest of a record is SHA-256 over all its bytes, the length's and the check's with them.
The check, the first 8 bytes of SHA-256 over what stands before it, is no protection, since anybody can compute it:
it tells a record that was cut short by a power cut from a whole one, and names the very record where a byte was turned.
A log is a folder of segments, `audit-000001.log` and up; the chain goes on from each to the next.
"""

import hashlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from firmware.audit.errors import AuditError

_HEADER = struct.Struct(">IQ32sQB")
_CHECK_BYTES = 8
_LENGTH_BYTES = 4
MAX_BODY_BYTES = 4096
MIN_FRAME_BYTES = _HEADER.size + _CHECK_BYTES
MAX_FRAME_BYTES = MIN_FRAME_BYTES + MAX_BODY_BYTES
SEGMENT_BYTES = 8 * 1024 * 1024
GENESIS = bytes(32)
_NAME = re.compile(r"audit-(\d{6})\.log")


class Frame(NamedTuple):
    """One record as it lies there; `digest` is what the next one must name."""

    sequence: int
    previous: bytes
    at: int
    kind: int
    body: bytes
    digest: bytes


def pack(sequence: int, previous: bytes, at: int, kind: int, body: bytes) -> tuple[bytes, bytes]:
    """Return the bytes of a record and its digest. Raises AuditError where the body is too large."""
    if len(body) > MAX_BODY_BYTES:
        raise AuditError("audit_write", f"a record of {len(body)} bytes; {MAX_BODY_BYTES} are allowed")
    length = MIN_FRAME_BYTES + len(body) - _LENGTH_BYTES
    data = _HEADER.pack(length, sequence, previous, at, kind) + body
    data += hashlib.sha256(data).digest()[:_CHECK_BYTES]
    return data, hashlib.sha256(data).digest()


def scan(data: bytes) -> Iterator[tuple[Frame, int]]:
    """Yield each whole record with the offset behind it; end at the first that is none."""
    at = 0
    while len(data) - at >= MIN_FRAME_BYTES:
        length, sequence, previous, seconds, kind = _HEADER.unpack_from(data, at)
        end = at + _LENGTH_BYTES + length
        if not MIN_FRAME_BYTES <= end - at <= MAX_FRAME_BYTES or end > len(data):
            return
        record = data[at:end]
        if hashlib.sha256(record[:-_CHECK_BYTES]).digest()[:_CHECK_BYTES] != record[-_CHECK_BYTES:]:
            return
        body = record[_HEADER.size : -_CHECK_BYTES]
        yield Frame(sequence, previous, seconds, kind, body, hashlib.sha256(record).digest()), end
        at = end


def resync(data: bytes) -> int | None:
    """Offset of the first whole record behind a broken one at the beginning of `data`; None where there is none."""
    for at in range(1, len(data) - MIN_FRAME_BYTES + 1):
        if data[at] == data[at + 1] == 0 and next(scan(data[at : at + MAX_FRAME_BYTES]), None) is not None:
            return at  # a length is below 2**16
    return None


def announced(data: bytes) -> int:
    """How long the record at the beginning of `data` says that it is, in bytes, whether it is whole or not."""
    return _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments in `folder`, by number. Raises AuditError where it cannot be read."""
    try:
        names = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    except OSError as error:
        raise AuditError("audit_unusable", f"{folder}: cannot be read as an audit log: {error.strerror}") from error
    return sorted((int(match[1]), path) for match, path in names)


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"audit-{number:06d}.log"


def first(path: Path) -> Frame | None:
    """The first record of a segment, None where there is none. Raises AuditError where it cannot be read."""
    try:
        with path.open("rb") as file:
            found = next(scan(file.read(MAX_FRAME_BYTES)), None)
    except OSError as error:
        raise AuditError("audit_unusable", f"{path}: cannot be read: {error.strerror}") from error
    return None if found is None else found[0]


def read(path: Path) -> bytes:
    """All bytes of a segment. Raises AuditError where it cannot be read or is larger than one can be."""
    limit = SEGMENT_BYTES + 8 * MAX_FRAME_BYTES
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise AuditError("audit_unusable", f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise AuditError("audit_damaged", f"{path}: larger than a segment can be ({limit} bytes)")
    return data
