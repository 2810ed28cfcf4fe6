"""What a depth camera gives the rest of the terminal, and how old it may be.

Rules kept here:
- Everything downstream sees only a `FrameSet`; it is frozen and its arrays are read-only.
- Depth is millimetres in float32, NaN where unknown, aligned pixel for pixel to `ir`.
- Time is the terminal's monotonic clock in nanoseconds, at the middle of the IR exposure.
- Staleness is in the API: `read` gives the next unseen frame or raises within its time-out;
  `latest` gives a frame no older than asked or raises. Nothing ever hands out an old frame silently.
- A camera emits light and captures only between `start` and `stop`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from drivers.camera.faults import Cause


class CameraError(Exception):
    """Base of what a camera can do wrong; the message says which camera, what happened and what to do.

    Attributes:
        cause: its one name in `faults.FAULTS`; unless handed in, the class's own.
    """

    cause: Cause = "absent"

    def __init__(self, message: str, cause: Cause | None = None) -> None:
        """Say what happened; `cause` where the class's own is not the one."""
        super().__init__(message)
        if cause is not None:
            self.cause = cause


class CameraNotFoundError(CameraError):
    """No such camera or file, or it cannot be opened."""


class CameraLostError(CameraError):
    """The camera was there and has stopped delivering, or delivers what cannot be used."""

    cause: Cause = "unplugged"


class FrameTimeoutError(CameraLostError):
    """No new frame came within the time-out."""

    cause: Cause = "silent"


class RecordingEndError(CameraError):
    """A recording has no further frames. Not a fault."""

    cause: Cause = "ended"


class Intrinsics(msgspec.Struct, frozen=True):
    """Pinhole model of the rectified IR image, in pixels: u = fx x/z + cx, v = fy y/z + cy (centres at integers)."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


class Emitter(msgspec.Struct, frozen=True):
    """What was commanded of the light sources for this frame: levels 0..1, and the place in the emitter code."""

    flood: float
    dots: float
    code_index: int | None = None


FULL_LEVELS: Final = (Emitter(flood=1.0, dots=1.0),)
"""Every cycle at full level."""


def commanded(levels: Sequence[Emitter], sequence: int) -> Emitter:
    """What `levels`, one entry a cycle, over and over, say of cycle `sequence`."""
    level = levels[sequence % len(levels)]
    return Emitter(level.flood, level.dots, sequence)


FloodResponse = Annotated[float, Meta(gt=0, le=1000)]
DotSigma = Annotated[float, Meta(gt=0, le=20)]


class CameraInfo(msgspec.Struct, frozen=True):
    """Who the camera says it is. A misconfiguration check, not authentication.

    `flood` is False where the camera has no flood light of its own (a bare RealSense).

    Attributes:
        flood_response: of full scale, per millisecond at gain 1, what a white matt surface square to the axis 1 m away
            returns of the flood at level 1: how bright skin must look. None where nobody has measured it.
        dot_sigma_px: Gaussian sigma of one dot on a surface that does not scatter, pixels, as projector and lens make
            it (rectifying adds a little in `FrameSet.dots`): what skin adds is told against this. None where nobody
            has measured it.
    """

    serial: str
    firmware: str
    calibration_digest: str
    flood: bool
    flood_response: FloodResponse | None = None
    dot_sigma_px: DotSigma | None = None


class Health(msgspec.Struct, frozen=True):
    """How a camera is doing since `start`; None where it cannot tell.

    Attributes:
        dropped: exposure cycles that did not become a FrameSet.
        row_drift_px: rows between the dots seen and the same dots in the calibration, pixels.
        dot_contrast: of the dots seen, relative to those of the calibration; 1.0 is as new.
        advice: what to mend before it becomes a fault, a plain sentence; empty while all is well.
    """

    dropped: int = 0
    row_drift_px: float | None = None
    dot_contrast: float | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that could be opened: its plug-in, the options that choose it, and what it says of itself."""

    source: str
    serial: str
    description: str
    options: dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, eq=False)
