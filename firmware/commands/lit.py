"""A camera, or a bare sensor, and the emitter board beside it, as one: where it captures, its lights are on.

In service the board's owner does this (`firmware.runtime.lights`). A command has both to itself: the terminal is not
running.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from drivers.camera import Camera, CameraError, CameraInfo, Emitter, FrameSet, FrameTimeoutError, Health, Intrinsics
from drivers.camera.structured_light import Exposure, ExposureSource
from firmware.runtime.lights import BEAT_S, Lights

LEVELS = (Emitter(flood=1.0, dots=1.0),)

_T = TypeVar("_T")


class LitCamera(Camera):
    """A camera with lights of its own. Takes over both."""

    def __init__(self, camera: Camera, lights: Lights) -> None:
        self._camera, self._lights = camera, lights

    @property
    def info(self) -> CameraInfo:
        """The camera's."""
        return self._camera.info

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera's."""
        return self._camera.intrinsics

    @property
    def health(self) -> Health:
        """The camera's."""
        return self._camera.health

    def start(self) -> None:
        """Begin to capture, and to emit. Raises CameraLostError, EmitterError."""
        self._camera.start()
        _light(self._lights, self._camera.stop)

    def stop(self) -> None:
        """Go dark, then stop capturing."""
        self._lights.off()
        self._camera.stop()

    def read(self, timeout_s: float) -> FrameSet:
        """As the camera's; raises EmitterError where the board went dark."""
        return _beating(self._camera.read, self._lights, timeout_s)

    def close(self) -> None:
        """Give both back."""
        self._lights.close()
        self._camera.close()


class LitExposures(ExposureSource):
    """A bare sensor with lights of its own. Takes over both."""

    def __init__(self, source: ExposureSource, lights: Lights) -> None:
        self._source, self._lights = source, lights
        self.serial, self.firmware = source.serial, source.firmware
        self.width, self.height = source.width, source.height

    def start(self) -> None:
        """Begin to capture, and to emit. Raises CameraLostError, EmitterError."""
        self._source.start()
        _light(self._lights, self._source.stop)

    def stop(self) -> None:
        """Go dark, then stop capturing."""
        self._lights.off()
        self._source.stop()

    def read(self, timeout_s: float) -> Exposure:
        """As the sensor's; raises EmitterError where the board went dark."""
        return _beating(self._source.read, self._lights, timeout_s)

    def close(self) -> None:
        """Give both back."""
        self._lights.close()
        self._source.close()


def _light(lights: Lights, stop: Callable[[], None]) -> None:
    try:
        lights.on(LEVELS)
    except CameraError:
        stop()
        raise


def _beating(read: Callable[[float], _T], lights: Lights, timeout_s: float) -> _T:
    """Read in short turns, beating between them. Raises FrameTimeoutError as `read` does, after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while True:
        lights.beat()
        try:
            return read(max(0.0, min(BEAT_S, until - time.monotonic())))
        except FrameTimeoutError:
            if time.monotonic() >= until:
                raise
