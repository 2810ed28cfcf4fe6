"""Intel RealSense D4xx through librealsense: a live camera, or a file its own recorder wrote (`.db3`, older `.bag`).

A D4xx has no flood light: the projector throws dots only, at 850 nm. So `CameraInfo.flood` is always False here, also
for a file whose frames the rig rendered flood-lit: such a file has no place to say so, and what is not said is not
believed. Its depth and infrared come through unchanged; what needs flood light or ambient frames is not there.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.camera.interface import Camera, CameraNotFoundError, Found

__all__ = ["MODES", "Options", "list_cameras", "open_camera"]

# width, height: frames per second. Depth with infrared as D415, D435 and D455 share it over USB 3; the device at hand
# has the last word when it is opened.
MODES: dict[tuple[int, int], tuple[int, ...]] = {
    (640, 480): (6, 15, 30, 60, 90),
    (848, 480): (6, 15, 30, 60, 90),
    (1280, 720): (6, 15, 30),
}


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A live camera by `serial` (or the only one there), or a `file`, which knows its own mode.

    Attributes:
        serial: serial number of the live camera to open.
        file: a `.db3` or `.bag` of librealsense's recorder.
        width: with `height` and `fps` one of `MODES`.
        height: as `width`.
        fps: frames per second.
    """

    serial: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    file: Annotated[str, Meta(min_length=1)] | None = None
    width: int | None = None
    height: int | None = None
    fps: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible combinations; inside `msgspec.convert` that is a ValidationError."""
        if self.file is not None and (self.serial, self.width, self.height, self.fps) != (None,) * 4:
            raise ValueError("`file` stands alone: a recording knows its serial, width, height and fps")
        width, height, fps = self.mode
        if fps not in MODES.get((width, height), ()):
            known = "; ".join(f"{w}x{h} at {', '.join(map(str, rates))}" for (w, h), rates in MODES.items())
            raise ValueError(f"{width}x{height} at {fps} fps is no mode of a D4xx; there are {known}")

    @property
    def mode(self) -> tuple[int, int, int]:
        """Width, height and frames per second; 640x480 at 30 unless said otherwise."""
        return self.width or 640, self.height or 480, self.fps or 30


def open_camera(options: Mapping[str, object]) -> Camera:
    """Open a RealSense (plug-in `realsense`).

    Raises:
        msgspec.ValidationError: an option is unknown, of the wrong type, or impossible with the others.
        CameraNotFoundError: librealsense, the camera, the mode or the file is not there; the message says what to do.
    """
    chosen = msgspec.convert(dict(options), Options)
    try:
        from drivers.camera.realsense.driver import RealSenseCamera
        from drivers.camera.realsense.sources import Bus, File
    except ImportError as error:
        raise _not_loaded(error) from error
    return RealSenseCamera(File(chosen.file) if chosen.file is not None else Bus(chosen.serial, chosen.mode))


def list_cameras() -> list[Found]:
    """Return the RealSense cameras on the bus. Raises CameraNotFoundError where librealsense does not load."""
    try:
        from drivers.camera.realsense.sources import on_the_bus
    except ImportError as error:
        raise _not_loaded(error) from error
    return on_the_bus()


def _not_loaded(error: ImportError) -> CameraNotFoundError:
    remedy = "apt install libusb-1.0-0" if "libusb" in str(error) else "pip install 'tessera[realsense]'"
    return CameraNotFoundError(f"RealSense: librealsense does not load: {error}; {remedy}")
