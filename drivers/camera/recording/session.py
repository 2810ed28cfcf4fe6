"""What a recording says besides its frames: what happened in the session, and, if simulated, what was really there.

Rules kept here:
- Events stand on `/session`, ground truth on `/truth`; both are JSON, a closed set of fields, decoded strictly.
- Times are the capture clock of the frames, nanoseconds; a `clock` event ties it to UTC.
- Ground truth is for judges and trainers. Nothing that decides about a person may read it.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

SESSION, TRUTH = "/session", "/truth"
MAX_JSON_BYTES = 64 * 1024

Nanoseconds = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=1024)]
Level = Annotated[float, Meta(ge=0, le=1)]
Point = tuple[float, float, float]


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    at_ns: Nanoseconds


class Clock(_Event, frozen=True, tag="clock"):
    """The capture clock showed `at_ns` when UTC was `unix_ns` (nanoseconds since 1970; 0 in a simulated world)."""

    unix_ns: Nanoseconds


class Code(_Event, frozen=True, tag="code"):
    """The emitter code drawn: flood levels 0..1; a frame's `emitter.code_index` points into the latest one."""

    levels: Annotated[tuple[Level, ...], Meta(min_length=1, max_length=16_384)]


class Prompt(_Event, frozen=True, tag="prompt"):
    """The person was asked for `prompt` (`smile`, `turn_left`, ...); `at_ns` is its onset. `text` is what was shown."""

    prompt: Word
    text: Text = ""


class Command(_Event, frozen=True, tag="command"):
    """Camera or emitter was told something: `start`, `stop`, `flood`, ...; `value` where it has one."""

    command: Word
    value: float | Text | None = None


class Note(_Event, frozen=True, tag="note"):
    """Anything a reader should know, in words."""

    text: Text


SessionEvent = Clock | Code | Prompt | Command | Note


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a renderer knows about one frame. What it does not know, it leaves out.

    Attributes:
        sequence: of the frame.
        person: whose face or whose likeness is shown.
        artefact: species of the presentation attack instrument; None is a bona fide presentation.
        sensor: name of the sensor preset.
        seed: of the scene.
        parameters: of the artefact or the scene, by name.
        position_mm: origin of the head in camera coordinates (x right, y down, z away), millimetres.
        rotation_deg: yaw, pitch, roll of the head, degrees.
        expression: weights 0..1 by name.
        gaze_deg: yaw and pitch of the eyes in the head, degrees.
        landmarks_mm: points on the face in camera coordinates, by name, millimetres.
    """

    sequence: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    person: Text | None = None
    artefact: Word | None = None
    sensor: Word | None = None
    seed: int | None = None
    parameters: dict[Word, bool | int | float | Text] = {}
    position_mm: Point | None = None
    rotation_deg: Point | None = None
    expression: dict[Word, float] = {}
    gaze_deg: tuple[float, float] | None = None
    landmarks_mm: dict[Word, Point] = {}


def event_of(kind: str, at_ns: int, values: dict[str, Any]) -> SessionEvent:
    """Make an event. Raises msgspec.ValidationError naming the field."""
    event: SessionEvent = msgspec.convert({"kind": kind, "at_ns": at_ns, **values}, SessionEvent)
    return event


def session_schema() -> bytes:
    """Return the JSON Schema of SessionEvent, with an object at its root as viewers expect."""
    (union,), parts = msgspec.json.schema_components([SessionEvent], ref_template="#/$defs/{name}")
    shared = {"kind": {"enum": list(union["discriminator"]["mapping"])}, "at_ns": {"type": "integer"}}
    return msgspec.json.encode({"type": "object", "properties": shared, **union, "$defs": parts})


def truth_schema() -> bytes:
    """Return the JSON Schema of Truth."""
    _, parts = msgspec.json.schema_components([Truth], ref_template="#/$defs/{name}")
    return msgspec.json.encode(parts.pop("Truth") | {"$defs": parts})
