"""A RealSense made of software: FrameSets go through the real librealsense, into its own recorder or live.

It lets the rig run `drivers.camera.realsense`, `rs.pipeline` and the `.db3` format without hardware. What passes is
what a D4xx has: depth in counts of 100 um, 8-bit infrared, exposure, gain, emitter on or off, time. The flood level and
the emitter code do not; ambient and dot exposures do as frames of their own (`alternating`).

librealsense's traps, each met with below: a frame object's pixels can be set only once; the syncer mispairs depth and
infrared unless ACTUAL_FPS is in the metadata; the recorder drops frames silently when the disk is slower than the
caller.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyrealsense2 as rs
from numpy.typing import NDArray

from drivers.camera import CameraInfo, FrameSet, Intrinsics
from drivers.camera.realsense.depth import depth_table

UNIT_UM = 100
# least, most, step, default, as a D435 reports them
OPTIONS = {
    "visual_preset": (0, 6, 1, 0),
    "depth_units": (1e-6, 0.01, 1e-6, 0.001),
    "disparity_shift": (0, 200, 1, 0),
    "enable_auto_exposure": (0, 1, 1, 1),
    "laser_power": (0, 360, 30, 150),
    "hdr_enabled": (0, 1, 1, 0),
    "emitter_enabled": (0, 2, 1, 0),
    "emitter_always_on": (0, 1, 1, 0),
    "emitter_on_off": (0, 1, 1, 0),
    "global_time_enabled": (0, 1, 1, 1),
    "inter_cam_sync_mode": (0, 2, 1, 0),
    "stereo_baseline": (0, 200, 1, 50),
}
_UNIT_GAIN = 16  # as the driver reads it
_MAX_QUEUED_BYTES = 64 * 1024 * 1024  # the recorder drops above 249 MB (librealsense, record_device.cpp)
_STALL_S = 30.0

_Field = rs.frame_metadata_value


class SoftwareDeviceError(Exception):
    """librealsense cannot carry these frames, or did not write them all."""


def depth_counts(depth_mm: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round (H, W) millimetres to counts of 100 um, uint16; 0 where unknown or beyond 6553.5 mm."""
    counts = np.rint(np.nan_to_num(depth_mm.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) * (1000 / UNIT_UM))
    return np.where((counts > 0) & (counts <= 65535), counts, 0).astype(np.uint16)


