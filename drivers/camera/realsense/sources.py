"""Where librealsense gets its frames: a camera on the bus, a recorded file, or a device handed over.

Rules kept here:
- librealsense's `start` waits 15 s for a camera that is not there, so it is asked whether it can before it is told to.
- A recorded file plays every frame, at the pace it is read: never in real time, where frames are dropped.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyrealsense2 as rs

from drivers.camera.interface import CameraLostError, CameraNotFoundError, Found, Intrinsics

_CLOSE_UP_UNIT_M = 100e-6  # fine enough for a face, and reaches 6.5 m; the factory's 1 mm is too coarse


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


class Source(ABC):
    """One way to a device.

    Attributes:
        name: for messages.
        mode: (width, height, fps) the streams must have, or None for those the device happens to have.
        dots: dot projector level this source commands, or None where only the frames' metadata tells.
        recorded: whether its frames were taken long ago.
    """

    name: str
    recorded = False
    mode: tuple[int, int, int] | None = None
    dots: float | None = None

    @abstractmethod
    def find(self) -> Any:
        """Return the device, ready to be asked. Emits nothing. Raises CameraNotFoundError."""

    @abstractmethod
    def start(self, streams: Sequence[Stream]) -> Any:
        """Begin to stream and return the pipeline. Raises CameraLostError."""

    def stop(self, pipeline: Any) -> None:
        """Stop streaming. librealsense throws RuntimeError where the device has gone."""
        pipeline.stop()

    def ended(self) -> bool:
        """Whether no further frame can come."""
        return False


class Attached(Source):
    """A device that is no camera on the bus, such as the rig's `rs.software_device`."""

    def __init__(self, name: str, device: Any) -> None:
        """Take the device as it is."""
        self.name, self._device = name, device

    def find(self) -> Any:
        """Return the device given."""
        return self._device

    def start(self, streams: Sequence[Stream]) -> Any:
        """Stream from the device."""
        pipeline = rs.pipeline()
        try:
            pipeline.set_device(self._device)
            pipeline.start(_config(streams))
        except RuntimeError as error:
            raise CameraLostError(f"RealSense {self.name}: does not start: {error}") from error
        return pipeline


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

    def start(self, streams: Sequence[Stream]) -> Any:
        """Play from the beginning."""
        self.find()
        return super().start(streams)

    def stop(self, pipeline: Any) -> None:
        """Stop, and wait for the reader thread: librealsense crashes if the device is dropped while it finishes."""
        pipeline.stop()
        self._device.pause()  # returns when that thread has done all it was given

    def ended(self) -> bool:
        """Whether the file has been read to its end."""
        return bool(self._device.current_status() == rs.playback_status.stopped)


class Bus(Source):
    """A camera that is plugged in."""

    dots = 1.0

    def __init__(self, serial: str | None, mode: tuple[int, int, int]) -> None:
        """Name the camera by serial, or None for the only one there is."""
        self.name, self.mode = serial or "", mode
        self._context = rs.context()

    def find(self) -> Any:
        """Look on the bus, set the depth unit and arm the projector, which lights up with the stream."""
        devices = {told(device, rs.camera_info.serial_number): device for device in self._context.query_devices()}
        if not self.name and len(devices) == 1:
            self.name = next(iter(devices))
        if self.name not in devices:
            wanted = f"no camera {self.name}" if self.name else "say which with `serial`" if devices else "no camera"
            there = (
                f"found {', '.join(devices)}" if devices else "none is on the bus; check cable, power and udev rules"
            )
            raise CameraNotFoundError(f"RealSense: {wanted}: {there}")
        device = devices[self.name]
        try:
            sensor = device.first_depth_sensor()
            if sensor.supports(rs.option.depth_units):
                sensor.set_option(rs.option.depth_units, _CLOSE_UP_UNIT_M)
            if sensor.supports(rs.option.emitter_enabled):
                sensor.set_option(rs.option.emitter_enabled, 1)
        except RuntimeError as error:
            raise CameraNotFoundError(f"RealSense {self.name}: cannot be set up: {error}; plug it in again") from error
        return device

    def start(self, streams: Sequence[Stream]) -> Any:
        """Stream depth and infrared, dots on."""
        pipeline, config = rs.pipeline(self._context), _config(streams)
        config.enable_device(self.name)
        try:
            if not config.can_resolve(rs.pipeline_wrapper(pipeline)):
                raise CameraLostError(f"RealSense {self.name}: is gone, or in use by another program")
            pipeline.start(config)
        except RuntimeError as error:
            raise CameraLostError(f"RealSense {self.name}: does not start: {error}") from error
        return pipeline


def _config(streams: Sequence[Stream]) -> Any:
    config = rs.config()
    for stream in streams:
        config.enable_stream(stream.kind, stream.index, stream.width, stream.height, stream.pixel, stream.fps)
    return config


def on_the_bus() -> list[Found]:
    """Return every RealSense that librealsense sees."""
    return [
        Found(
            source="realsense",
            serial=told(device, rs.camera_info.serial_number),
            description=", ".join(
                told(device, what)
                for what in (rs.camera_info.name, rs.camera_info.firmware_version, rs.camera_info.usb_type_descriptor)
            ),
            options={"serial": told(device, rs.camera_info.serial_number)},
        )
        for device in rs.context().query_devices()
    ]
