"""Frames on the emitter's serial line: COBS, CRC-32, a sequence number.

Rules kept here:
- On the wire a frame is 00, COBS(kind, sequence, body, CRC-32), 00: a zero byte never stands inside, so a reader
  that lost its place finds it again at the next. The leading zero saves a frame from what noise left before it.
- A frame with its delimiters is at most `MAX_FRAME` bytes; a reader keeps no more than that.
- Numbers are little-endian. What fails length, COBS or CRC is dropped whole and counted: nothing is guessed.
"""

import struct
import zlib
from typing import NamedTuple

from cobs import cobs

MAX_FRAME = 128
_HEAD, _CRC = struct.Struct("<BH"), struct.Struct("<I")
# one byte of COBS, two delimiters
MAX_BODY = MAX_FRAME - 3 - _HEAD.size - _CRC.size


class Frame(NamedTuple):
    """`kind` 0..255, `sequence` 0..65535, `body` of at most `MAX_BODY` bytes."""

    kind: int
    sequence: int
    body: bytes


def encode(frame: Frame) -> bytes:
    """The bytes on the wire. Raises ValueError where the body is too long."""
    if len(frame.body) > MAX_BODY:
        raise ValueError(f"a body of {len(frame.body)} bytes; a frame carries {MAX_BODY}")
    plain = _HEAD.pack(frame.kind, frame.sequence) + frame.body
    stuffed: bytes = cobs.encode(plain + _CRC.pack(zlib.crc32(plain)))
    return b"\0" + stuffed + b"\0"


class Parser:
    """Takes bytes as they come, gives whole frames. `discarded` counts what stood between zeros and was no frame."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._too_long = False
        self.discarded = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Every frame that `data` completes."""
        frames = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._hold(piece)
            if self._held and (frame := self._close()) is not None:
                frames.append(frame)
        self._hold(rest)
        return frames

    def _hold(self, piece: bytes) -> None:
        room = MAX_FRAME - 2 - len(self._held)
        self._held += piece[:room]
        self._too_long |= len(piece) > room

    def _close(self) -> Frame | None:
        frame = None if self._too_long else _decode(bytes(self._held))
        self._held.clear()
        self._too_long = False
        self.discarded += frame is None
        return frame


def _decode(stuffed: bytes) -> Frame | None:
    try:
        plain = cobs.decode(stuffed)
    except cobs.DecodeError:
        return None
    body_end = len(plain) - _CRC.size
    if body_end < _HEAD.size or zlib.crc32(plain[:body_end]) != _CRC.unpack_from(plain, body_end)[0]:
        return None
    kind, sequence = _HEAD.unpack_from(plain)
    return Frame(kind, sequence, plain[_HEAD.size : body_end])
