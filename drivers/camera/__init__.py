"""Cameras: one interface, `FrameSet`, and the sources behind it, found by entry point `tessera.cameras`."""

from collections.abc import Mapping

import msgspec

from drivers import plugins
from drivers.camera.faults import FAULTS, Cause
from drivers.camera.interface import (
    FULL_LEVELS,
    Camera,
    CameraError,
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    Found,
    FrameSet,
    FrameTimeoutError,
    Health,
    Intrinsics,
    RecordingEndError,
    commanded,
)

__all__ = [
    "FAULTS",
    "FULL_LEVELS",
    "Camera",
    "CameraError",
    "CameraInfo",
    "CameraLostError",
    "CameraNotFoundError",
    "Cause",
    "Emitter",
    "Found",
    "FrameSet",
    "FrameTimeoutError",
    "Health",
    "Intrinsics",
    "RecordingEndError",
    "commanded",
    "list_cameras",
    "open_camera",
]


def open_camera(source: str, options: Mapping[str, object]) -> Camera:
    """Open the camera plug-in `source` with its own options (its factory checks them strictly).

    Raises:
        CameraNotFoundError: no such plug-in, no such device, or an option is unknown or impossible.
    """
    try:
        factory = plugins.load(plugins.CAMERAS, source)
    except plugins.PluginError as error:
        raise CameraNotFoundError(str(error)) from error
    try:
        camera: Camera = factory(options)
    except msgspec.ValidationError as error:
        raise CameraNotFoundError(f"camera.options of `{source}`: {error}") from error
    return camera


def list_cameras(source: str) -> list[Found]:
    """Ask the plug-in `source` for its cameras (entry points `tessera.camera_lists`); emits nothing.

    Raises:
        CameraNotFoundError: it cannot look, or its own library does not load.
    """
    try:
        found: list[Found] = plugins.load(plugins.CAMERA_LISTS, source)()
    except plugins.PluginError as error:
        raise CameraNotFoundError(str(error)) from error
    return found
