"""An infrared sensor behind Video4Linux, through `linuxpy` (pure Python). **It has never run on a device.**

Rules kept here:
- linuxpy is imported when a sensor is opened or looked for, so that nothing else needs it.
- Only monotonic time stamps count. A driver that stamps the end of a frame does not say how long it read out: a whole
  period is reckoned, so that an exposure is never called younger than it is.
- Exposure and gain are set once, by hand; a sensor that cannot be told its exposure in microseconds is refused.
- Reading never blocks longer than asked.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from drivers.camera.interface import CameraLostError, CameraNotFoundError, Found, FrameTimeoutError
from drivers.camera.structured_light.exposures import Exposure, ExposureSource
from drivers.camera.structured_light.grey import Format, Incomplete, grey

BUFFERS = 6  # two cycles: what a busy moment may hold up
ABSOLUTE_US = 100  # V4L2_CID_EXPOSURE_ABSOLUTE counts these
MANUAL = 1  # V4L2_EXPOSURE_MANUAL
# linux/videodev2.h, V4L2_BUF_FLAG_*
TIMESTAMP_MASK, TIMESTAMP_MONOTONIC = 0xE000, 0x2000
SOURCE_MASK, SOURCE_START = 0x70000, 0x10000
ERROR = 0x40


class Sensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a sensor is run.

    Attributes:
        device: its node, such as `/dev/video0`.
        width: pixels.
        height: pixels.
        format: V4L2's name of the pixel format.
        fps: exposures a second, three to a cycle.
        exposure_us: of every exposure, in steps of 100.
        gain: as the driver counts it.
        unit_gain: the driver's count that is no gain.
    """

    device: Annotated[str, Meta(pattern=r"^/dev/[A-Za-z0-9/_.-]+\Z")]
    width: Annotated[int, Meta(ge=64, le=4096)] = 1280
    height: Annotated[int, Meta(ge=64, le=4096)] = 800
    format: Format = "GREY"
    fps: Annotated[int, Meta(ge=3, le=240)] = 120
    exposure_us: Annotated[int, Meta(ge=100, le=100_000)] = 1000
    gain: Annotated[int, Meta(ge=1, le=4096)] = 16
    unit_gain: Annotated[int, Meta(ge=1, le=4096)] = 16


