"""Cameras: one interface, `FrameSet`, and the sources behind it, found by entry point `tessera.cameras`."""

from collections.abc import Mapping

import msgspec

from drivers import plugins
from drivers.camera.interface import (
    Camera,
    CameraError,
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Intrinsics,
    RecordingEndError,
)

__all__ = [
    "Camera",
    "CameraError",
    "CameraInfo",
    "CameraLostError",
    "CameraNotFoundError",
    "Emitter",
    "FrameSet",
    "FrameTimeoutError",
    "Intrinsics",
    "RecordingEndError",
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
