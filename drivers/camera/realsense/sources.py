"""Where librealsense gets its frames: a recorded file, or a device handed over. `bus` has the camera plugged in.

Rules kept here:
- A recorded file plays every frame, at the pace it is read: never in real time, where frames are dropped.
- `stop` may not return where a device has gone (librealsense #9184). Nothing here bounds it: the process's heartbeat
  stops with it, and the supervisor kills the process.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrealsense2 as rs

from drivers.camera.interface import CameraLostError, CameraNotFoundError, Intrinsics
from drivers.camera.realsense.presets import Setting

QUEUED = 4  # sets of a live camera: a cycle of dots, flood, dots, dark; older ones give way


def told(device: Any, what: Any) -> str:
    """Return what a device says of itself, or nothing."""
    return str(device.get_info(what)) if device.supports(what) else ""


@dataclass(frozen=True)
class Stream:
    """A stream as plain values: librealsense's own profile objects crash once their device has gone."""

    kind: Any
    index: int
    pixel: Any
    width: int
    height: int
    fps: int
    intrinsics: Intrinsics


def find_stream(device: Any, kind: Any, index: int, pixel: Any, mode: tuple[int, int, int] | None) -> Stream | None:
    """Return the device's first stream of this kind and pixel format, in `mode` where one is given, or None.

    Raises:
        CameraNotFoundError: the stream is not rectified.
    """
    for sensor in device.query_sensors():
        for profile in sensor.get_stream_profiles():
            if (profile.stream_type(), profile.stream_index(), profile.format()) != (kind, index, pixel):
                continue
            video = profile.as_video_stream_profile()
            found = video.width(), video.height(), video.fps()
            if mode is None or found == mode:
                return Stream(kind, index, pixel, *found, intrinsics=_intrinsics(video))
    return None


def _intrinsics(video: Any) -> Intrinsics:
    given = video.get_intrinsics()
    if any(given.coeffs):
        raise CameraNotFoundError(
            f"RealSense: {video.stream_name()} is distorted; this driver knows rectified D4xx only"
        )
    return Intrinsics(width=given.width, height=given.height, fx=given.fx, fy=given.fy, cx=given.ppx, cy=given.ppy)


def set_up(device: Any, settings: Sequence[Setting], name: str) -> tuple[str, ...]:
    """Set the depth sensor as told, in order, and read each back; return what it does not take.

    Raises:
        CameraNotFoundError: it does not take what is needed.
    """
    lacking = []
    for setting in settings:
        try:
            sensor, option = device.first_depth_sensor(), getattr(rs.option, setting.option)
            refusal = "its firmware does not know it"
            if sensor.supports(option):
                sensor.set_option(option, setting.value)
                refusal = f"it stays at {(stays := sensor.get_option(option)):g}"
                if abs(stays - setting.value) <= 1e-3 * abs(setting.value):
                    continue
        except RuntimeError as error:
            refusal = str(error)
        if setting.needed:
            raise CameraNotFoundError(
                f"RealSense {name}: {setting.option} cannot be set to {setting.value:g} ({setting.why}): {refusal}; "
                "plug it in again, update its firmware, see docs/realsense.md"
            )
        lacking.append(setting.option)
    return tuple(lacking)


def configured(streams: Sequence[Stream], record_to: Path | None) -> Any:
    """Return librealsense's `config` for these streams and, where given, a new `.db3`."""
    config = rs.config()
    for stream in streams:
        config.enable_stream(stream.kind, stream.index, stream.width, stream.height, stream.pixel, stream.fps)
    if record_to is not None:
        config.enable_record_to_file(str(record_to))
    return config


