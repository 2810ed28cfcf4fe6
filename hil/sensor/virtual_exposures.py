"""The virtual sensor of a structured-light module: raw exposures, before anyone knows what was lit in each. Simulated.

Rules kept here:
- The physics is `hil.sensor.cycle`'s; here the module is put together: its lens turned against the projector, its
  sensor's count and clock, and what a cable loses.
- Pace comes from the monotonic clock: cycle n is due n periods after `start`; a late reader finds a gap in the numbers.
- Noise and motion follow from the seed and the cycle's number.
- An exposure's time is that of its end, when it has been rendered: how long that takes is no camera's latency.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from drivers.camera import CameraLostError, FrameTimeoutError
from drivers.camera.structured_light import StructuredLightCamera
from drivers.camera.structured_light.drift import dots_per_flood
from drivers.camera.structured_light.exposures import Exposure, ExposureSource
from drivers.camera.structured_light.grey import Incomplete, grey
from drivers.camera.structured_light.module_file import Lens, Module, load_module, make_module
from drivers.camera.structured_light.probe import Look
from drivers.camera.structured_light.sorter import Seen, Sorted
from hil.artefacts.toner import sheet_mesh
from hil.emitter.light import Light, LightError, read_light
from hil.people import PeopleError
from hil.sensor.bench import Bench, BenchError, Target, read_bench
from hil.sensor.cycle import Exposed, Lights, expose
from hil.sensor.dots import calibration, dot_sigma_px, reference
from hil.sensor.lens import Glass, glass
from hil.sensor.material import PAINT
from hil.sensor.optics import flood_response
from hil.sensor.presets import Preset, preset
from hil.sensor.scene import Placed, Pose
from hil.sensor.stage import StageError
from hil.sensor.standing import Standing
from hil.sensor.surface import Surface, vertex_normals

TARGET_ALBEDO = 0.8
CYCLE = 3  # exposures


class VirtualExposuresOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is exposed, and how.

    Attributes:
        stage: path of the stage file: who stands there.
        bench: path of the bench file: a flat target, mishaps.
        light: path of the simulated emitter board's light; without one everything shines as built.
        calibration: path of the module's calibration; without one, what its maker would ship.
        seed: of noise and motion.
        fps: cycles a second.
        data: folder of the real scan.
        preset: one of `hil.sensor.presets` that has a projector.
        width: of the image, 640 or 1280.
        serial: of the sensor.
        roll_deg: how far the lens is turned about its axis against the line to the projector.
        yaw_deg: how far that line leans out of the sensor's plane.
        sun: on the face, 0 indoors to 1 in full sun.
    """

    stage: str | None = None
    bench: str | None = None
    light: str | None = None
    calibration: str | None = None
    seed: Annotated[int, Meta(ge=0)] = 0
    fps: Annotated[float, Meta(ge=1, le=30)] = 10.0
    data: str | None = None
    preset: Literal["ideal", "structured-light"] = "structured-light"
    width: Literal[640, 1280] = 640
    serial: Annotated[str, Meta(min_length=1, max_length=64)] = "VIRTUAL-SL-0001"
    roll_deg: Annotated[float, Meta(ge=-5, le=5)] = 0.0
    yaw_deg: Annotated[float, Meta(ge=-5, le=5)] = 0.0
    sun: Annotated[float, Meta(ge=0, le=1)] = 0.0

    @property
    def turn(self) -> NDArray[np.float64]:
        """(3, 3): carries rays of the raw image to those of the rectified one."""
        return Pose(yaw_deg=self.yaw_deg, roll_deg=self.roll_deg).rotation().astype(np.float64)

    @property
    def sensor(self) -> Preset:
        """The preset, indoors, where it was calibrated."""
        return preset(self.preset, self.width)


def open_exposures(options: Mapping[str, object]) -> "VirtualExposures":
    """Open the bare sensor. Raises msgspec.ValidationError for an unknown or impossible option."""
    return VirtualExposures(msgspec.convert(dict(options), VirtualExposuresOptions, strict=True))


