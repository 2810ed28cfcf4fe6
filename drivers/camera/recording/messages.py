"""The messages of an MCAP file nobody vouches for, in file order, in bounded memory.

Rules kept here:
- Every length is checked before anything of that length is allocated: records, chunks as compressed and as
  decompressed, messages in a chunk, channels in a file, strings.
- The index at the end is never believed, nor read: a file is read from its front to its footer, or to where it breaks.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import IO, TypeVar

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Header, Metadata
from mcap.writer import MCAP0_MAGIC

from drivers.camera.recording.layout import MAX_MESSAGE_BYTES

MAX_RECORD_BYTES = MAX_MESSAGE_BYTES + 1024 * 1024
MAX_CHUNK_RECORDS = 4096
MAX_CHANNELS = 1024
MAX_TEXT_RECORD_BYTES = 64 * 1024  # header, metadata, channel
_UNKNOWN_SIZE = (zstandard.CONTENTSIZE_UNKNOWN, -1)
_Record = TypeVar("_Record", Header, Channel, Metadata)
_MESSAGE_HEADER = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time


class CutShortError(Exception):
    """The file ends before its footer."""


@dataclass(frozen=True, slots=True)
class Message:
    """`data` as it stood on `topic`, encoded as `encoding` says."""

    topic: str
    encoding: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A metadata record."""

    name: str
    values: Mapping[str, str]


def read_profile(file: IO[bytes]) -> str | None:
    """Read the file's beginning and return its profile, or None where it is not MCAP.

    Raises:
        CutShortError, ValueError, and what mcap raises on damage.
    """
    if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
        return None
    opcode, content = _record(file)
    return _text(Header, content).profile if opcode == Opcode.HEADER else None


def read_messages(file: IO[bytes]) -> Iterator[Message | Note]:
    """Yield what follows the header, until the footer.

    Raises:
        CutShortError: the file ends before its footer.
        ValueError, struct.error, zstandard.ZstdError, and what mcap raises: the file is damaged here.
    """
    channels: dict[int, tuple[str, str]] = {}
    while True:
        opcode, content = _record(file)
        if opcode == Opcode.CHUNK:
            yield from _chunk(Chunk.read(_stream(content)), channels)
        elif opcode == Opcode.CHANNEL:
            _open_channel(content, channels)
        elif opcode == Opcode.MESSAGE:
            raise ValueError("a message outside a chunk")
        elif opcode == Opcode.METADATA:
            note = _text(Metadata, content)
            yield Note(note.name, note.metadata)
        elif opcode == Opcode.FOOTER:
            if _exactly(file, len(MCAP0_MAGIC)) != MCAP0_MAGIC:
                raise ValueError("no magic after the footer")
            return


def _chunk(chunk: Chunk, channels: dict[int, tuple[str, str]]) -> Iterator[Message]:
    data = _decompressed(chunk)
    at = records = 0
    while at < len(data):
        opcode, length = struct.unpack_from("<BQ", data, at)
        at += 9
        records += 1
        if length > len(data) - at or records > MAX_CHUNK_RECORDS:
            raise ValueError(f"a chunk of more than {MAX_CHUNK_RECORDS} records, or one that overruns it")
        if opcode == Opcode.CHANNEL:
            _open_channel(data[at : at + length], channels)
        elif opcode == Opcode.MESSAGE:
            channel, *_ = _MESSAGE_HEADER.unpack_from(data[at : at + _MESSAGE_HEADER.size])
            if channel not in channels:
                raise ValueError(f"a message on channel {channel}, which was never opened")
            yield Message(*channels[channel], data[at + _MESSAGE_HEADER.size : at + length])
        at += length


def _decompressed(chunk: Chunk) -> bytes:
    if chunk.compression != "zstd":
        raise ValueError(f"a chunk compressed with {chunk.compression!r}, expected zstd")
    # the size inside the zstd frame is what decompression believes and allocates
    inside = zstandard.get_frame_parameters(chunk.data).content_size
    size = chunk.uncompressed_size
    if size > MAX_RECORD_BYTES or inside not in (size, *_UNKNOWN_SIZE):
        raise ValueError(f"a chunk of {inside} bytes, stated as {size}, at most {MAX_RECORD_BYTES}")
    data = zstandard.ZstdDecompressor().decompress(chunk.data, size, allow_extra_data=False)
    if len(data) != size or chunk.uncompressed_crc not in (0, zlib.crc32(data)):
        raise ValueError("a chunk that does not match its length or checksum")
    return data


def _open_channel(content: bytes, channels: dict[int, tuple[str, str]]) -> None:
    channel = _text(Channel, content)
    opened = (channel.topic, channel.message_encoding)
    if channels.setdefault(channel.id, opened) != opened or len(channels) > MAX_CHANNELS:
        raise ValueError(f"channel {channel.id} is opened twice, differently, or is one of too many")


def _record(file: IO[bytes]) -> tuple[int, bytes]:
    opcode, length = struct.unpack("<BQ", _exactly(file, 9))
    if length > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {length} bytes")
    return opcode, _exactly(file, length)


def _exactly(file: IO[bytes], length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise CutShortError
    return data


def _text(kind: type[_Record], content: bytes) -> _Record:
    if len(content) > MAX_TEXT_RECORD_BYTES:
        raise ValueError(f"a {kind.__name__} of {len(content)} bytes")
    record: _Record = kind.read(_stream(content))
    return record


def _stream(content: bytes) -> ReadDataStream:
    return ReadDataStream(BytesIO(content))
