"""The structured-light camera: exposures of a sensor and the calibration of its module become FrameSets.

Rules kept here:
- A FrameSet's time is the middle of its flood exposure; its number follows the sensor's own count, so a lost
  exposure shows as a gap.
- A module file belongs to one sensor; with another's it does not open (`wrong_camera`).
- What is wrong with the light, the rows or the calibration ends in its one cause, raised by `read`. `start` begins
  anew: what was mended works.
"""

import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import (
    FULL_LEVELS,
    Camera,
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    Health,
    Intrinsics,
    commanded,
)
from drivers.camera.structured_light.calibration import CalibrationError
from drivers.camera.structured_light.decoder import Decoder
from drivers.camera.structured_light.drift import Drift
from drivers.camera.structured_light.exposures import ExposureSource
from drivers.camera.structured_light.module_file import Module
from drivers.camera.structured_light.probe import Probe
from drivers.camera.structured_light.rectify import Rectifier
from drivers.camera.structured_light.region import lit_region
from drivers.camera.structured_light.sorter import Sorted, Sorter

CYCLE = 3  # exposures


class StructuredLightCamera(Camera):
    """One sensor and its module."""

    def __init__(self, source: ExposureSource, module: Module, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Take over `source`; it is closed with the camera, or at once where the two do not belong together.

        Raises:
            CameraNotFoundError: the calibration is another sensor's (`wrong_camera`).
            CalibrationError: it is of another image size.
        """
        self.source, self.module, self._clock_ns = source, module, clock_ns
        raw = module.lens.intrinsics
        if source.serial != module.serial:
            source.close()
            raise CameraNotFoundError(
                f"sensor {source.serial}: the calibration is of sensor {module.serial}; give it its own", "wrong_camera"
            )
        if (source.width, source.height) != (raw.width, raw.height):
            source.close()
            raise CalibrationError(
                f"sensor {source.serial}: {source.width} x {source.height}, the calibration {raw.width} x {raw.height}"
            )
        reference = module.reference()
        self._rectify = Rectifier(module.lens, module.turn, module.calibration.intrinsics)
        self._decoder = Decoder(reference, module.calibration)
        self._probe = Probe(reference, module.calibration)
        self._info = CameraInfo(
            source.serial,
            source.firmware,
            module.digest,
            flood=True,
            flood_response=module.flood_response,
            dot_sigma_px=module.dot_sigma_px,
        )
        self._running = False
        self._levels: Sequence[Emitter] = FULL_LEVELS
        self._begin()

    def _begin(self) -> None:
        self._sorter = Sorter(self._probe, self.module.dots_per_flood)
        self._drift = Drift(self.module.dots_per_flood)
        self._first: int | None = None
        self._last = -1
        self._dropped = 0

    @property
    def info(self) -> CameraInfo:
        """The sensor, and the digest of the module's calibration file."""
        return self._info

    @property
    def intrinsics(self) -> Intrinsics:
        """Of the rectified image."""
        return self.module.calibration.intrinsics

    @property
    def health(self) -> Health:
        """Dropped cycles, row drift, strength of the dots, and what to mend in time."""
        return Health(self._dropped, self._drift.rows_px, self._drift.dots, self._drift.advice)

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        """Begin to capture. Raises CameraLostError."""
        if not self._running:
            self._levels = tuple(levels)
            self._begin()
            self.source.start()
            self._running = True

    def stop(self) -> None:
        """Stop capturing."""
        self._running = False
        self.source.stop()

    def close(self) -> None:
        """Stop, and release the sensor."""
        self.stop()
        self.source.close()

    def read(self, timeout_s: float) -> FrameSet:
        """Return the next whole cycle.

        Raises:
            FrameTimeoutError: none within `timeout_s`.
            CameraLostError: the sensor is gone, or its light, rows or calibration are not what they were.
            RecordingEndError: a folder of files has no more.
        """
        if not self._running:
            raise CameraLostError(f"sensor {self.source.serial}: read before start")
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            # late is no reason to leave what has arrived: with no time left the source gives that or times out
            exposure = self.source.read(max(0, deadline_ns - self._clock_ns()) / 1e9)
            cycle = self._sorter.add(exposure, self._rectify(exposure.image))
            if cycle is not None:
                self._drift.add(cycle)
                self._drift.check()
                return self._frame_set(cycle)

    def _frame_set(self, cycle: Sorted) -> FrameSet:
        flood = cycle.flood.exposure
        if self._first is None:
            self._first = flood.number
        sequence = max(self._last + 1, round((flood.number - self._first) / CYCLE))
        self._dropped += sequence - self._last - 1
        self._last = sequence
        return FrameSet(
            sequence=sequence,
            timestamp_ns=flood.timestamp_ns,
            ir=cycle.flood.image,
            depth_mm=self._decoder.decode(cycle.dots.image, lit_region(cycle.flood.small, cycle.dark.small)),
            intrinsics=self.intrinsics,
            emitter=commanded(self._levels, sequence),
            exposure_us=flood.exposure_us,
            gain=flood.gain,
            camera=self._info,
            ambient=_as_long(cycle),
            dots=cycle.dots.image,
        )


def _as_long(cycle: Sorted) -> NDArray[np.uint8]:
    """The dark image as if exposed as the flood was: a sensor's own control may have moved between the two."""
    dark, flood = cycle.dark, cycle.flood
    if dark.light == flood.light:
        return dark.image
    return np.asarray(cv2.convertScaleAbs(dark.image, alpha=dark.light / flood.light), np.uint8)
