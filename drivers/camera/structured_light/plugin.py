"""The plug-in `structured-light`: an IR sensor, or a folder of its exposures, with one module's calibration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.camera.interface import CameraNotFoundError, Found
from drivers.camera.structured_light.camera import StructuredLightCamera
from drivers.camera.structured_light.exposures import ExposureSource
from drivers.camera.structured_light.files import FileExposures
from drivers.camera.structured_light.grey import Format
from drivers.camera.structured_light.module_file import load_module


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sensor or a folder, and its calibration.

    Attributes:
        calibration: the module's file; not needed to make one.
        device: V4L2 node of the sensor.
        folder: recorded exposures instead.
        width: of the sensor's image; this and what follows belongs to `device`. See `v4l2.Sensor`.
        height: pixels.
        format: pixel format.
        fps: FrameSets a second, three exposures each.
        exposure_us: of every exposure.
        gain: as the driver counts it.
        unit_gain: the driver's count that is no gain.
    """

    calibration: Annotated[str, Meta(min_length=1)] | None = None
    device: str | None = None
    folder: Annotated[str, Meta(min_length=1)] | None = None
    width: int = 1280
    height: int = 800
    format: Format = "GREY"
    fps: Annotated[int, Meta(ge=1, le=60)] = 15
    exposure_us: int = 1000
    gain: int = 16
    unit_gain: int = 16

    def __post_init__(self) -> None:
        """Refuse what does not go together. Raises ValueError."""
        if (self.device is None) == (self.folder is None):
            raise ValueError("give either `device`, a V4L2 node, or `folder`, recorded exposures")


def open_exposures(options: Mapping[str, object]) -> ExposureSource:
    """Open the bare source (plug-in group `tessera.exposures`): what a calibration is made from.

    Raises:
        msgspec.ValidationError: an option is unknown, of the wrong type, or impossible with the others.
        CameraNotFoundError: no such device or folder.
    """
    return _source(msgspec.convert(dict(options), Options, strict=True))


def open_camera(options: Mapping[str, object]) -> StructuredLightCamera:
    """Open the camera (plug-in group `tessera.cameras`).

    Raises:
        msgspec.ValidationError: as `open_exposures`.
        CameraNotFoundError: as `open_exposures`; or the calibration is another sensor's.
        CalibrationError: the calibration cannot be used.
    """
    chosen = msgspec.convert(dict(options), Options, strict=True)
    if chosen.calibration is None:
        raise CameraNotFoundError(
            "camera.options.calibration: missing; make it: tessera camera calibrate", "calibration"
        )
    module = load_module(Path(chosen.calibration))
    return StructuredLightCamera(_source(chosen), module)


def list_cameras() -> list[Found]:
    """Return the V4L2 nodes that give grey pictures. Raises CameraNotFoundError where linuxpy does not load."""
    try:
        from drivers.camera.structured_light.v4l2 import list_sensors

        return list(list_sensors())
    except ImportError as error:
        raise _not_loaded(error) from error


def _source(chosen: Options) -> ExposureSource:
    if chosen.folder is not None:
        return FileExposures(Path(chosen.folder))
    try:
        from drivers.camera.structured_light.v4l2 import Sensor, V4l2Exposures

        names = ("device", "width", "height", "format", "exposure_us", "gain", "unit_gain")
        wanted = {name: getattr(chosen, name) for name in names}
        return V4l2Exposures(msgspec.convert(wanted | {"fps": 3 * chosen.fps}, Sensor, strict=True))
    except ImportError as error:
        raise _not_loaded(error) from error


def _not_loaded(error: ImportError) -> CameraNotFoundError:
    return CameraNotFoundError(f"V4L2: linuxpy does not load: {error}; pip install '.[structured-light]'")
