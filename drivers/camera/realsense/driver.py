"""The RealSense camera.

Rules kept here:
- Nothing blocks longer than asked: librealsense is polled, without callbacks.
- A set counts only when its depth and infrared were taken together; a partial or mismatched one is a dropped cycle.
- A frame is never called younger than it is. Its time comes from the device's clock, laid against the monotonic clock
  by the quickest frame since `start`: one that waited in a queue is as old as it is. What even the quickest took from
  exposure to receipt, some tens of milliseconds, is not known and not counted.
- A file's times are laid onto the monotonic clock from `start`, at the recorded pace, however fast it is read.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pyrealsense2 as rs
from numpy.typing import NDArray

from drivers.camera.interface import (
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
from drivers.camera.realsense.depth import depth_table
from drivers.camera.realsense.sources import Source, find_stream, told

_POLL_MS = 50
_DRAIN_MS = 500  # how long what was under way at a file's end may still take on a busy machine
_UNIT_GAIN = 16  # the D4xx sensors count gain in sixteenths: 16 is none

_Field = rs.frame_metadata_value


class RealSenseCamera(Camera):
    """Depth and, where there is any, infrared 1 of one device."""

    def __init__(self, source: Source, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Find the device and read its geometry.

        Raises:
            CameraNotFoundError: no such device or file, or it lacks the streams.
        """
        self._source, self._clock_ns = source, clock_ns
        self._pipeline: Any = None
        device = source.find()
        depth = find_stream(device, rs.stream.depth, 0, rs.format.z16, source.mode)
        infrared = find_stream(device, rs.stream.infrared, 1, rs.format.y8, source.mode)
        if depth is None or (source.mode and infrared is None):
            wanted = f"depth with infrared in mode {source.mode}" if source.mode else "depth stream"
            raise CameraNotFoundError(f"RealSense {source.name}: has no {wanted}")
        if infrared is not None and infrared.intrinsics != depth.intrinsics:
            raise CameraNotFoundError(f"RealSense {source.name}: depth is not aligned to infrared 1, as on a D4xx")
        self._depth, self._infrared, self._intrinsics = depth, infrared, depth.intrinsics
        # librealsense holds the unit as a float32 of metres; it was set in whole micrometres
        unit_um = round(device.first_depth_sensor().get_depth_scale() * 1e6)
        self._depth_mm = depth_table(unit_um)
        self._info = CameraInfo(
            serial=told(device, rs.camera_info.serial_number),
            firmware=told(device, rs.camera_info.firmware_version),
            calibration_digest=hashlib.sha256(msgspec.json.encode((self._intrinsics, unit_um))).hexdigest(),
            flood=False,
        )

    @property
    def info(self) -> CameraInfo:
        """Serial and firmware as the device says; `flood` is always False."""
        return self._info

    @property
    def intrinsics(self) -> Intrinsics:
        """Of depth and infrared 1, which a D4xx rectifies onto one another."""
        return self._intrinsics

    def start(self) -> None:
        """Begin to stream. Raises CameraLostError."""
        self.stop()
        self._begun = False
        self._first_number = self._last_number = -1
        self._offset_ns: int | None = None
        self._pipeline = self._source.start([s for s in (self._depth, self._infrared) if s is not None])

    def stop(self) -> None:
        """Stop streaming; the projector goes out with it. A device already gone is as good as stopped."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            with suppress(RuntimeError):
                self._source.stop(pipeline)

    def __del__(self) -> None:
        """Stop a camera nobody closed: librealsense crashes where a device goes before its pipeline."""
        self.stop()

    def close(self) -> None:
        """Stop; librealsense releases the device with this object."""
        self.stop()

    def read(self, timeout_s: float) -> FrameSet:
        """Return the next whole set.

        Raises:
            FrameTimeoutError: none within `timeout_s`: unplugged, hung, or too slow.
            RecordingEndError: the file has ended.
            CameraLostError: librealsense reports a fault, or the camera is not started.
        """
        if self._pipeline is None:
            raise CameraLostError(f"RealSense {self._source.name}: read without start")
        deadline_ns = self._clock_ns() + int(timeout_s * 1e9)
        while True:
            left_ms = (deadline_ns - self._clock_ns()) // 1_000_000
            # a file has not ended before it has begun: librealsense says "stopped" until its reader thread runs
            ended = self._begun and self._source.ended()
            wait_ms = min(left_ms, _DRAIN_MS if ended else _POLL_MS)
            try:
                arrived, frames = self._pipeline.try_wait_for_frames(max(1, wait_ms))
                self._begun = self._begun or arrived
                found = self._frame_set(frames) if arrived else None
            except RuntimeError as error:
                raise CameraLostError(f"RealSense {self._source.name}: {error}") from error
            if found is not None:
                return found
            if ended and not arrived:
                raise RecordingEndError(f"{self._source.name}: ended")
            if left_ms <= 0:
                raise FrameTimeoutError(
                    f"RealSense {self._source.name}: no frame within {timeout_s:.3f} s; check cable and power"
                )

    def _frame_set(self, frames: Any) -> FrameSet | None:
        """Convert a set, or return None for one that is partial, mismatched or seen before."""
        depth = frames.get_depth_frame()
        infrared = frames.get_infrared_frame(1) if self._infrared is not None else depth
        if not depth or not infrared:
            return None
        if abs(depth.get_timestamp() - infrared.get_timestamp()) > 500 / self._depth.fps:  # half a period, ms
            return None
        number = depth.get_frame_number()
        if number == self._last_number:
            return None
        if number < self._last_number:
            raise CameraLostError(f"RealSense {self._source.name}: its frame counter went back; it has restarted")
        if self._first_number < 0:
            self._first_number = number
        self._last_number = number
        counts = np.asanyarray(depth.get_data())
        return FrameSet(
            sequence=number - self._first_number,
            timestamp_ns=self._stamp_ns(depth.get_timestamp()),
            ir=self._image(infrared, counts.shape),
            depth_mm=self._depth_mm[counts],
            intrinsics=self._intrinsics,
            emitter=Emitter(flood=0.0, dots=self._dots(infrared)),
            exposure_us=_metadata(infrared, _Field.actual_exposure, 0),
            gain=_metadata(infrared, _Field.gain_level, _UNIT_GAIN) / _UNIT_GAIN,
            camera=self._info,
        )

    def _image(self, frame: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        if self._infrared is None:
            return np.zeros(shape, np.uint8)
        return np.array(frame.get_data(), np.uint8)  # a copy: librealsense takes its buffer back

    def _dots(self, frame: Any) -> float:
        if self._source.dots is not None:
            return self._source.dots
        return float(_metadata(frame, _Field.frame_emitter_mode, 0) > 0)

    def _stamp_ns(self, device_ms: float) -> int:
        device_ns = int(device_ms * 1e6)
        offset_ns = self._clock_ns() - device_ns
        if self._offset_ns is None or (offset_ns < self._offset_ns and not self._source.recorded):
            self._offset_ns = offset_ns
        return device_ns + self._offset_ns


def _metadata(frame: Any, field: Any, default: int) -> int:
    return int(frame.get_frame_metadata(field)) if frame.supports_frame_metadata(field) else default
