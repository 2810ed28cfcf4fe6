"""Recordings of FrameSets as MCAP files: `RecordingWriter` makes them, `RecordingCamera` replays them exactly.

`read_recording` yields everything in a file; the format is in docs/recording.md.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from drivers.camera.recording.camera import RecordingCamera
from drivers.camera.recording.reader import (
    DamagedError,
    RecordingFileError,
    RecordingReader,
    TruncatedError,
    read_recording,
    read_session,
    read_truth,
)
from drivers.camera.recording.session import Clock, Code, Command, Note, Prompt, SessionEvent, Truth
from drivers.camera.recording.writer import RecordingWriteError, RecordingWriter

__all__ = [
    "Clock",
    "Code",
    "Command",
    "DamagedError",
    "Note",
    "Options",
    "Prompt",
    "RecordingCamera",
    "RecordingFileError",
    "RecordingReader",
    "RecordingWriteError",
    "RecordingWriter",
    "SessionEvent",
    "TruncatedError",
    "Truth",
    "open_camera",
    "read_recording",
    "read_session",
    "read_truth",
]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`path`: the file. `realtime`: replay at the recorded pace, stamped with the present."""

    path: str
    realtime: bool = False


def open_camera(options: Mapping[str, object]) -> RecordingCamera:
    """Open a recording (plug-in `recording`).

    Raises:
        msgspec.ValidationError: an option is unknown, missing or of the wrong type.
        CameraNotFoundError: the file cannot be opened, is not a recording, or holds no whole frame.
    """
    chosen = msgspec.convert(dict(options), Options)
    return RecordingCamera(Path(chosen.path), chosen.realtime)
