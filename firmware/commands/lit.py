"""A camera, or a bare sensor, and the emitter board beside it, as one: where it captures, its lights are on.

In service the board's owner does this (`firmware.runtime.lights`). A command has both to itself: the terminal is not
running.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from drivers.camera import (
    FULL_LEVELS,
    Camera,
    CameraError,
    CameraInfo,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Health,
    Intrinsics,
)
from drivers.camera.structured_light import Exposure, ExposureSource
from firmware.runtime.lights import BEAT_S, Lights

TOO_LONG_S = 0.1  # between two beats: the shortest heartbeat time-out a limit table may have

_T = TypeVar("_T")


class LitCamera(Camera):
    """A camera with lights of its own. Takes over both."""

    def __init__(self, camera: Camera, lights: Lights) -> None:
        self._camera, self._lights = camera, _Beating(lights)

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

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        """Begin to capture, and to emit. Raises CameraLostError, EmitterError."""
        self._camera.start(levels)
        self._lights.on(self._camera.stop, levels)

    def stop(self) -> None:
        """Go dark, then stop capturing."""
        self._lights.off()
        self._camera.stop()

    def read(self, timeout_s: float) -> FrameSet:
        """As the camera's; raises EmitterError where the board went dark."""
        return self._lights.hold(self._camera.read, timeout_s)

    def close(self) -> None:
        """Give both back."""
        self._lights.close()
        self._camera.close()


class LitExposures(ExposureSource):
    """A bare sensor with lights of its own. Takes over both."""

    def __init__(self, source: ExposureSource, lights: Lights) -> None:
        self._source, self._lights = source, _Beating(lights)
        self.serial, self.firmware = source.serial, source.firmware
        self.width, self.height = source.width, source.height

    def start(self) -> None:
        """Begin to capture, and to emit. Raises CameraLostError, EmitterError."""
        self._source.start()
        self._lights.on(self._source.stop)

    def stop(self) -> None:
        """Go dark, then stop capturing."""
        self._lights.off()
        self._source.stop()

    def read(self, timeout_s: float) -> Exposure:
        """As the sensor's; raises EmitterError where the board went dark."""
        return self._lights.hold(self._source.read, timeout_s)

    def close(self) -> None:
        """Give both back."""
        self._lights.close()
        self._source.close()


class _Beating:
    """Lights that are held while something is read."""

    def __init__(self, lights: Lights) -> None:
        self._lights, self._begun = lights, False
        self._levels: Sequence[Emitter] = FULL_LEVELS
        self.off, self.close = lights.off, lights.close

    def on(self, stop: Callable[[], None], levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        """Light up; `stop` what captures where that fails. Raises EmitterError."""
        self._begun, self._levels = False, levels
        try:
            self._lights.on(self._levels)
        except CameraError:
            stop()
            raise

    def hold(self, read: Callable[[float], _T], timeout_s: float) -> _T:
        """Read in short turns, beating between them. Raises FrameTimeoutError as `read` does, after `timeout_s`."""
        until = time.monotonic() + timeout_s
        while True:
            self._lights.beat()
            began = time.monotonic()
            try:
                found = read(max(0.0, min(BEAT_S, until - began)))
            except FrameTimeoutError:
                if time.monotonic() >= until:
                    raise
                continue
            if not self._begun and time.monotonic() - began > TOO_LONG_S:
                self._lights.on(
                    self._levels
                )  # what takes so long once, as a simulated camera that compiles, leaves it dark
            self._begun = True
            return found