class FrameSet:
    """One cycle of exposures, decoded. Takes over its arrays: hand in none that something else still writes to.

    Attributes:
        sequence: counts up by one per cycle since `start`, from the first cycle whose light was ours; a gap is a
            dropped cycle.
        timestamp_ns: monotonic clock at mid-exposure of `ir`, nanoseconds.
        ir: (H, W) uint8 or uint16, flood-lit infrared. All zero where the source has no infrared.
        depth_mm: (H, W) float32, millimetres along the optical axis, NaN where unknown, aligned to `ir`.
        intrinsics: of `ir` and `depth_mm`.
        emitter: what was commanded, not what was measured.
        exposure_us: exposure time of `ir`, microseconds.
        gain: sensor gain, 1.0 is none.
        camera: which camera took it.
        ambient: as `ir` with the emitters off, or None.
        dots: raw dot exposure as `ir`, or None.
    """

    sequence: int
    timestamp_ns: int
    ir: NDArray[np.uint8] | NDArray[np.uint16]
    depth_mm: NDArray[np.float32]
    intrinsics: Intrinsics
    emitter: Emitter
    exposure_us: int
    gain: float
    camera: CameraInfo
    ambient: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    dots: NDArray[np.uint8] | NDArray[np.uint16] | None = None

    def __post_init__(self) -> None:
        """Check shapes and dtypes, make the arrays read-only. Raises ValueError naming the field."""
        shape = (self.intrinsics.height, self.intrinsics.width)
        if self.ir.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"FrameSet.ir is {self.ir.dtype}, expected uint8 or uint16")
        for name in ("ir", "ambient", "dots"):
            image = getattr(self, name)
            if image is None:
                continue
            if image.shape != shape or image.dtype != self.ir.dtype:
                raise ValueError(f"FrameSet.{name} is {image.shape} {image.dtype}, expected {shape} {self.ir.dtype}")
            image.flags.writeable = False
        if self.depth_mm.shape != shape or self.depth_mm.dtype != np.float32:
            raise ValueError(
                f"FrameSet.depth_mm is {self.depth_mm.shape} {self.depth_mm.dtype}, expected {shape} float32"
            )
        self.depth_mm.flags.writeable = False

    def age_s(self, now_ns: int) -> float:
        """Seconds since mid-exposure, by the monotonic clock `now_ns` (nanoseconds)."""
        return (now_ns - self.timestamp_ns) / 1e9


class Camera(ABC):
    """A source of FrameSets. Not thread-safe: one owner, in the camera process.

    Life: construct (finds the device, touches no emitter) -> `start` -> `read`... -> `stop` -> `close`.
    `start` after `stop` is allowed; sequence numbers begin again.
    """

    @property
    @abstractmethod
    def info(self) -> CameraInfo:
        """Who this camera is. Available once constructed."""

    @property
    @abstractmethod
    def intrinsics(self) -> Intrinsics:
        """Geometry of the frames to come. Available once constructed."""

    @property
    def health(self) -> Health:
        """How it is doing; cheap, asked after any frame."""
        return Health()

    @abstractmethod
    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        """Begin to emit and capture.

        Args:
            levels: what the lights do, one entry a cycle, over and over: cycle n since `start` (`FrameSet.sequence`
                n) is lit by `levels[n % len(levels)]` where the light is commanded through the camera. Where it is
                an emitter board's, that has them from its owner, and where the frames were recorded, it was what it
                was: then they change nothing but, for a board's light, what `FrameSet.emitter` reports.
                Exposure control, where there is any, reckons with the full level, so that a level shows.

        Raises:
            CameraLostError: it does not start.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop emitting and capturing. Idempotent."""

    @abstractmethod
    def read(self, timeout_s: float) -> FrameSet:
        """Return the next unseen frame.

        Raises:
            FrameTimeoutError: none within `timeout_s`.
            CameraLostError: the device is gone.
            RecordingEndError: a recording has ended.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the device. Idempotent; the camera cannot be used again."""

    def latest(self, max_age_s: float, timeout_s: float, clock_ns: Callable[[], int] = time.monotonic_ns) -> FrameSet:
        """Return a frame no older than `max_age_s`, discarding older ones that were queued.

        A frame as far in the future is discarded too: its clock is not ours.

        Raises:
            FrameTimeoutError: none so young came within `timeout_s`.
        """
        deadline_ns = clock_ns() + int(timeout_s * 1e9)
        while (left_s := (deadline_ns - clock_ns()) / 1e9) > 0:
            frames = self.read(left_s)
            if abs(frames.age_s(clock_ns())) <= max_age_s:
                return frames
        raise FrameTimeoutError(
            f"camera {self.info.serial}: no frame younger than {max_age_s:.3f} s within {timeout_s:.3f} s"
        )

    def frames(self, timeout_s: float = 1.0) -> Iterator[FrameSet]:
        """Yield every next frame until a recording ends. Raises as `read` does otherwise."""
        with suppress(RecordingEndError):
            while True:
                yield self.read(timeout_s)
