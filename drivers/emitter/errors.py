"""What an emitter can do wrong."""

from drivers.camera import CameraError, Cause


class EmitterError(CameraError):
    """The board does not answer, refuses, or went dark by itself; `cause` says which, in `drivers.camera.faults`."""

    cause: Cause = "emitter_line"
