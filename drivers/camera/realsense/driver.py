"""The RealSense camera.

Rules kept here:
- Nothing blocks longer than asked: librealsense is polled, without callbacks.
- A set counts only when its depth and infrared were taken together; a partial or mismatched one is dropped.
- What goes wrong is told to `delivery`, which names the one cause.
- A frame is never called younger than it is. Its time comes from the device's clock, laid against the monotonic clock
  by the quickest frame since `start`: one that waited in a queue is as old as it is. What even the quickest took from
  exposure to receipt, some tens of milliseconds, is not known and not counted.
- A file's times are laid onto the monotonic clock from `start`, at the recorded pace, however fast it is read.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pyrealsense2 as rs
from numpy.typing import NDArray

from drivers.camera.interface import (
    FULL_LEVELS,
    Camera,
    CameraInfo,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Health,
    Intrinsics,
    RecordingEndError,
    commanded,
)
from drivers.camera.realsense.cycles import Cycle, Sorter, Taken
from drivers.camera.realsense.delivery import Delivery
from drivers.camera.realsense.depth import depth_table
from drivers.camera.realsense.presets import NEAREST_FACE_MM, nearest_mm
from drivers.camera.realsense.sources import Source, Stream, Streaming, find_stream, told

_POLL_MS = 50
_DRAIN_MS = 500  # how long what was under way at a file's end may still take on a busy machine
_UNIT_GAIN = 16  # the D4xx sensors count gain in sixteenths: 16 is none

_Field = rs.frame_metadata_value


class RealSenseCamera(Camera):
    """Depth and, where there is any, infrared 1 of one device."""

    def __init__(
        self,
        source: Source,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        *,
        alternate: bool = False,
        flood_board: bool = False,
        flood_response: float | None = None,
        dot_sigma_px: float | None = None,
        record_to: Path | None = None,
    ) -> None:
        """Find the device and read its geometry.

        Args:
            source: the way to it.
            clock_ns: the terminal's monotonic clock.
            alternate: every second frame comes without dots, and two make a FrameSet.
            flood_board: our board lights every third frame, and six bring a FrameSet; needs `alternate`.
            flood_response: of camera and board together, for `info`.
            dot_sigma_px: of the camera's dots, for `info`.
            record_to: a `.db3` that librealsense's own recorder writes from each `start` on.

        Raises:
            CameraNotFoundError: no such device or file, or it lacks the streams.
        """
        self._source, self._clock_ns, self._record_to = source, clock_ns, record_to
        self._alternate, self._flood_board = alternate, flood_board
        self._streaming: Streaming | None = None
        device = source.find()
        self._depth, self._infrared = _streams(device, source, alternate)
        self._intrinsics = self._depth.intrinsics
        self._delivery = Delivery(source.name)
        # librealsense holds the unit as a float32 of metres; it was set in whole micrometres
        unit_um = round(device.first_depth_sensor().get_depth_scale() * 1e6)
        self._depth_mm = depth_table(unit_um)
        self._info = CameraInfo(
            serial=told(device, rs.camera_info.serial_number),
            firmware=told(device, rs.camera_info.firmware_version),
            calibration_digest=hashlib.sha256(msgspec.json.encode((self._intrinsics, unit_um))).hexdigest(),
            flood=flood_board,
            flood_response=flood_response,
            dot_sigma_px=dot_sigma_px,
        )
        self._dropped = 0
        self._levels: Sequence[Emitter] = FULL_LEVELS
        self._advice = _advice(device.first_depth_sensor(), self._intrinsics.fx, source.lacking)

    @property
    def info(self) -> CameraInfo:
        """Serial and firmware as the device says; `flood` is whether our board is declared."""
        return self._info

    @property
    def intrinsics(self) -> Intrinsics:
        """Of depth and infrared 1, which a D4xx rectifies onto one another."""
        return self._intrinsics

    @property
    def health(self) -> Health:
        """Cycles dropped since `start`, and what of settings and mode is not as it should be."""
        return Health(dropped=self._dropped, advice=self._advice)

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        """Begin to stream. Raises CameraLostError."""
        self.stop()
        self._levels = tuple(levels)
        self._begun = False
        self._last_number, self._last_sequence, self._dropped = -1, -1, 0
        self._offset_ns: int | None = None
        self._sorter = Sorter(self._flood_board) if self._alternate else None
        self._streaming = self._source.start(
            [s for s in (self._depth, self._infrared) if s is not None], self._record_to
        )
        self._delivery.started(self._clock_ns())

    def stop(self) -> None:
        """Stop streaming; the projector goes out with it. A device already gone is as good as stopped."""
        streaming, self._streaming = self._streaming, None
        if streaming is not None:
            self._delivery.stopped()
            with suppress(RuntimeError):
                self._source.stop(streaming)

    def __del__(self) -> None:
        """Stop a camera nobody closed: librealsense crashes where a device goes before its pipeline."""
        self.stop()

    def close(self) -> None:
        """Stop; librealsense releases the device with this object."""
        self.stop()

    def read(self, timeout_s: float) -> FrameSet:
        """Return the next whole cycle.

        Raises:
            FrameTimeoutError: none within `timeout_s`: hung, or too slow.
            RecordingEndError: the file has ended.
            CameraLostError: with the cause `delivery` came to; or the camera is not started.
        """
        self._delivery.check()
        assert self._streaming is not None
        deadline_ns = self._clock_ns() + int(timeout_s * 1e9)
        while True:
            left_ms = (deadline_ns - self._clock_ns()) // 1_000_000
            # a file has not ended before it has begun: librealsense says "stopped" until its reader thread runs
            ended = self._begun and self._source.ended()
            wait_ms = min(left_ms, _DRAIN_MS if ended else _POLL_MS)
            try:
                frames = self._streaming.wait(max(1, wait_ms))
                self._begun = self._begun or frames is not None
                found = self._frame_set(frames) if frames is not None else None
            except RuntimeError as error:
                self._delivery.failed(str(error))
            if found is not None:
                return found
            if ended and frames is None:
                raise RecordingEndError(f"{self._source.name}: ended")
            if frames is None:
                self._delivery.quiet(self._clock_ns(), self._source.present)
            if left_ms <= 0:
                raise FrameTimeoutError(
                    f"RealSense {self._source.name}: no frame within {timeout_s:.3f} s; check cable and power"
                )

    def _frame_set(self, frames: Any) -> FrameSet | None:
        """Take a set in; return the FrameSet it completes, if it does."""
        now_ns = self._clock_ns()
        taken = self._taken(frames)
        if taken is None:
            self._delivery.partial(now_ns)
            return None
        if not self._delivery.frame(now_ns, taken.number, taken.device_ms):
            return None
        self._lay_clock(taken.device_ms)
        if self._sorter is None:
            self._delivery.cycle()
            return self._whole(Cycle(taken.number, taken, taken, None), 1)
        cycle = self._sorter.add(taken)
        if cycle is None:
            if self._sorter.cause is not None:
                self._delivery.unsorted(now_ns, self._sorter.cause)
            return None
        self._delivery.cycle()
        return self._whole(cycle, 6 if self._flood_board else 2)

    def _taken(self, frames: Any) -> Taken | None:
        """Copy a set out of librealsense, or return None for one that is partial or mismatched."""
        depth = frames.get_depth_frame()
        infrared = frames.get_infrared_frame(1) if self._infrared is not None else depth
        if not depth or not infrared:
            return None
        if abs(depth.get_timestamp() - infrared.get_timestamp()) > 500 / self._depth.fps:  # half a period, ms
            return None
        counts = np.array(depth.get_data(), np.uint16)  # copies: librealsense takes its buffers back
        return Taken(
            number=depth.get_frame_number(),
            device_ms=depth.get_timestamp(),
            ir=np.zeros(counts.shape, np.uint8) if self._infrared is None else np.array(infrared.get_data(), np.uint8),
            counts=counts,
            exposure_us=_metadata(infrared, _Field.actual_exposure, 0),
            gain=_metadata(infrared, _Field.gain_level, _UNIT_GAIN) / _UNIT_GAIN,
            flagged=float(_metadata(infrared, _Field.frame_emitter_mode, 0) > 0),
        )

    def _whole(self, cycle: Cycle, frames: int) -> FrameSet:
        """Put a cycle together, of which one comes in so many frames."""
        # a cycle is sometimes nearer to the one before: it takes four frames of the six
        step = max(1, (cycle.number - self._last_number) // frames) if self._last_sequence >= 0 else 1
        self._dropped += step - 1
        self._last_number, self._last_sequence = cycle.number, self._last_sequence + step
        dots = 1.0 if self._alternate else self._source.dots
        emitter = Emitter(flood=0.0, dots=cycle.dots.flagged if dots is None else dots)
        if self._flood_board:
            level = commanded(self._levels, self._last_sequence)
            # the dots are the camera's own: our board has no say in them
            emitter = Emitter(level.flood, emitter.dots, level.code_index)
        return FrameSet(
            sequence=self._last_sequence,
            timestamp_ns=self._stamp_ns(cycle.ir.device_ms),
            ir=cycle.ir.ir,
            depth_mm=self._depth_mm[cycle.dots.counts],
            intrinsics=self._intrinsics,
            emitter=emitter,
            exposure_us=cycle.ir.exposure_us,
            gain=cycle.ir.gain,
            camera=self._info,
            ambient=_as_long(cycle.ambient, cycle.ir) if cycle.ambient is not None else None,
            dots=cycle.dots.ir if self._alternate else None,
        )

    def _lay_clock(self, device_ms: float) -> None:
        offset_ns = self._clock_ns() - int(device_ms * 1e6)
        if self._offset_ns is None or (offset_ns < self._offset_ns and not self._source.recorded):
            self._offset_ns = offset_ns

    def _stamp_ns(self, device_ms: float) -> int:
        assert self._offset_ns is not None
        return int(device_ms * 1e6) + self._offset_ns


def _streams(device: Any, source: Source, alternate: bool) -> tuple[Stream, Stream | None]:
    """Return depth and infrared 1 as the source's mode wants them. Raises CameraNotFoundError."""
    depth = find_stream(device, rs.stream.depth, 0, rs.format.z16, source.mode)
    infrared = find_stream(device, rs.stream.infrared, 1, rs.format.y8, source.mode)
    if depth is None or (infrared is None and (source.mode is not None or alternate)):
        wanted = "depth stream" if source.mode is None else "depth with infrared at {}x{}, {} fps".format(*source.mode)
        usb = told(device, rs.camera_info.usb_type_descriptor)
        if usb.startswith("2"):
            raise CameraNotFoundError(
                f"RealSense {source.name}: is connected over USB {usb} (port "
                f"{told(device, rs.camera_info.physical_port) or 'unknown'}), which has no {wanted}; "
                "use a USB 3 port and cable",
                cause="usb2",
            )
        raise CameraNotFoundError(f"RealSense {source.name}: has no {wanted}")
    if infrared is not None and infrared.intrinsics != depth.intrinsics:
        raise CameraNotFoundError(f"RealSense {source.name}: depth is not aligned to infrared 1, as on a D4xx")
    return depth, infrared


def _as_long(dark: Taken, lit: Taken) -> NDArray[np.uint8]:
    """The dark frame as if exposed as the lit one was: the camera's own control may have moved between the two."""
    gathered, wanted = (one.exposure_us * one.gain for one in (dark, lit))
    if gathered == wanted or min(gathered, wanted) <= 0:
        return dark.ir
    return np.asarray(cv2.convertScaleAbs(dark.ir, alpha=wanted / gathered), np.uint8)


def _advice(sensor: Any, focal_px: float, lacking: tuple[str, ...]) -> str:
    if lacking:
        return f"Update its firmware: it lacks {', '.join(lacking)}."
    baseline_mm = sensor.get_option(rs.option.stereo_baseline) if sensor.supports(rs.option.stereo_baseline) else 0.0
    nearest = nearest_mm(focal_px, baseline_mm)
    if nearest > NEAREST_FACE_MM:
        return (
            f"Choose a smaller picture: nearer than {nearest:.0f} mm this one has no depth, "
            f"and faces come to {NEAREST_FACE_MM:.0f} mm."
        )
    return ""


def _metadata(frame: Any, field: Any, default: int) -> int:
    return int(frame.get_frame_metadata(field)) if frame.supports_frame_metadata(field) else default
