"""The virtual camera: a `Camera` like any other, whose world is a stage file.

Rules kept here:
- Pace comes from the monotonic clock: frame n is due n periods after `start`; a late reader finds a gap in the
  sequence numbers, never an old frame.
- The stage is read again when the file changes; a missing or malformed one is a lost camera.
- The stage also says which camera is plugged in, and what it does wrong (`camera_faults`).
- Noise and motion follow from the seed and the frame's number.
- The flood of frame n is at the level that `start` was told for it; dots are at full level whatever it was told.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from drivers.camera import (
    FULL_LEVELS,
    Camera,
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Intrinsics,
    commanded,
)
from hil.people import PeopleError
from hil.sensor.camera_faults import before_frame, spoiled
from hil.sensor.capture import Capture, capture, render
from hil.sensor.cycle import Cycle, take
from hil.sensor.dots import dot_sigma_px
from hil.sensor.flood import FLOOD_RESPONSE
from hil.sensor.optics import flood_response
from hil.sensor.presets import preset
from hil.sensor.scene import INTRINSICS, Scene
from hil.sensor.stage import Stage, StageError, read_stage
from hil.sensor.standing import Standing

SERIAL = "VIRTUAL-0001"


class VirtualCameraOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the camera renders, and how.

    Attributes:
        stage: path of the stage file.
        seed: of noise and motion.
        fps: FrameSets a second.
        data: folder of the real scan.
        preset: one of `hil.sensor.presets`, with dark and dot exposures and decoded depth; None is the plain sensor
            that the virtual calibration was made with.
        width: of the preset's image, 640 or 1280.
    """

    stage: str
    seed: Annotated[int, Meta(ge=0)] = 0
    fps: Annotated[float, Meta(ge=1, le=60)] = 15.0
    data: str | None = None
    preset: Literal["ideal", "structured-light", "d4xx", "held-out"] | None = None
    width: Literal[640, 1280] | None = None

    def __post_init__(self) -> None:
        """Refuse what does not go together. Raises ValueError."""
        if self.width is not None and self.preset is None:
            raise ValueError("`width` needs a `preset`: the plain sensor is 640 pixels wide")


def open_camera(options: Mapping[str, object]) -> "VirtualCamera":
    """Open the virtual camera. Raises msgspec.ValidationError for an unknown or impossible option."""
    return VirtualCamera(msgspec.convert(dict(options), VirtualCameraOptions, strict=True))


