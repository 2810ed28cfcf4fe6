"""Intel RealSense D4xx through librealsense: a live camera, or a file its own recorder wrote (`.db3`, older `.bag`).

A D4xx has no flood light: the projector throws dots only, at 850 nm. So `CameraInfo.flood` is False unless
`flood_board` says that our board is there. What a FrameSet holds then:

| frames come | `ir` | `ambient` | `dots` | `flood` |
|---|---|---|---|---|
| as they are (files, `alternate = false`) | the frame, dots and all | - | - | False |
| dots, off | the off frame | the same: no light of ours is in `ir` | the dots frame | False |
| dots, off, every third flood-lit (our board) | the flood frame | the dark frame | the dots frame beside `ir` | True |

Depth is that of the dots frame. A file says nothing about flood light, and what is not said is not believed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.camera.interface import Camera, CameraNotFoundError, DotSigma, FloodResponse, Found
from drivers.camera.realsense.presets import settings

__all__ = ["MODES", "Options", "list_cameras", "open_camera", "open_recording_camera"]

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
        fps: frames per second, of which two make a FrameSet; with our board six bring one.
        alternate: every second frame without dots. True unless said otherwise, but False for a file.
        flood_board: our flood board lights every third frame; the terminal then needs `[emitter]`.
        flood_response: `CameraInfo.flood_response` with that board: `tessera camera check --plane` measures it.
        dot_sigma_px: `CameraInfo.dot_sigma_px`, measured likewise.
    """

    serial: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    file: Annotated[str, Meta(min_length=1)] | None = None
    width: int | None = None
    height: int | None = None
    fps: int | None = None
    alternate: bool | None = None
    flood_board: bool = False
    flood_response: FloodResponse | None = None
    dot_sigma_px: DotSigma | None = None

    def __post_init__(self) -> None:
        """Refuse impossible combinations; inside `msgspec.convert` that is a ValidationError."""
        if self.file is not None and (self.serial, self.width, self.height, self.fps) != (None,) * 4:
            raise ValueError("`file` knows its own serial, width, height and fps")
        if self.flood_board and not self.alternates:
            raise ValueError("`flood_board` lights frames without dots: it needs `alternate`")
        if self.flood_response is not None and not self.flood_board:
            raise ValueError("`flood_response` is that of our flood board: it needs `flood_board`")
        if self.dot_sigma_px is not None and not self.alternates:
            raise ValueError("`dot_sigma_px` is of frames with dots beside others without: it needs `alternate`")
        width, height, fps = self.mode
        if fps not in MODES.get((width, height), ()):
            known = "; ".join(f"{w}x{h} at {', '.join(map(str, rates))}" for (w, h), rates in MODES.items())
            raise ValueError(f"{width}x{height} at {fps} fps is no mode of a D4xx; there are {known}")

    @property
    def mode(self) -> tuple[int, int, int]:
        """Width, height and frames per second; unless said otherwise 640x480 and 15 FrameSets a second, or 10."""
        return self.width or 640, self.height or 480, self.fps or (60 if self.flood_board else 30)

    @property
    def alternates(self) -> bool:
        """Whether every second frame is without dots."""
        return self.file is None if self.alternate is None else self.alternate


def open_camera(options: Mapping[str, object]) -> Camera:
    """Open a RealSense (plug-in `realsense`).

    Raises:
        msgspec.ValidationError: an option is unknown, of the wrong type, or impossible with the others.
        CameraNotFoundError: librealsense, the camera, the mode or the file is not there; the message says what to do.
    """
    return _open(msgspec.convert(dict(options), Options), None)


def open_recording_camera(options: Mapping[str, object], record_to: Path) -> Camera:
    """Open a live RealSense whose every frame librealsense's recorder writes to a new `.db3` from `start` on.

    No option leads here: a configuration cannot make a terminal record. `tessera record` alone calls it.

    Raises:
        CameraNotFoundError: no such camera; an option is unknown or impossible or names a file; `record_to` exists.
    """
    try:
        chosen = msgspec.convert(dict(options), Options)
    except msgspec.ValidationError as error:
        raise CameraNotFoundError(f"camera.options of `realsense`: {error}") from error
    if chosen.file is not None:
        raise CameraNotFoundError(f"{chosen.file}: is a recording already; a `.db3` is made of a live camera")
    if record_to.exists():
        raise CameraNotFoundError(f"{record_to}: exists; a recording never overwrites")
    return _open(chosen, record_to)


def _open(chosen: Options, record_to: Path | None) -> Camera:
    try:
        from drivers.camera.realsense.bus import Bus
        from drivers.camera.realsense.driver import RealSenseCamera
        from drivers.camera.realsense.sources import File, Source
    except ImportError as error:
        raise _not_loaded(error) from error
    source: Source
    if chosen.file is not None:
        source = File(chosen.file)
    else:
        source = Bus(chosen.serial, chosen.mode, settings(chosen.alternates, chosen.flood_board))
    return RealSenseCamera(
        source,
        alternate=chosen.alternates,
        flood_board=chosen.flood_board,
        flood_response=chosen.flood_response,
        dot_sigma_px=chosen.dot_sigma_px,
        record_to=record_to,
    )


def list_cameras() -> list[Found]:
    """Return the RealSense cameras on the bus. Raises CameraNotFoundError where librealsense does not load."""
    try:
        from drivers.camera.realsense.bus import on_the_bus
    except ImportError as error:
        raise _not_loaded(error) from error
    return on_the_bus()


def _not_loaded(error: ImportError) -> CameraNotFoundError:
    remedy = "apt install libusb-1.0-0" if "libusb" in str(error) else "pip install '.[realsense]'"
    return CameraNotFoundError(f"RealSense: librealsense does not load: {error}; {remedy}")
