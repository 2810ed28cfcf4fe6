"""What stands before the virtual camera: a small JSON file a test or the demo rewrites while the camera runs.

Rules kept here:
- The file is replaced whole, never edited in place, so a reader sees one stage or the other.
- It is decoded strictly: an unknown key, a wrong type or an impossible stage is a `StageError` naming the file.
- Whoever lives hears what the terminal asks as it comes (`prompts`); what they do about it is drawn for them.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hil import json_file
from hil.artefacts.species import SPECIES
from hil.people.living import PromptKind
from hil.people.names import PERSON

MAX_STAGE_BYTES = 4096
SHEETS = ("flat_print", "bent_print", "phone_screen")
"""What can be held up for anybody; of whoever lives there is an instrument of every other species as well."""

Who = Annotated[str, Meta(pattern=rf"^(?:{PERSON.pattern})\Z")]


class StageError(Exception):
    """The stage file is missing or says something impossible; the message names it."""


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="person"):
    """A made-up adult, by seed, who stands still but for a little sway."""

    seed: Annotated[int, Meta(ge=0, le=2**31)]


class James(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="james"):
    """The real scanned head, who never moves a muscle; the camera needs its `data` option."""


class Alive(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="alive"):
    """Somebody who lives: blinks, breathes, sways, and does what people do about what they are asked.

    Attributes:
        who: `virtual-2` is `Person(2)` alive; `makehuman-3`; `ict-5` and `james`, for which the camera needs `data`.
        seed: of what they do, and of who obeys no prompt.
    """

    who: Who
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 0


Subject = Person | James | Alive


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt that was shown at `at_ns` of the monotonic clock. Left and right are the person's own."""

    kind: PromptKind
    at_ns: Annotated[int, Meta(ge=0)]


# freeze: the very same picture under new sequence numbers; stop: nothing comes; unplug: the device is gone and cannot
# be opened; hang: the library does not return for 45 s; crash: SIGSEGV in the library; half: the lower half of every
# picture is missing; backwards: the camera's clock runs back; burst: pictures as fast as they are read, far faster than
# any can be judged
Fault = Literal["freeze", "stop", "unplug", "hang", "crash", "half", "backwards", "burst"]


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scene.

    Attributes:
        subject: who stands there, or None.
        artefact: what is held up or worn instead of the subject's own face, made from it: one of `SHEETS`, or the
            species of that name after a subject who lives.
        wearer: who is behind it, where it is worn.
        distance_mm: from the camera to the point between the eyes when looking straight ahead.
        yaw_deg: the front turned towards the right of the image.
        pitch_deg: the front turned upwards.
        second: somebody else beside the subject.
        prompts: what was asked so far, in order.
        fault: what the camera itself does wrong; see `Fault`.
        serial: of the camera that is plugged in; None is the virtual camera's own.
        calibration_digest: of that camera; None is what the virtual camera's geometry gives.
    """

    subject: Subject | None = None
    artefact: Annotated[str, Meta(max_length=32)] | None = None
    wearer: Who = "makehuman-13"
    distance_mm: Annotated[float, Meta(ge=200, le=2000)] = 450.0
    yaw_deg: Annotated[float, Meta(ge=-90, le=90)] = 0.0
    pitch_deg: Annotated[float, Meta(ge=-60, le=60)] = 0.0
    second: Subject | None = None
    prompts: Annotated[tuple[Asked, ...], Meta(max_length=16)] = ()
    fault: Fault | None = None
    serial: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    calibration_digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot stand. Raises ValueError."""
        if self.subject is None and (self.artefact is not None or self.second is not None):
            raise ValueError("`artefact` and `second` need a `subject`")
        if self.artefact is not None and self.artefact not in SHEETS:
            if self.artefact not in SPECIES:
                raise ValueError(f"`artefact` is {self.artefact}; there are {', '.join((*SHEETS, *SPECIES))}")
            if not isinstance(self.subject, Alive):
                raise ValueError(f"`artefact` {self.artefact} is made only after a subject who lives")


def write_stage(path: Path, stage: Stage) -> None:
    """Replace the stage file by `stage`, atomically."""
    json_file.write(path, stage)


def read_stage(path: Path) -> Stage:
    """Read the stage file.

    Raises:
        StageError: it is missing, too large, or not a stage.
    """
    return json_file.read(path, Stage, MAX_STAGE_BYTES, "stage", StageError)