def mid_exposure_ns(seconds: int, microseconds: int, flags: int, exposure_us: int, period_us: int) -> int:
    """Return the middle of an exposure on the monotonic clock.

    Args:
        seconds: of the buffer's time stamp.
        microseconds: of the same.
        flags: the buffer's `V4L2_BUF_FLAG_*`.
        exposure_us: exposure time.
        period_us: from one exposure to the next.

    Raises:
        CameraLostError: the stamp is of another clock (`clock`).
    """
    if flags & TIMESTAMP_MASK != TIMESTAMP_MONOTONIC:
        raise CameraLostError("the driver's time stamps are not of the monotonic clock", "clock")
    stamp_ns = seconds * 1_000_000_000 + microseconds * 1000
    if flags & SOURCE_MASK == SOURCE_START:
        return stamp_ns + exposure_us * 500
    return stamp_ns - (period_us + exposure_us // 2) * 1000


def serial_of(node: Path, sys: Path = Path("/sys/class/video4linux")) -> str | None:
    """Return the serial number the kernel knows of the device behind `node`, or None."""
    for above in ("device/serial", "device/../serial"):
        with suppress(OSError, UnicodeDecodeError):
            text = (sys / node.name / above).read_text(encoding="ascii").strip()
            if text.isprintable() and 0 < len(text) <= 64:
                return text
    return None


class V4l2Exposures(ExposureSource):
    """One sensor."""

    def __init__(self, sensor: Sensor) -> None:
        """Open the node and set the sensor up; nothing streams.

        Raises:
            CameraNotFoundError: no such node, linuxpy is missing, or the sensor cannot do what is asked.
        """
        from linuxpy.video.device import ControlID, Device, V4L2Error, VideoCapture

        self._errors = (OSError, V4L2Error, KeyError, AttributeError)
        self._sensor, node = sensor, Path(sensor.device)
        self._device: Any = Device(sensor.device)
        try:
            self._device.open()
            info = self._device.info
            self.serial = serial_of(node) or f"{info.card}@{info.bus_info}"[:64]
            self.firmware = info.version
            self.width, self.height = sensor.width, sensor.height
            self._capture: Any = VideoCapture(self._device, size=BUFFERS)
            self._capture.set_format(sensor.width, sensor.height, sensor.format)
            self._capture.set_fps(sensor.fps)
            self._set_controls(ControlID)
            taken = self._capture.get_format()
        except self._errors as error:
            self._device.close()
            raise CameraNotFoundError(f"{sensor.device}: cannot be set up: {error}; is it the sensor?") from error
        if (taken.width, taken.height, taken.pixel_format.human_str()) != (sensor.width, sensor.height, sensor.format):
            self._device.close()
            raise CameraNotFoundError(f"{sensor.device}: gives {taken}, not {sensor.width} x {sensor.height}")
        self._stride = int(taken.bytes_per_line)
        self._incomplete = Incomplete(self.serial)
        self._streaming = False

    def _set_controls(self, names: Any) -> None:
        controls = self._device.controls
        with suppress(KeyError):
            controls[names.EXPOSURE_AUTO].value = MANUAL  # a bare sensor has no other
        controls[names.EXPOSURE_ABSOLUTE].value = self._sensor.exposure_us // ABSOLUTE_US
        controls[names.GAIN].value = self._sensor.gain

    def start(self) -> None:
        """Begin to stream. Raises CameraLostError."""
        if not self._streaming:
            self._incomplete.whole()
            try:
                self._capture.open()
            except self._errors as error:
                raise CameraLostError(f"sensor {self.serial}: does not stream: {error}") from error
            self._streaming = True

    def stop(self) -> None:
        """Stop streaming; a sensor already gone is as good as stopped."""
        if self._streaming:
            self._streaming = False
            with suppress(ValueError, *self._errors):
                self._capture.close()

    def close(self) -> None:
        """Release the node."""
        self.stop()
        self._device.close()

    def read(self, timeout_s: float) -> Exposure:
        """Return the next whole exposure. Raises as `ExposureSource.read` does."""
        sensor = self._sensor
        while True:
            try:
                frame = self._capture.buffer.frame_reader.read(timeout_s)
            except self._errors as error:
                raise CameraLostError(f"sensor {self.serial}: {error}; check cable and power") from error
            if frame is None:
                raise FrameTimeoutError(f"sensor {self.serial}: no exposure within {timeout_s:.3f} s")
            image = grey(frame.data, sensor.format, self.width, self.height, self._stride)
            flags = int(frame.buff.flags)
            if image is None or flags & ERROR:
                self._incomplete.another()
                continue
            self._incomplete.whole()
            stamp, period_us = frame.buff.timestamp, 1_000_000 // sensor.fps
            at_ns = mid_exposure_ns(int(stamp.secs), int(stamp.usecs), flags, sensor.exposure_us, period_us)
            return Exposure(int(frame.frame_nb), at_ns, image, sensor.exposure_us, sensor.gain / sensor.unit_gain)


def list_sensors() -> Iterator[Found]:
    """Yield every video node that gives grey pictures; a colour camera does not. Raises CameraNotFoundError."""
    from linuxpy.video.device import iter_video_capture_devices

    for device in iter_video_capture_devices():
        with suppress(OSError), device:
            kinds = {found.pixel_format.human_str() for found in device.info.formats}
            if kinds & set(get_args(Format)):
                node = Path(device.filename)
                serial = serial_of(node) or f"{device.info.card}@{device.info.bus_info}"[:64]
                yield Found("structured-light", serial, device.info.card, {"device": str(node)})
