"""What stands before the virtual camera: a small JSON file a test or the demo rewrites while the camera runs.

Rules kept here:
- The file is replaced whole, never edited in place, so a reader sees one stage or the other.
- It is decoded strictly: an unknown key, a wrong type or an impossible stage is a `StageError` naming the file.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hil import json_file

MAX_STAGE_BYTES = 4096


class StageError(Exception):
    """The stage file is missing or says something impossible; the message names it."""


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="person"):
    """A made-up adult, by seed."""

    seed: Annotated[int, Meta(ge=0, le=2**31)]


class James(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="james"):
    """The real scanned head; the camera needs its `data` option."""


Subject = Person | James

# freeze: the very same picture under new sequence numbers; stop: nothing comes; unplug: the device is gone and cannot
# be opened; hang: the library does not return for 45 s; crash: SIGSEGV in the library; half: the lower half of every
# picture is missing; backwards: the camera's clock runs back; burst: pictures as fast as they are read, far faster than
# any can be judged
Fault = Literal["freeze", "stop", "unplug", "hang", "crash", "half", "backwards", "burst"]


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scene.

    Attributes:
        subject: who stands there, or None.
        artefact: what is held up instead of the subject's own face, made from it.
        distance_mm: from the camera to the point between the eyes when looking straight ahead.
        yaw_deg: the front turned towards the right of the image.
        pitch_deg: the front turned upwards.
        second: somebody else beside the subject.
        fault: what the camera itself does wrong; see `Fault`.
        serial: of the camera that is plugged in; None is the virtual camera's own.
        calibration_digest: of that camera; None is what the virtual camera's geometry gives.
    """

    subject: Subject | None = None
    artefact: Literal["flat_print", "bent_print", "phone_screen"] | None = None
    distance_mm: Annotated[float, Meta(ge=200, le=2000)] = 450.0
    yaw_deg: Annotated[float, Meta(ge=-90, le=90)] = 0.0
    pitch_deg: Annotated[float, Meta(ge=-60, le=60)] = 0.0
    second: Subject | None = None
    fault: Fault | None = None
    serial: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    calibration_digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot stand. Raises ValueError."""
        if self.subject is None and (self.artefact is not None or self.second is not None):
            raise ValueError("`artefact` and `second` need a `subject`")


def write_stage(path: Path, stage: Stage) -> None:
    """Replace the stage file by `stage`, atomically."""
    json_file.write(path, stage)


def read_stage(path: Path) -> Stage:
    """Read the stage file.

    Raises:
        StageError: it is missing, too large, or not a stage.
    """
    return json_file.read(path, Stage, MAX_STAGE_BYTES, "stage", StageError)
