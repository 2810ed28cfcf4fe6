"""The camera that is pinned in the configuration, and the one that was found.

A check of the installation, not of who made the frames: anybody who can plug a camera in can give it a serial.
"""

from drivers.camera import CameraInfo, CameraNotFoundError
from firmware.runtime.config import CameraConfig


def check_pinned(settings: CameraConfig, found: CameraInfo) -> None:
    """Raise CameraNotFoundError, cause `wrong_camera` or `calibration`, unless what is pinned is what was found."""
    if settings.serial not in (None, found.serial):
        raise CameraNotFoundError(
            f"camera.serial is {settings.serial!r} in the configuration, the camera found is {found.serial!r}",
            cause="wrong_camera",
        )
    digest = settings.calibration_digest
    if digest is not None and not found.calibration_digest.startswith(digest):
        raise CameraNotFoundError(
            f"camera.calibration_digest is {digest} in the configuration, that of camera {found.serial} is "
            f"{found.calibration_digest[: len(digest)] or 'empty'}",
            cause="calibration",
        )
