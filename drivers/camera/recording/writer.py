"""Writing a recording.

Rules kept here:
- A recording shows a face: the file is new, readable by its owner only, and says whose consent covers it.
- One camera and one geometry per file. Every frame is handed to the system before `write` returns.
- Who may record at all is decided above: field profiles never do.
"""

import contextlib
import math
import os
from pathlib import Path
from types import TracebackType

import msgspec
from mcap.writer import Writer

from drivers.camera.interface import CameraError, CameraInfo, FrameSet, Intrinsics
from drivers.camera.recording import layout
from drivers.camera.recording.schemas import schema


class RecordingWriteError(CameraError):
    """The recording cannot be written: the file exists, the disk is full, or the frame does not belong in it."""


class RecordingWriter:
    """Writes FrameSets to a new MCAP file, one by one; a context manager."""

    def __init__(self, path: Path, consent: str) -> None:
        """Create the file.

        Args:
            path: a file that must not exist yet.
            consent: whose consent covers the recording and where it is kept, in words; never empty.

        Raises:
            RecordingWriteError: no consent is named, or the file cannot be created.
        """
        if not consent.strip():
            raise RecordingWriteError(f"{path}: a recording must say whose consent covers it")
        self._path = path
        self._source: tuple[CameraInfo, Intrinsics] | None = None
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RecordingWriteError(f"{path}: cannot be created: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "wb")
        self._writer = Writer(self._file, chunk_size=1)  # a chunk per message: see layout
        self._writer.start(profile=layout.PROFILE, library="tessera")
        self._writer.add_metadata(layout.CONSENT, {"consent": consent})
        calibration = self._writer.register_schema(
            "foxglove.CameraCalibration", "protobuf", schema("CameraCalibration")
        )
        image = self._writer.register_schema("foxglove.RawImage", "protobuf", schema("RawImage"))
        record = self._writer.register_schema("tessera.FrameRecord", "jsonschema", layout.record_schema())
        self._channels = {
            layout.CALIBRATION: self._writer.register_channel(layout.CALIBRATION, "protobuf", calibration),
            layout.FRAME: self._writer.register_channel(layout.FRAME, "json", record),
        }
        for name in layout.IMAGES:
            unit = {"unit": "mm", "unknown": "NaN"} if name == "depth" else {}
            self._channels[layout.topic(name)] = self._writer.register_channel(
                layout.topic(name), "protobuf", image, unit
            )

    def write(self, frames: FrameSet) -> None:
        """Append one FrameSet, bit for bit.

        Raises:
            RecordingWriteError: another camera or geometry than the first frame's, an impossible number,
                the disk refused, or the file is closed.
        """
        if self._file.closed:
            raise RecordingWriteError(f"{self._path}: is closed")
        self._source = self._source or (frames.camera, frames.intrinsics)
        if self._source != (frames.camera, frames.intrinsics):
            raise RecordingWriteError(f"{self._path}: a recording holds one camera with one geometry")
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
        if frames.timestamp_ns < 0 or not all(
            map(math.isfinite, (frames.gain, frames.emitter.flood, frames.emitter.dots))
        ):
            raise RecordingWriteError(f"{self._path}: frame {frames.sequence} has an impossible time, gain or level")
        try:
            self._add(layout.CALIBRATION, frames, layout.encode_calibration(frames.intrinsics, frames.timestamp_ns))
            for name, image in images.items():
                self._add(layout.topic(name), frames, layout.encode_image(image, frames.timestamp_ns))
            self._add(layout.FRAME, frames, msgspec.json.encode(record))
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # what is on disk now is a truncated recording: leave it so
                self._file.close()
            raise RecordingWriteError(f"{self._path}: cannot be written: {error.strerror}") from error

    def _add(self, topic: str, frames: FrameSet, data: bytes) -> None:
        time_ns = frames.timestamp_ns
        self._writer.add_message(self._channels[topic], time_ns, data, time_ns, frames.sequence & 0xFFFFFFFF)

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
