"""Single exposures as an infrared sensor gives them, before anyone knows what was lit in each.

A source is small on purpose: V4L2, a folder of files and the rig's virtual sensor stand behind it alike.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """One raw exposure.

    Attributes:
        number: the sensor's own count; a gap is a lost exposure.
        timestamp_ns: monotonic clock at mid-exposure, nanoseconds.
        image: (H, W) uint8, as the sensor saw it: not rectified.
        exposure_us: exposure time, microseconds.
        gain: sensor gain, 1.0 is none.
    """

    number: int
    timestamp_ns: int
    image: NDArray[np.uint8]
    exposure_us: int
    gain: float


class ExposureSource(ABC):
    """Where exposures come from. One owner; emits and captures only between `start` and `stop`.

    Attributes:
        serial: of the sensor.
        firmware: of the sensor, or empty.
        width: of its images, pixels.
        height: of its images, pixels.
    """

    serial: str
    firmware: str
    width: int
    height: int

    @abstractmethod
    def start(self) -> None:
        """Begin to capture. Raises CameraLostError."""

    @abstractmethod
    def stop(self) -> None:
        """Stop capturing. Idempotent."""

    @abstractmethod
    def read(self, timeout_s: float) -> Exposure:
        """Return the next whole exposure.

        Raises:
            FrameTimeoutError: none within `timeout_s`.
            CameraLostError: the sensor is gone, or delivers only incomplete exposures (cause `partial`).
            RecordingEndError: a folder of files has no more.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the sensor. Idempotent."""