class Streaming:
    """A pipeline that runs.

    A pipeline by itself keeps the newest set alone, so that of two frames taken while nobody looks one is lost, and
    with it a cycle. A live camera therefore fills a queue; a file waits for its reader.
    """

    def __init__(self, pipeline: Any, config: Any, queued: int) -> None:
        """Start the pipeline, with a queue of so many sets or none."""
        self._pipeline = pipeline
        self._queue = rs.frame_queue(queued, keep_frames=True) if queued else None
        if self._queue is None:
            pipeline.start(config)
        else:
            pipeline.start(config, self._queue)

    def wait(self, timeout_ms: int) -> Any:
        """Return the next set, or None where none came in time."""
        if self._queue is None:
            arrived, frames = self._pipeline.try_wait_for_frames(timeout_ms)
            return frames if arrived else None
        arrived, frame = self._queue.try_wait_for_frame(timeout_ms)
        return frame.as_frameset() if arrived else None

    def stop(self) -> None:
        """Stop it."""
        self._pipeline.stop()


class Source(ABC):
    """One way to a device.

    Attributes:
        name: for messages.
        mode: (width, height, fps) the streams must have, or None for those the device happens to have.
        dots: dot projector level this source commands, or None where only the frames' metadata tells.
        recorded: whether its frames were taken long ago.
        lacking: settings the device does not take, by name; known once it is found.
    """

    name: str
    lacking: tuple[str, ...] = ()
    recorded = False
    mode: tuple[int, int, int] | None = None
    dots: float | None = None

    @abstractmethod
    def find(self) -> Any:
        """Return the device, ready to be asked. Emits nothing. Raises CameraNotFoundError."""

    @abstractmethod
    def start(self, streams: Sequence[Stream], record_to: Path | None) -> Streaming:
        """Begin to stream, into a file too if one is given. Raises CameraLostError."""

    def stop(self, streaming: Streaming) -> None:
        """Stop streaming. librealsense throws RuntimeError where the device has gone."""
        streaming.stop()

    def ended(self) -> bool:
        """Whether no further frame can come."""
        return False

    def present(self) -> bool:
        """Whether the device is still there; may take a while."""
        return True


class Attached(Source):
    """A device that is no camera on the bus, such as the rig's `rs.software_device`."""

    def __init__(
        self,
        name: str,
        device: Any,
        mode: tuple[int, int, int] | None = None,
        settings: Sequence[Setting] = (),
    ) -> None:
        """Take the device, to be used in `mode` with `settings`."""
        self.name, self.mode, self._device, self._settings = name, mode, device, settings

    def find(self) -> Any:
        """Return the device given, set up."""
        self.lacking = set_up(self._device, self._settings, self.name)
        return self._device

    def start(self, streams: Sequence[Stream], record_to: Path | None) -> Streaming:
        """Stream from the device."""
        pipeline = rs.pipeline()
        try:
            pipeline.set_device(self._device)
            return Streaming(pipeline, configured(streams, record_to), 0 if self.recorded else QUEUED)
        except RuntimeError as error:
            raise CameraLostError(f"RealSense {self.name}: does not start: {error}") from error


class File(Attached):
    """A `.db3` or `.bag` written by librealsense's recorder."""

    recorded = True

    def __init__(self, path: str) -> None:
        """Name the file."""
        super().__init__(path, None)

    def find(self) -> Any:
        """Load the file, at its beginning."""
        self._context = rs.context()  # a new one each time: a context keeps a loaded file where it stood
        try:
            self._device = self._context.load_device(self.name)
        except RuntimeError as error:
            raise CameraNotFoundError(f"{self.name}: librealsense cannot play it: {error}") from error
        self._device.set_real_time(False)
        return self._device

    def start(self, streams: Sequence[Stream], record_to: Path | None) -> Streaming:
        """Play from the beginning."""
        self.find()
        return super().start(streams, record_to)

    def stop(self, streaming: Streaming) -> None:
        """Stop, and wait for the reader thread: librealsense crashes if the device is dropped while it finishes."""
        streaming.stop()
        self._device.pause()  # returns when that thread has done all it was given

    def ended(self) -> bool:
        """Whether the file has been read to its end."""
        return bool(self._device.current_status() == rs.playback_status.stopped)