class VirtualCamera(Camera):
    """Renders whoever stands on the stage."""

    def __init__(
        self,
        options: VirtualCameraOptions,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wait_s: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is rendered before `start`. Raises CameraNotFoundError where the stage says that none is there."""
        self._options = options
        self._clock_ns = clock_ns
        self._wait_s = wait_s
        self._period_ns = round(1e9 / options.fps)
        data = Path(options.data) if options.data is not None else None
        self._standing = Standing(Path(options.stage), data, options.seed, clock_ns)
        self._preset = preset(options.preset, options.width or 640) if options.preset is not None else None
        calibrated = INTRINSICS if self._preset is None else self._preset
        self._digest = hashlib.sha256(msgspec.json.encode(calibrated)).hexdigest()
        self._info = self._found(Path(options.stage))
        self._started_ns: int | None = None
        self._sequence = 0
        self._levels: Sequence[Emitter] = FULL_LEVELS
        self._last: Capture | Cycle | None = None
        # loads the compiled loops now: opening may take long, the first frame may not
        render(Scene(()), np.random.default_rng(0))

    @property
    def info(self) -> CameraInfo:
        """Serial `VIRTUAL-0001`, with a flood light."""
        return self._info

    @property
    def intrinsics(self) -> Intrinsics:
        """640 x 480, 56 x 44 degrees, or as the preset has it."""
        return INTRINSICS if self._preset is None else self._preset.intrinsics

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        """Begin to capture. Raises CameraLostError where the stage cannot be read."""
        if self._started_ns is not None:
            return
        self._levels = tuple(levels)
        self._started_ns = self._clock_ns()
        self._sequence = 0
        self._standing.begin(self._started_ns)
        self._last = None
        self._look_at_stage()

    def stop(self) -> None:
        """Stop capturing."""
        self._started_ns = None

    def close(self) -> None:
        """Stop; there is nothing to release."""
        self.stop()

    def read(self, timeout_s: float) -> FrameSet:
        """Return the next frame when it is due. Raises as `Camera.read` does."""
        if self._started_ns is None:
            raise CameraLostError(f"camera {SERIAL}: read before start")
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            sequence, due_ns = self._next()
            if due_ns > deadline_ns:
                self._wait_until(deadline_ns)
                raise FrameTimeoutError(f"camera {SERIAL}: no frame within {timeout_s:.3f} s")
            self._wait_until(due_ns)
            self._sequence = sequence + 1
            self._look_at_stage()
            if before_frame(self._standing.stage.fault, self._wait_s):
                return spoiled(self._frame_set(sequence), self._standing.stage.fault, self._started_ns)

    def _next(self) -> tuple[int, int]:
        """Number of the next frame, and when it is due."""
        assert self._started_ns is not None
        now_ns = self._clock_ns()
        if self._standing.stage.fault == "burst":
            return self._sequence, now_ns
        sequence = max(self._sequence, (now_ns - self._started_ns) // self._period_ns)
        return sequence, self._started_ns + sequence * self._period_ns

    def _wait_until(self, instant_ns: int) -> None:
        left_ns = instant_ns - self._clock_ns()
        if left_ns > 0:
            self._wait_s(left_ns / 1e9)

    def _found(self, stage: Path) -> CameraInfo:
        try:
            there = read_stage(stage)
        except StageError as error:
            raise CameraNotFoundError(f"camera {SERIAL}: {error}") from error
        if there.fault == "unplug":
            raise CameraNotFoundError(f"camera {SERIAL}: none is plugged in")
        return self._plugged_in(there)

    def _plugged_in(self, stage: Stage) -> CameraInfo:
        digest = stage.calibration_digest or self._digest
        sensor = self._preset
        return CameraInfo(
            stage.serial or SERIAL,
            firmware="simulated",
            calibration_digest=digest,
            flood=True,
            flood_response=FLOOD_RESPONSE if sensor is None else flood_response(sensor),
            dot_sigma_px=None if sensor is None else dot_sigma_px(sensor),
        )

    def _look_at_stage(self) -> None:
        try:
            self._standing.look()
        except (OSError, StageError) as error:
            raise CameraLostError(f"camera {SERIAL}: {error}") from error
        if self._standing.stage.fault == "unplug" or self._plugged_in(self._standing.stage) != self._info:
            raise CameraLostError(f"camera {self._info.serial}: unplugged")

    def _frame_set(self, sequence: int) -> FrameSet:
        timestamp_ns = self._clock_ns()
        if self._last is None or self._standing.stage.fault not in ("freeze", "burst"):
            self._last = self._capture(sequence, timestamp_ns)
        return FrameSet(
            sequence=sequence,
            timestamp_ns=timestamp_ns,
            ir=self._last.ir,
            depth_mm=self._last.depth_mm,
            intrinsics=self.intrinsics,
            emitter=commanded(self._levels, sequence),
            exposure_us=self._last.exposure_us,
            gain=self._last.gain,
            camera=self._info,
            ambient=self._last.ambient,
            dots=self._last.dots if isinstance(self._last, Cycle) else None,
        )

    def _capture(self, sequence: int, now_ns: int) -> Capture | Cycle:
        time_s = sequence / self._options.fps
        rng = np.random.default_rng([self._options.seed, sequence])
        level = commanded(self._levels, sequence).flood

        def scene(at_s: float) -> Scene:
            return self._standing.scene(at_s, now_ns + round((at_s - time_s) * 1e9))

        try:
            if self._preset is None:
                return capture(scene(time_s), rng, flood_level=level)
            return take(lambda at_s: scene(at_s).placed, time_s, self._preset, rng, level)
        except PeopleError as error:
            raise CameraLostError(f"camera {SERIAL}: {error}") from error
