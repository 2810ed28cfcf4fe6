"""Cameras: one interface, `FrameSet`, and the sources behind it, found by entry point `tessera.cameras`."""

from collections.abc import Mapping

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
        CameraNotFoundError: no such plug-in or no such device.
        msgspec.ValidationError: an option is unknown or impossible.
    """
    try:
        factory = plugins.load(plugins.CAMERAS, source)
    except plugins.PluginError as error:
        raise CameraNotFoundError(str(error)) from error
    camera: Camera = factory(options)
    return camera
