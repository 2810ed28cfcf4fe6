"""A recording as a camera.

Rules kept here:
- As fast as it is read (the default), frames keep their recorded times: they are old, and `latest` refuses them.
- In real time (`realtime`), each frame comes when it would have come and is stamped with that moment, so that
  everything that watches for staleness works as with a device. Nothing else of a frame is ever changed.
- The end of a whole file is `RecordingEndError`; a file that ends early or is damaged is a lost camera.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from drivers.camera.interface import (
    FULL_LEVELS,
    Camera,
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Intrinsics,
    RecordingEndError,
)
from drivers.camera.recording.reader import RecordingFileError, RecordingReader


class RecordingCamera(Camera):
    """Replays a recording from its beginning at every `start`."""

    def __init__(
        self,
        path: Path,
        realtime: bool = False,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the file and look at its first frame.

        Raises:
            CameraNotFoundError: it cannot be opened, is not a recording, or holds no whole frame.
        """
        self._path, self._realtime, self._clock_ns, self._sleep = path, realtime, clock_ns, sleep
        reader = self._open()
        try:
            first = reader.next_frame()
        except RecordingFileError as error:
            raise CameraNotFoundError(f"{error}; nothing to replay") from error
        finally:
            reader.close()
        if first is None:
            raise CameraNotFoundError(f"{path}: a recording without frames")
        self.consent = reader.consent
        self._first = first
        self._reader: RecordingReader | None = None
        self._waiting: FrameSet | None = None
        self._shift_ns = 0

    def _open(self) -> RecordingReader:
        try:
            return RecordingReader(self._path)
        except OSError as error:
            raise CameraNotFoundError(f"{self._path}: cannot be opened: {error.strerror}") from error
        except RecordingFileError as error:
            raise CameraNotFoundError(f"{error}; record one with RecordingWriter") from error

    @property
    def info(self) -> CameraInfo:
        """The camera that was recorded."""
        return self._first.camera

    @property
    def intrinsics(self) -> Intrinsics:
        """Of every frame in the file."""
        return self._first.intrinsics

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:  # noqa: ARG002 - it was lit as it was
        """Go to the beginning, whatever the levels. Raises CameraNotFoundError where the file has gone meanwhile."""
        self.stop()
        self._reader = self._open()
        self._shift_ns = self._clock_ns() - self._first.timestamp_ns

    def stop(self) -> None:
        """Close the file until the next start."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._waiting = None

    close = stop

    def read(self, timeout_s: float) -> FrameSet:
        """Return the next frame; in real time, when it is due.

        Raises:
            FrameTimeoutError: in real time, it is not due within `timeout_s`.
            RecordingEndError: the file has ended, whole.
            CameraLostError: the file ends early or is damaged here, or the camera is not started.
        """
        if self._waiting is None:
            self._waiting = self._next()
        if not self._realtime:
            frames, self._waiting = self._waiting, None
            return frames
        due_ns = self._waiting.timestamp_ns + self._shift_ns
        left_s = (due_ns - self._clock_ns()) / 1e9
        self._sleep(max(0.0, min(left_s, timeout_s)))
        if left_s > timeout_s:
            raise FrameTimeoutError(f"{self._path}: the next frame is due in {left_s:.3f} s, not within {timeout_s} s")
        frames, self._waiting = self._waiting, None
        return replace(frames, timestamp_ns=due_ns)

    def _next(self) -> FrameSet:
        if self._reader is None:
            raise CameraLostError(f"{self._path}: read without start")
        try:
            frames = self._reader.next_frame()
        except RecordingFileError as error:
            raise CameraLostError(str(error)) from error
        if frames is None:
            raise RecordingEndError(f"{self._path}: ended after {self._reader.count} frames")
        if (frames.camera, frames.intrinsics) != (self.info, self.intrinsics):
            raise CameraLostError(f"{self._path}: frame {frames.sequence} is of another camera or geometry")
        return frames
