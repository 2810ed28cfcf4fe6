"""Reading a recording back, item by item, from a file nobody vouches for.

Rules kept here:
- Only whole frames come out. A file that ends early gives every whole frame before the cut and then one
  `TruncatedError`; any other fault is a `DamagedError`. Only a file with its footer ends without an error.
- Images are measured against the calibration before them; JSON is bounded, then decoded strictly.
"""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from google.protobuf.message import DecodeError
from mcap.exceptions import McapError

from drivers.camera.interface import CameraError, FrameSet
from drivers.camera.recording import layout
from drivers.camera.recording.messages import CutShortError, Message, Note, read_messages, read_profile
from drivers.camera.recording.session import MAX_JSON_BYTES, SESSION, TRUTH, SessionEvent, Truth

Item = FrameSet | SessionEvent | Truth

_LIMITS = (
    dict.fromkeys((layout.FRAME, SESSION, TRUTH), ("json", MAX_JSON_BYTES))
    | {layout.CALIBRATION: ("protobuf", layout.MAX_CALIBRATION_BYTES)}
    | dict.fromkeys(map(layout.topic, layout.IMAGES), ("protobuf", layout.MAX_MESSAGE_BYTES))
)
_FAULTS = (
    McapError, DecodeError, msgspec.MsgspecError, struct.error, OverflowError, RecursionError, zstandard.ZstdError,
    ValueError,
)  # fmt: skip


class RecordingFileError(CameraError):
    """The file is not a recording of this kind, or not a whole one."""


class TruncatedError(RecordingFileError):
    """The file ends before its footer: the writer was killed, the disk was full, or the copy is partial."""


class DamagedError(RecordingFileError):
    """The file holds something a recording cannot hold."""


class RecordingReader:
    """Reads FrameSets, session events and ground truth in file order. After an error it gives that error for ever.

    Attributes:
        count: whole frames so far.
        consent: whose consent covers the recording; known once the first item is read.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and read its header.

        Raises:
            OSError: the file cannot be opened.
            RecordingFileError: it is not a Tessera recording.
        """
        self.path = path
        self.count = 0
        self.consent = ""
        self._parts: dict[str, bytes] = {}
        self._last: int | None = None  # the frame that ground truth may now speak of
        self._error: RecordingFileError | None = None
        self._file = path.open("rb")
        try:
            with self._faults():
                profile = read_profile(self._file)
                if profile is None:
                    raise DamagedError(f"{path}: not an MCAP file")
                if profile != layout.PROFILE:
                    raise DamagedError(f"{path}: an MCAP file, but not a Tessera recording")
        except RecordingFileError:
            self._file.close()
            raise
        self._messages = read_messages(self._file)

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
        except CutShortError as error:
            self._error = TruncatedError(f"{self.path}: truncated after {self.count} whole frames")
            raise self._error from error
        except _FAULTS as error:
            # what a terminal would obey must not come out of a file by way of an error
            why = "".join(letter if letter.isprintable() else "?" for letter in str(error))[:300]
            self._error = DamagedError(f"{self.path}: damaged after {self.count} whole frames: {why}")
            raise self._error from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def next_item(self) -> Item | None:
        """Return the next whole frame, event or ground truth, or None at the end of a whole file.

        Raises:
            TruncatedError: the file ends early.
            DamagedError: the file is damaged here.
        """
        with self._faults():
            for message in self._messages:
                if isinstance(message, Note):
                    self._note(message)
                elif (item := self._message(message)) is not None:
                    return item
            if self._parts:
                raise ValueError("it ends inside a frame")
        return None

    def next_frame(self) -> FrameSet | None:
        """Return the next whole frame, passing over the rest. As `next_item` otherwise."""
        while not isinstance(item := self.next_item(), FrameSet):
            if item is None:
                return None
        return item

    def _note(self, note: Note) -> None:
        if note.name == layout.CONSENT:
            self.consent = note.values.get("consent", "")

    def _message(self, message: Message) -> Item | None:
        topic, data = message.topic, message.data
        if topic not in _LIMITS:
            return None  # other channels belong to others
        encoding, limit = _LIMITS[topic]
        if message.encoding != encoding or len(data) > limit:
            raise ValueError(f"{len(data)} bytes of {message.encoding!r} on {topic}: expected {encoding}, {limit}")
        if topic == SESSION:
            event: SessionEvent = msgspec.json.decode(data, type=SessionEvent)
            return event
        if topic == TRUTH:
            return self._truth(msgspec.json.decode(data, type=Truth))
        if topic != layout.FRAME:
            if topic in self._parts:
                raise ValueError(f"two messages on {topic} in one frame")
            self._parts[topic] = data
            return None
        parts, self._parts = self._parts, {}
        frames = _assemble(parts, msgspec.json.decode(data, type=layout.FrameRecord))
        self.count += 1
        self._last = frames.sequence
        return frames

    def _truth(self, truth: Truth) -> Truth:
        if truth.sequence != self._last:
            raise ValueError(f"ground truth of frame {truth.sequence} does not follow that frame, or comes twice")
        self._last = None
        return truth


def _assemble(parts: dict[str, bytes], record: layout.FrameRecord) -> FrameSet:
    expected = {layout.CALIBRATION, *map(layout.topic, record.images)}
    if parts.keys() != expected or not {"ir", "depth"} <= set(record.images):
        raise ValueError(f"frame {record.sequence} lists {sorted(expected)}, the file has {sorted(parts)}")
    intrinsics = layout.decode_calibration(parts[layout.CALIBRATION])
    shape = (intrinsics.height, intrinsics.width)
    images: dict[str, Any] = {name: layout.decode_image(parts[layout.topic(name)], shape) for name in record.images}
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


def read_recording(path: Path) -> Iterator[Item]:
    """Yield every whole item of a recording; a file that ends early costs one warning in the log, and its last frame.

    Raises:
        OSError: the file cannot be opened.
        DamagedError: it is not a recording, or damaged; what stood before the damage was yielded.
    """
    reader = RecordingReader(path)
    try:
        while (item := reader.next_item()) is not None:
            yield item
    except TruncatedError as error:
        logging.getLogger(__name__).warning("%s", error)
    finally:
        reader.close()


def read_session(path: Path) -> list[SessionEvent]:
    """Return the session's events in file order. Raises as `read_recording`."""
    return [item for item in read_recording(path) if isinstance(item, SessionEvent)]


def read_truth(path: Path) -> dict[int, Truth]:
    """Return the ground truth by frame sequence. Raises as `read_recording`."""
    return {item.sequence: item for item in read_recording(path) if isinstance(item, Truth)}