def open_camera(options: Mapping[str, object]) -> StructuredLightCamera:
    """Open the sensor with its calibration (plug-in `virtual-exposures`).

    Raises:
        msgspec.ValidationError: an unknown or impossible option.
        CalibrationError: the calibration cannot be used.
        CameraNotFoundError: it is another sensor's.
    """
    checked = msgspec.convert(dict(options), VirtualExposuresOptions, strict=True)
    module = makers_module(checked) if checked.calibration is None else load_module(Path(checked.calibration))
    return StructuredLightCamera(VirtualExposures(checked), module)


class VirtualExposures(ExposureSource):
    """Exposes whoever stands on the stage, or the target on the bench."""

    def __init__(
        self,
        options: VirtualExposuresOptions,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wait_s: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read or rendered before `start`."""
        self.serial, self.firmware = options.serial, "simulated"
        self._options, self._clock_ns, self._wait_s = options, clock_ns, wait_s
        indoors = options.sensor
        self._preset = msgspec.structs.replace(
            indoors, ambient=msgspec.structs.replace(indoors.ambient, sun=options.sun)
        )
        self.width, self.height = self._preset.intrinsics.width, self._preset.intrinsics.height
        self._lens = Glass(self._preset, options.turn) if options.roll_deg or options.yaw_deg else glass(self._preset)
        data = Path(options.data) if options.data is not None else None
        self._standing = (
            Standing(Path(options.stage), data, options.seed, clock_ns) if options.stage is not None else None
        )
        self._period_ns = round(1e9 / options.fps)
        self._started_ns: int | None = None
        self._cycle = 0
        self._waiting = deque[Exposure | None]()
        self._incomplete = Incomplete(self.serial)

    def start(self) -> None:
        """Begin to capture. Raises CameraLostError where the stage cannot be read."""
        if self._started_ns is not None:
            return
        self._started_ns, self._cycle = self._clock_ns(), 0
        self._waiting.clear()
        self._incomplete = Incomplete(self.serial)
        if self._standing is not None:
            self._standing.begin(self._started_ns)
        self._look()

    def stop(self) -> None:
        """Stop capturing."""
        self._started_ns = None

    def close(self) -> None:
        """Stop; there is nothing to release."""
        self.stop()

    def read(self, timeout_s: float) -> Exposure:
        """Return the next whole exposure when its cycle has been taken. Raises as `ExposureSource.read` does."""
        if self._started_ns is None:
            raise CameraLostError(f"sensor {self.serial}: read before start")
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            while self._waiting:
                exposure = self._waiting.popleft()
                if exposure is not None:
                    self._incomplete.whole()
                    return exposure
                self._incomplete.another()
            elapsed = (self._clock_ns() - self._started_ns) // self._period_ns
            cycle = max(self._cycle, elapsed)
            due_ns = self._started_ns + cycle * self._period_ns
            if due_ns > deadline_ns:
                self._wait_until(deadline_ns)
                raise FrameTimeoutError(f"sensor {self.serial}: no exposure within {timeout_s:.3f} s")
            self._wait_until(due_ns)
            self._cycle = cycle + 1
            self._waiting.extend(self._arriving(cycle))

    def _wait_until(self, instant_ns: int) -> None:
        left_ns = instant_ns - self._clock_ns()
        if left_ns > 0:
            self._wait_s(left_ns / 1e9)

    def _look(self) -> tuple[Bench, Light | None]:
        """Whatever the files say now."""
        try:
            if self._standing is not None:
                self._standing.look()
            bench = read_bench(Path(self._options.bench)) if self._options.bench is not None else Bench()
            light = read_light(Path(self._options.light)) if self._options.light is not None else None
        except (OSError, StageError, BenchError, LightError) as error:
            raise CameraLostError(f"sensor {self.serial}: {error}") from error
        return bench, light

    def _arriving(self, cycle: int) -> list[Exposure | None]:
        """The exposures of one cycle that arrive; None for one that does not arrive whole."""
        bench, light = self._look()
        raw = self._expose(cycle, self._clock_ns(), bench, light)
        now_ns = self._clock_ns()
        luck = np.random.default_rng([self._options.seed, cycle, 1])
        gap_ns = self._preset.exposure_gap_us * 1000
        arriving: list[Exposure | None] = []
        for place, image in enumerate((raw.dark, raw.flood, raw.dots)):
            lost, half = luck.random(2)
            if lost < bench.lost:
                continue
            data = image.tobytes()
            whole = grey(
                data[: len(data) // 2] if half < bench.half else data, "GREY", self.width, self.height, self.width
            )
            exposure_us = raw.dot_exposure_us if place == CYCLE - 1 else raw.exposure_us
            at_ns = now_ns - (CYCLE - 1 - place) * gap_ns
            arriving.append(
                None if whole is None else Exposure(CYCLE * cycle + place, at_ns, whole, exposure_us, raw.gain)
            )
        return arriving

    def _expose(self, cycle: int, now_ns: int, bench: Bench, light: Light | None) -> Exposed:
        time_s = cycle / self._options.fps
        rng = np.random.default_rng([self._options.seed, cycle])
        lights = Lights()
        if light is not None:
            lights = Lights(*(light.at(CYCLE * cycle + place) for place in range(CYCLE)))

        def placed(at_s: float) -> tuple[Placed, ...]:
            if bench.target is not None:
                return (flat_target(bench.target, self._options.turn),)
            if self._standing is None:
                return ()
            return self._standing.scene(at_s, now_ns + round((at_s - time_s) * 1e9)).placed

        rows_off = bench.rows_off_px + bench.rows_px_per_s * time_s
        try:
            return expose(placed, time_s, self._preset, rng, lights, self._lens, rows_off)
        except PeopleError as error:
            raise CameraLostError(f"sensor {self.serial}: {error}") from error


def flat_target(target: Target, turn: NDArray[np.float64]) -> Placed:
    """The board, square to the raw lens's axis but for its tilt, in the rectified axes of a module turned by `turn`."""
    flat, uv, faces = sheet_mesh(24, 20, target.width_mm, target.width_mm * 5 / 6)
    square = Pose(yaw_deg=target.tilt_deg).rotation()
    vertices = np.asarray(flat @ square.T @ turn.T, np.float32)
    x, y, z = turn @ np.array([0.0, 0.0, target.distance_mm])
    board = Surface(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=uv,
        albedo=np.full((8, 8), TARGET_ALBEDO, np.float32),
        gloss=np.zeros(len(vertices), np.float32),
        pivot_mm=np.zeros(3, np.float32),
        material=PAINT,
    )
    return Placed(board, Pose(x_mm=float(x), y_mm=float(y), z_mm=float(z)))


def makers_module(options: VirtualExposuresOptions) -> Module:
    """What the maker of this module would ship with it: its true geometry."""
    sensor = options.sensor
    one, two, three, four = sensor.lens.distortion
    response = flood_response(sensor)
    assert response is not None
    return make_module(
        serial=options.serial,
        lens=Lens(sensor.intrinsics, (one, two, three, four, 0.0)),
        turn=options.turn,
        calibration=calibration(sensor),
        reference=reference(sensor),
        dots_per_flood=_dots_per_flood(sensor),
        flood_response=response,
        dot_sigma_px=dot_sigma_px(sensor),
        target_reflectance=TARGET_ALBEDO,
    )


def _dots_per_flood(sensor: Preset) -> float:
    """As calibrating the true module would find it."""
    board = flat_target(Target(sensor.reference_mm), np.eye(3))
    raw = expose(lambda _: (board,), 0.0, sensor, np.random.default_rng(0))
    look = Look(0, 0.0, speckled=False)

    def seen(image: NDArray[np.uint8], exposure_us: int) -> Seen:
        return Seen(Exposure(0, 0, image, exposure_us, raw.gain), glass(sensor).rectify(image), look)

    cycle = Sorted(
        seen(raw.dark, raw.exposure_us), seen(raw.flood, raw.exposure_us), seen(raw.dots, raw.dot_exposure_us)
    )
    strength = dots_per_flood(cycle)
    assert strength is not None
    return strength
