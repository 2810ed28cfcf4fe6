"""RealSense cameras that are plugged in.

Rules kept here:
- librealsense's `start` waits 15 s for a camera that is not there, so it is asked whether it can before it is told to.
- One context for the life of the process: where it dies, so does what librealsense still does behind it (#12275).
- `hardware_reset` is never called: what comes after it crashes in the resolving of a configuration (#11304).
- Where a mode is missing over USB 2, USB 2 is the cause that is named.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyrealsense2 as rs

from drivers.camera.interface import CameraLostError, CameraNotFoundError, Found
from drivers.camera.realsense.presets import Setting, settings
from drivers.camera.realsense.sources import QUEUED, Source, Stream, Streaming, configured, set_up, told


@cache
def context() -> Any:
    """Return the one context of this process."""
    return rs.context()


class Bus(Source):
    """A camera that is plugged in."""

    dots = 1.0

    def __init__(self, serial: str | None, mode: tuple[int, int, int], preset: Sequence[Setting]) -> None:
        """Name the camera by serial, or None for the only one there is; `preset` is what to set it to."""
        self.name, self.mode, self._preset = serial or "", mode, preset

    def find(self) -> Any:
        """Look on the bus and set the camera up; its projector lights up with the stream."""
        devices = _by_serial()
        if not self.name and len(devices) == 1:
            self.name = next(iter(devices))
        if self.name not in devices:
            wanted = f"no camera {self.name}" if self.name else "say which with `serial`" if devices else "no camera"
            there = (
                f"found {', '.join(devices)}" if devices else "none is on the bus; check cable, power and udev rules"
            )
            raise CameraNotFoundError(f"RealSense: {wanted}: {there}")
        self.lacking = set_up(devices[self.name], self._preset, self.name)
        return devices[self.name]

    def start(self, streams: Sequence[Stream], record_to: Path | None) -> Streaming:
        """Stream depth and infrared."""
        pipeline, config = rs.pipeline(context()), configured(streams, record_to)
        config.enable_device(self.name)
        try:
            if not config.can_resolve(rs.pipeline_wrapper(pipeline)):
                raise CameraLostError(f"RealSense {self.name}: is gone, or in use by another program")
            return Streaming(pipeline, config, QUEUED)
        except RuntimeError as error:
            raise CameraLostError(f"RealSense {self.name}: does not start: {error}") from error

    def present(self) -> bool:
        """Whether it is still on the bus."""
        return self.name in _by_serial()


def on_the_bus() -> list[Found]:
    """Return every RealSense that librealsense sees, what it says of itself, and which settings it has not."""
    return [
        Found(
            source="realsense",
            serial=serial,
            description=describe(device),
            options={"serial": serial},
        )
        for serial, device in _by_serial().items()
    ]


def describe(device: Any) -> str:
    """Return name, firmware, USB version and what the device lacks of the settings we use, in words."""
    words = [
        told(device, rs.camera_info.name),
        f"firmware {told(device, rs.camera_info.firmware_version) or 'unknown'}",
        f"USB {told(device, rs.camera_info.usb_type_descriptor) or 'unknown'}",
    ]
    try:
        sensor = device.first_depth_sensor()
    except RuntimeError:
        return ", ".join([*words, "no depth sensor"])
    lacking = [one.option for one in settings(True, False) if not sensor.supports(getattr(rs.option, one.option))]
    return ", ".join(words) + (f"; lacks {', '.join(lacking)}" if lacking else "")


def _by_serial() -> dict[str, Any]:
    return {told(device, rs.camera_info.serial_number): device for device in context().query_devices()}
