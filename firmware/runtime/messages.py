"""What the processes say to each other: tagged structs, carried by `ipc`.

Rules kept here:
- `core` is the server; `camera`, `link` and the command line connect to it.
- No message holds an image, a depth map, a landmark or an embedding: frames pass in shared memory (`ring`),
  and nothing of a face goes to `link` at all.
- Every message is bounded: `ipc` refuses anything above its size limit before decoding.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.camera import FULL_LEVELS, CameraInfo, Cause, Emitter, Intrinsics

# a sealed COSE_Sign1; far above any of ours
# An authorization takes some 600 bytes. The one limit of every way an envelope goes.
MAX_ENVELOPE_BYTES = 4096

Envelope = Annotated[bytes, Meta(max_length=MAX_ENVELOPE_BYTES)]
ConsentRecord = Annotated[bytes, Meta(max_length=4096)]
Stage = Literal["prompt", "evidence", "decision", "authorization", "outcome", "notice"]
PEOPLE_PER_PAGE = 100
MAX_TEXT = 500
Text = Annotated[str, Meta(max_length=MAX_TEXT)]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True, kw_only=True):
    """A tagged message."""


# core -> camera
class StartCapture(_Message, frozen=True):
    """Emit and capture from now on. `capture` numbers it, so that late frames of an earlier one are known as such.

    `levels`: what the lights do in the cycles to come, over and over: for the camera, and for their board where the
    camera process owns it.
    """

    capture: Annotated[int, Meta(ge=1)]
    levels: Annotated[tuple[Emitter, ...], Meta(min_length=1, max_length=64)] = FULL_LEVELS


class StopCapture(_Message, frozen=True):
    """Stop emitting and capturing."""


# camera -> core
class CameraHello(_Message, frozen=True):
    """The camera process is up, with this camera."""

    info: CameraInfo
    intrinsics: Intrinsics


class FrameReady(_Message, frozen=True):
    """A FrameSet of capture number `capture` lies in ring slot `slot` under `sequence`; its scalars are here."""

    capture: Annotated[int, Meta(ge=1)]
    slot: Annotated[int, Meta(ge=0, le=63)]
    sequence: int
    timestamp_ns: int
    intrinsics: Intrinsics
    emitter: Emitter
    exposure_us: int
    gain: float


class CameraFault(_Message, frozen=True):
    """The camera is lost; the process goes on trying to open it again."""

    cause: Cause
    detail: Text


class CameraAdvice(_Message, frozen=True):
    """What to mend before it becomes a fault; empty when it is mended."""

    text: Text


# core -> link
class Publish(_Message, frozen=True):
    """Send a sealed envelope to the backend."""

    kind: Literal["authorization", "decline"]
    envelope: Envelope


# link -> core
class Delivered(_Message, frozen=True):
    """A sealed envelope came from the backend."""

    kind: Literal["intent", "receipt"]
    envelope: Envelope


class LinkState(_Message, frozen=True):
    """Whether the broker is connected, and if not, why."""

    connected: bool
    detail: Text = ""


# command line -> core
class Subscribe(_Message, frozen=True):
    """Send me every `Event` from now on."""


class Tap(_Message, frozen=True):
    """Somebody touched the terminal's screen while it showed `scene`: go on. Another scene's tap confirms nothing."""

    scene: int


class Cancel(_Message, frozen=True):
    """Somebody touched Cancel on the terminal's screen while it showed `scene`."""

    scene: int


class Status(_Message, frozen=True):
    """How is the terminal? Answered by `StatusReply`."""


class Enrol(_Message, frozen=True):
    """Enrol whoever stands in front, under this consent and mandate. Answered by events, then `Done`."""

    consent: ConsentRecord
    mandate: Envelope


class ListPeople(_Message, frozen=True):
    """Answered by `People`: at most `PEOPLE_PER_PAGE`, from number `start` on."""

    start: Annotated[int, Meta(ge=0)] = 0


class Erase(_Message, frozen=True):
    """Withdraw consent: erase this person. Answered by `Erased` or `Failed`."""

    person: Annotated[str, Meta(max_length=64)]


# core -> command line
class Event(_Message, frozen=True):
    """Something a person at the terminal would see, or a rig engineer wants to. Never biometrics.

    `scene` counts sessions; `stage` is one of prompt, evidence, decision, authorization, outcome, notice.
    `reason` is a code, `text` the plain sentence, both as a customer may know them (`core.reasons.told`).
    `why`, the precise code, and `values` (gates, cues, scores) in profiles whose `tell_values` is set, else empty.
    `at_ns`: since when a movement is asked for, monotonic; None of all else.
    """

    scene: int
    stage: Stage
    reason: Text
    text: Text
    why: Text = ""
    values: dict[str, float] = {}
    at_ns: int | None = None


class StatusReply(_Message, frozen=True):
    """State of the terminal.

    `scene` and `shown`: what the screen shows now, for `Tap`; nothing while idle. `camera`: its serial, or, where no
    frame can come, `cause: detail`, the cause one of `drivers.camera.FAULTS`. `advice`: what to mend of it before that.
    `tries`: what failed attempts in which nobody was claimed have come to; empty while they have come to nothing.
    """

    terminal: str
    profile: str
    session: str
    scene: int
    shown: Text
    camera: str
    advice: Text
    tries: Text
    link: str
    people: int
    outbox_waiting: int
    uptime_s: float


class Person(_Message, frozen=True):
    """Metadata of an enrolled person; never the template. `tries`: what failed attempts in their name have come to."""

    person: str
    purpose: str
    enrolled_at: int
    retain_until: int
    payer: str
    tries: Text = ""


class People(_Message, frozen=True):
    """A page of who is enrolled, and how many there are in all."""

    people: list[Person]
    total: int


class Erased(_Message, frozen=True):
    """`receipt` is the signed erasure receipt, a COSE_Sign1 envelope."""

    receipt: Envelope


class Done(_Message, frozen=True):
    """A request ended well; `detail` is its result (for Enrol the person's id)."""

    detail: Text


class Failed(_Message, frozen=True):
    """A request was refused."""

    reason: Text
    text: Text


ToCamera = StartCapture | StopCapture
FromCamera = CameraHello | FrameReady | CameraFault | CameraAdvice
ToLink = Publish
FromLink = Delivered | LinkState
ToCore = Subscribe | Tap | Cancel | Status | Enrol | ListPeople | Erase
FromCore = Event | StatusReply | People | Erased | Done | Failed
