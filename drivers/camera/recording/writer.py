"""Writing a recording.

Rules kept here:
- A recording shows a face: the file is new, readable by its owner only, and says whose consent covers it.
- One camera and one geometry per file, and at most MAX_FRAMES frames: the index that MCAP wants at the end is kept in
  memory meanwhile, 2 kB a frame. Nothing else grows.
- Whatever is written is handed to the system before the call returns.
- What would not come back the same is not written.
- Who may record at all is decided above: field profiles never do.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from mcap.writer import Writer

from drivers.camera.interface import CameraError, CameraInfo, FrameSet, Intrinsics
from drivers.camera.recording import layout
from drivers.camera.recording.schemas import schema
from drivers.camera.recording.session import (
    MAX_JSON_BYTES,
    SESSION,
    TRUTH,
    SessionEvent,
    Truth,
    event_of,
    session_schema,
    truth_schema,
)

MAX_FRAMES = 65_536  # over an hour at 15 frames a second


class RecordingWriteError(CameraError):
    """The recording cannot be written: the file exists, the disk is full, or what was given does not belong in it."""


class RecordingWriter:
    """Writes FrameSets, session events and ground truth to a new MCAP file, one by one; a context manager."""

    def __init__(self, path: Path, consent: str) -> None:
        """Create the file.

        Args:
            path: a file that must not exist yet.
            consent: whose consent covers the recording and where it is kept, in words; never empty.

        Raises:
            RecordingWriteError: no consent is named, or the file cannot be created.
        """
        if not consent.strip() or len(consent) > layout.MAX_CONSENT_CHARS:
            raise RecordingWriteError(f"{path}: a recording must say whose consent covers it, in some words")
        self._path = path
        self._source: tuple[CameraInfo, Intrinsics] | None = None
        self._count = 0
        self._last: tuple[int, int] | None = None  # sequence and time of the frame that ground truth may speak of
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RecordingWriteError(f"{path}: cannot be created: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "wb")
        self._writer = Writer(self._file, chunk_size=1)  # a chunk per message: see layout
        self._writer.start(profile=layout.PROFILE, library="tessera")
        self._writer.add_metadata(layout.CONSENT, {"consent": consent})
        self._channels = dict(self._open_channels())

    def _open_channels(self) -> Iterator[tuple[str, int]]:
        register, open_channel = self._writer.register_schema, self._writer.register_channel
        calibration = register("foxglove.CameraCalibration", "protobuf", schema("CameraCalibration"))
        yield layout.CALIBRATION, open_channel(layout.CALIBRATION, "protobuf", calibration)
        image = register("foxglove.RawImage", "protobuf", schema("RawImage"))
        for name in layout.IMAGES:
            unit = {"unit": "mm", "unknown": "NaN"} if name == "depth" else {}
            yield layout.topic(name), open_channel(layout.topic(name), "protobuf", image, unit)
        for topic, kind, described in (
            (layout.FRAME, "tessera.FrameRecord", layout.record_schema()),
            (SESSION, "tessera.SessionEvent", session_schema()),
            (TRUTH, "tessera.Truth", truth_schema()),
        ):
            yield topic, open_channel(topic, "json", register(kind, "jsonschema", described))

    def write(self, frames: FrameSet) -> None:
        """Append one FrameSet, bit for bit.

        Raises:
            RecordingWriteError: another camera or geometry than the first frame's, an impossible one or number,
                one frame too many, the disk refused, or the file is closed.
        """
        source = (frames.camera, frames.intrinsics)
        if self._source is None:
            try:
                layout.check_intrinsics(frames.intrinsics)
            except ValueError as error:
                raise RecordingWriteError(f"{self._path}: impossible: {error}") from error
        elif self._source != source:
            raise RecordingWriteError(f"{self._path}: a recording holds one camera with one geometry")
        if self._count >= MAX_FRAMES:
            raise RecordingWriteError(f"{self._path}: is full with {MAX_FRAMES} frames; begin another")
        images = layout.images_of(frames)
        record = layout.FrameRecord(
            frames.sequence,
            frames.timestamp_ns,
            frames.emitter,
            frames.exposure_us,
            frames.gain,
            frames.camera,
            tuple(images),
        )
        encoded = self._json(record, layout.FrameRecord)
        time_ns = frames.timestamp_ns
        with self._writing():
            self._add(layout.CALIBRATION, time_ns, layout.encode_calibration(frames.intrinsics, time_ns))
            for name, image in images.items():
                self._add(layout.topic(name), time_ns, layout.encode_image(image, time_ns))
            self._add(layout.FRAME, time_ns, encoded)
        self._source, self._last = source, (frames.sequence, time_ns)
        self._count += 1

    def event(self, kind: str, at_ns: int, **values: object) -> None:
        """Append a session event, between frames: `event("prompt", onset_ns, prompt="smile")`.

        Args:
            kind: `clock`, `code`, `prompt`, `command` or `note`.
            at_ns: when, by the capture clock of the frames, nanoseconds.
            values: the other fields of that kind of event (`session.py`).

        Raises:
            RecordingWriteError: no such kind or field, an impossible value, the disk refused, or the file is closed.
        """
        try:
            encoded = self._json(event_of(kind, at_ns, values), SessionEvent)
        except msgspec.ValidationError as error:
            raise RecordingWriteError(f"{self._path}: event {kind!r}: {error}") from error
        with self._writing():
            self._add(SESSION, at_ns, encoded)

    def truth(self, frame_sequence: int, values: Mapping[str, object]) -> None:
        """Append what is really there in the frame just written; at most once a frame.

        Args:
            frame_sequence: of that frame.
            values: fields of `Truth` but for `sequence`.

        Raises:
            RecordingWriteError: it is not the frame just written, an unknown field or impossible value,
                the disk refused, or the file is closed.
        """
        if self._last is None or not self._last[0] == frame_sequence == values.get("sequence", frame_sequence):
            raise RecordingWriteError(f"{self._path}: ground truth of frame {frame_sequence} must follow that frame")
        try:
            truth = msgspec.convert({"sequence": frame_sequence, **values}, Truth)
            encoded = self._json(truth, Truth)
        except msgspec.ValidationError as error:
            raise RecordingWriteError(f"{self._path}: ground truth of frame {frame_sequence}: {error}") from error
        with self._writing():
            self._add(TRUTH, self._last[1], encoded)
        self._last = None

    def _json(self, value: msgspec.Struct, kind: Any) -> bytes:
        """Encode, and refuse what a reader would not take or would read otherwise (a NaN, a negative time)."""
        data = msgspec.json.encode(value)
        try:
            same = msgspec.json.decode(data, type=kind) == value
        except msgspec.ValidationError as error:
            raise RecordingWriteError(f"{self._path}: an impossible {type(value).__name__}: {error}") from error
        if not same or len(data) > MAX_JSON_BYTES:
            raise RecordingWriteError(f"{self._path}: an impossible {type(value).__name__} of {len(data)} bytes")
        return data

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if self._file.closed:
            raise RecordingWriteError(f"{self._path}: is closed")
        try:
            yield
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # what is on disk now is a truncated recording: leave it so
                self._file.close()
            raise RecordingWriteError(f"{self._path}: cannot be written: {error.strerror}") from error

    def _add(self, topic: str, time_ns: int, data: bytes) -> None:
        self._writer.add_message(self._channels[topic], time_ns, data, time_ns)

    def close(self) -> None:
        """Write the index and close. Idempotent. Raises RecordingWriteError."""
        if self._file.closed:
            return
        try:
            with self._file:
                self._writer.finish()  # type: ignore[no-untyped-call]
        except OSError as error:
            raise RecordingWriteError(f"{self._path}: cannot be closed: {error.strerror}") from error

    def __enter__(self) -> "RecordingWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except RecordingWriteError:
            if error is None:
                raise
