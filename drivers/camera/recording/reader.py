"""Reading a recording back, frame by frame, from a file nobody vouches for.

Rules kept here:
- Only whole frames come out. A file that ends early gives every whole frame before the cut and then one
  `TruncatedError`; any other fault is a `DamagedError`. Only a file with its footer ends without an error.
- Every length is checked before it is believed: records, decompressed chunks, image sides.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import msgspec
import zstandard
from google.protobuf.message import DecodeError
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Header, Message, Metadata
from mcap.stream_reader import CRCValidationError, breakup_chunk
from mcap.writer import MCAP0_MAGIC

from drivers.camera.interface import CameraError, FrameSet, Intrinsics
from drivers.camera.recording import layout

_MAX_RECORD_BYTES = layout.MAX_MESSAGE_BYTES + 1024 * 1024
_FAULTS = (
    McapError,
    CRCValidationError,
    DecodeError,
    msgspec.MsgspecError,
    struct.error,
    OverflowError,
    zstandard.ZstdError,
    ValueError,
)


class RecordingFileError(CameraError):
    """The file is not a recording of this kind, or not a whole one."""


class TruncatedError(RecordingFileError):
    """The file ends before its footer: the writer was killed, the disk was full, or the copy is partial."""


class DamagedError(RecordingFileError):
    """The file holds something a recording cannot hold."""


class FrameReader:
    """Reads FrameSets in file order. After an error it gives that error again, for ever."""

    def __init__(self, path: Path) -> None:
        """Open the file and read its header.

        Raises:
            OSError: the file cannot be opened.
            RecordingFileError: it is not a Tessera recording.
        """
        self.path = path
        self.count = 0
        self.consent = ""
        self._topics: dict[int, str] = {}
        self._parts: dict[str, bytes] = {}
        self._error: RecordingFileError | None = None
        self._ended = False
        self._file = path.open("rb")
        try:
            with self._faults():
                self._open()
        except RecordingFileError:
            self._file.close()
            raise

    def _open(self) -> None:
        if self._file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise DamagedError(f"{self.path}: not an MCAP file")
        opcode, content = self._record()
        if opcode != Opcode.HEADER or Header.read(_stream(content)).profile != layout.PROFILE:
            raise DamagedError(f"{self.path}: an MCAP file, but not a Tessera recording")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn whatever a damaged file provokes into one error, and keep it."""
        if self._error is not None:
            raise self._error
        try:
            yield
        except RecordingFileError as error:
            self._error = error
            raise
        except _FAULTS as error:
            self._error = DamagedError(f"{self.path}: damaged after {self.count} whole frames: {error}")
            raise self._error from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def next_frame(self) -> FrameSet | None:
        """Return the next whole frame, or None at the end of a whole file.

        Raises:
            TruncatedError: the file ends early.
            DamagedError: the file is damaged here.
        """
        with self._faults():
            while not self._ended:
                opcode, content = self._record()
                if opcode == Opcode.CHUNK:
                    frames = self._chunk(Chunk.read(_stream(content)))
                    if frames is not None:
                        self.count += 1
                        return frames
                elif opcode == Opcode.METADATA:
                    metadata = Metadata.read(_stream(content))
                    if metadata.name == layout.CONSENT:
                        self.consent = metadata.metadata.get("consent", "")
                elif opcode == Opcode.FOOTER:
                    if self._parts or self._exactly(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
                        raise ValueError("it ends inside a frame")
                    self._ended = True
        return None

    def _record(self) -> tuple[int, bytes]:
        opcode, length = struct.unpack("<BQ", self._exactly(9))
        if length > _MAX_RECORD_BYTES:
            raise ValueError(f"a record of {length} bytes")
        return opcode, self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise TruncatedError(f"{self.path}: truncated after {self.count} whole frames")
        return data

    def _chunk(self, chunk: Chunk) -> FrameSet | None:
        """Take in a chunk's messages; return the frame its last one completes, if it does."""
        if chunk.compression != "zstd":
            raise ValueError(f"a chunk compressed with {chunk.compression!r}, expected zstd")
        # the size inside the zstd frame is what decompression believes
        size = zstandard.get_frame_parameters(chunk.data).content_size
        if size != chunk.uncompressed_size or size > _MAX_RECORD_BYTES:
            raise ValueError(f"a chunk of {size} bytes, stated as {chunk.uncompressed_size}")
        frames = None
        for record in breakup_chunk(chunk, validate_crc=True):
            if isinstance(record, Channel):
                self._topics[record.id] = record.topic
            elif isinstance(record, Message):
                if frames is not None:
                    raise ValueError("a frame's record is not the last message of its chunk")
                frames = self._message(self._topics.get(record.channel_id, ""), record.data)
        return frames

    def _message(self, topic: str, data: bytes) -> FrameSet | None:
        if topic in self._parts:
            raise ValueError(f"two messages on {topic} in one frame")
        if topic != layout.FRAME:
            if topic.startswith("/camera/"):  # other channels belong to others
                self._parts[topic] = data
            return None
        parts, self._parts = self._parts, {}
        return _assemble(parts, msgspec.json.decode(data, type=layout.FrameRecord))


def _assemble(parts: dict[str, bytes], record: layout.FrameRecord) -> FrameSet:
    expected = {layout.CALIBRATION, *map(layout.topic, record.images)}
    if parts.keys() != expected or not {"ir", "depth"} <= set(record.images):
        raise ValueError(f"frame {record.sequence} lists {sorted(expected)}, the file has {sorted(parts)}")
    intrinsics: Intrinsics = layout.decode_calibration(parts[layout.CALIBRATION])
    images: dict[str, Any] = {name: layout.decode_image(parts[layout.topic(name)]) for name in record.images}
    return FrameSet(
        sequence=record.sequence,
        timestamp_ns=record.timestamp_ns,
        ir=images["ir"],
        depth_mm=images["depth"],
        intrinsics=intrinsics,
        emitter=record.emitter,
        exposure_us=record.exposure_us,
        gain=record.gain,
        camera=record.camera,
        ambient=images.get("ambient"),
        dots=images.get("dots"),
    )


def _stream(content: bytes) -> ReadDataStream:
    file: IO[bytes] = BytesIO(content)
    return ReadDataStream(file)