def quantise_depth(depth_mm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (H, W) float32 millimetres exactly as the RealSense driver will give them back."""
    return depth_table(UNIT_UM)[depth_counts(depth_mm)]


def as_replayed(frames: FrameSet) -> FrameSet:
    """Return the frame with the geometry, infrared and depth that come back through librealsense, and those alone.

    Depth is in counts and intrinsics are float32 there. For comparing both ways frame for frame.
    """
    given = frames.intrinsics
    return replace(
        frames,
        depth_mm=quantise_depth(frames.depth_mm),
        intrinsics=Intrinsics(
            given.width, given.height, *(float(np.float32(v)) for v in (given.fx, given.fy, given.cx, given.cy))
        ),
        ambient=None,
        dots=None,
    )


class SoftwareDevice:
    """An `rs.software_device` shaped like a D4xx: one sensor with depth and infrared 1."""

    def __init__(
        self, camera: CameraInfo, intrinsics: Intrinsics, fps: int, *, usb: str = "3.2", options: Collection[str] = ()
    ) -> None:
        """Build the device; `device` goes to a pipeline or a recorder.

        Args:
            camera: serial and firmware it reports.
            intrinsics: of both streams.
            fps: rate of both streams.
            usb: version of the bus it says it hangs on.
            options: those of `OPTIONS` that can be set; without `depth_units` that one is fixed.
        """
        self._fps = fps
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.name, "Tessera software device")
        self.device.register_info(rs.camera_info.serial_number, camera.serial)
        self.device.register_info(rs.camera_info.firmware_version, camera.firmware)
        self.device.register_info(rs.camera_info.product_line, "D400")
        self.device.register_info(rs.camera_info.usb_type_descriptor, usb)
        self.device.register_info(rs.camera_info.physical_port, "simulated-1")
        self._sensor = self.device.add_sensor("Stereo Module")
        self._depth = self._stream(rs.stream.depth, 0, rs.format.z16, 2, intrinsics)
        self._infrared = self._stream(rs.stream.infrared, 1, rs.format.y8, 1, intrinsics)
        for name in options:
            limits = rs.option_range()
            limits.min, limits.max, limits.step, limits.default = OPTIONS[name]
            self._sensor.add_option(getattr(rs.option, name), limits, True)
        if "depth_units" not in options:
            self._sensor.add_read_only_option(rs.option.depth_units, UNIT_UM * 1e-6)
        aligned = rs.extrinsics()
        aligned.rotation, aligned.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
        self._depth.register_extrinsics_to(self._infrared, aligned)
        self.device.create_matcher(rs.matchers.di)

    def _stream(self, kind: Any, index: int, pixel: Any, bpp: int, intrinsics: Intrinsics) -> Any:
        model = rs.intrinsics()
        model.width, model.height = intrinsics.width, intrinsics.height
        model.fx, model.fy, model.ppx, model.ppy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
        model.model, model.coeffs = rs.distortion.brown_conrady, [0.0] * 5
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid = kind, index, index
        stream.fmt, stream.bpp, stream.fps = pixel, bpp, self._fps
        stream.width, stream.height, stream.intrinsics = intrinsics.width, intrinsics.height, model
        return self._sensor.add_video_stream(stream, index == 0)

    def open(self) -> None:
        """Open the sensor without a pipeline, as recording needs."""
        self._sensor.open([self._depth, self._infrared])
        self._sensor.start(lambda _: None)

    def close(self) -> None:
        """Undo `open`."""
        self._sensor.stop()
        self._sensor.close()

    def push(self, frames: FrameSet) -> None:
        """Hand one FrameSet to librealsense as one frame. Raises SoftwareDeviceError for infrared not of 8 bit."""
        if frames.ir.dtype != np.uint8:
            raise SoftwareDeviceError(f"frame {frames.sequence}: a D4xx streams 8-bit infrared, not {frames.ir.dtype}")
        infrared = np.asarray(frames.ir, np.uint8)
        self.push_frame(frames, frames.sequence, frames.timestamp_ns, infrared, flagged=frames.emitter.dots > 0)

    def push_frame(
        self, frames: FrameSet, number: int, timestamp_ns: int, infrared: NDArray[np.uint8], flagged: bool | None
    ) -> None:
        """Hand one frame of the camera to librealsense.

        Args:
            frames: whose depth, exposure and gain it has.
            number: the device's frame counter.
            timestamp_ns: the device's clock.
            infrared: (H, W).
            flagged: what metadata says of the dots; None says nothing, if no frame before said anything.
        """
        for field, value in (
            (_Field.frame_counter, number),
            (_Field.sensor_timestamp, timestamp_ns // 1000),
            (_Field.actual_exposure, frames.exposure_us),
            (_Field.gain_level, round(frames.gain * _UNIT_GAIN)),
            (_Field.actual_fps, self._fps * 1000),
            *([(_Field.frame_emitter_mode, int(flagged))] if flagged is not None else []),
        ):
            self._sensor.set_metadata(field, value)
        for pixels, profile in ((depth_counts(frames.depth_mm), self._depth), (infrared, self._infrared)):
            video = rs.software_video_frame()
            video.pixels = np.ascontiguousarray(pixels)
            video.bpp = pixels.itemsize
            video.stride = pixels.shape[1] * pixels.itemsize
            video.timestamp = timestamp_ns / 1e6
            video.domain = rs.timestamp_domain.hardware_clock
            video.frame_number = number
            video.profile = profile.as_video_stream_profile()
            if profile is self._depth:
                video.depth_units = UNIT_UM * 1e-6
            self._sensor.on_video_frame(video)


def alternating(frames: FrameSet, period_ns: int, flood_board: bool) -> list[tuple[int, int, NDArray[np.uint8], bool]]:
    """Return a FrameSet as a D4xx would take it: number, timestamp, infrared and whether there are dots, per frame.

    Args:
        frames: with `dots` and `ambient`.
        period_ns: from one frame to the next.
        flood_board: dots, `ir`, dots, `ambient`; otherwise dots, `ir`. `ir` comes at the FrameSet's own time.

    Raises:
        SoftwareDeviceError: an exposure is missing or not of 8 bit.
    """
    images = (frames.dots, frames.ir, frames.dots, frames.ambient) if flood_board else (frames.dots, frames.ir)
    taken = []
    for place, image in enumerate(images):
        if image is None or image.dtype != np.uint8:
            raise SoftwareDeviceError(f"frame {frames.sequence}: needs 8-bit dots and ambient exposures to alternate")
        number = frames.sequence * len(images) + place
        taken.append(
            (number, frames.timestamp_ns + (place - 1) * period_ns, np.asarray(image, np.uint8), place % 2 == 0)
        )
    return taken


def record(path: Path, frames: Iterable[FrameSet], fps: int) -> int:
    """Write FrameSets of one camera with librealsense's recorder, uncompressed, and count what arrived.

    Args:
        path: a `.db3` file that must not exist yet.
        frames: at least one, sequence numbers rising.
        fps: the rate to state.

    Returns:
        The number of frames in the file.

    Raises:
        SoftwareDeviceError: the file exists, there are no frames, or not all of them reached the disk.
    """
    if path.exists():
        raise SoftwareDeviceError(f"{path}: exists")
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise SoftwareDeviceError(f"{path}: no frames to record")
    device = SoftwareDevice(first.camera, first.intrinsics, fps)
    recorder = rs.recorder(str(path), device.device, False)
    device.open()
    pushed = 0
    try:
        for frame in chain((first,), rest):
            device.push(frame)
            pushed += 1
            _wait_for_disk(path, pushed * first.ir.size * 3 - _MAX_QUEUED_BYTES)
    finally:
        device.close()
        recorder.pause()  # returns when everything queued is written
        del recorder  # closes the file
    written = _count(path)
    if written != pushed:
        raise SoftwareDeviceError(f"{path}: {pushed} frames pushed, {written} written")
    return written


def _wait_for_disk(path: Path, size: int) -> None:
    deadline = time.monotonic() + _STALL_S
    while path.stat().st_size < size:
        if time.monotonic() > deadline:
            raise SoftwareDeviceError(f"{path}: the recorder has stopped writing; is the disk full?")
        time.sleep(0.005)


def _count(path: Path) -> int:
    """Return how many frames have both their images in the file."""
    query = (
        "SELECT count(*) FROM messages JOIN topics ON topics.id = topic_id WHERE topics.name LIKE ? GROUP BY topic_id"
    )
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = database.execute(query, ("%/image/data",)).fetchall()
    finally:
        database.close()
    return min((int(count) for (count,) in rows), default=0) if len(rows) == 2 else 0
