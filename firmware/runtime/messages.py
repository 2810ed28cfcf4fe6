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
ConsentForm = Annotated[bytes, Meta(max_length=4096)]
PersonId = Annotated[str, Meta(max_length=64)]
StaffName = Annotated[str, Meta(max_length=32, pattern=r"^[a-z][a-z0-9._-]*\Z")]
Passphrase = Annotated[str, Meta(max_length=200)]
Role = Literal["operator", "technician", "auditor"]
Purpose = Literal["payment", "door"]
Stage = Literal["prompt", "evidence", "decision", "authorization", "outcome", "notice"]
# what an envelope is to whoever carries it: the last part of its topic
Inbound = Literal["intent", "cancellation", "receipt", "beacon", "key-set", "certificate"]
Outbound = Literal["authorization", "decline", "beacon-request", "status", "certificate-request"]
PEOPLE_PER_PAGE = 100
# below the 64 KiB that one message may have
MAX_EXPORT_BYTES = 60_000
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

    kind: Outbound
    envelope: Envelope


class LastWill(_Message, frozen=True):
    """What the broker is to publish as our status when it loses us: a status, signed ahead. First of all to `link`."""

    envelope: Envelope


class TimeFloor(_Message, frozen=True):
    """A time that has surely passed, whole seconds since 1970: certificates that ended before it are refused."""

    at: int


class Certificate(_Message, frozen=True):
    """The certificate that was asked for, X.509 in DER, its sender verified."""

    certificate: Annotated[bytes, Meta(max_length=2048)]


# link -> core
class Delivered(_Message, frozen=True):
    """A sealed envelope came from the backend."""

    kind: Inbound
    envelope: Envelope


class LinkState(_Message, frozen=True):
    """Whether the broker is connected, and if not, why; `tls_until`: when the certificate used ends, 0 without one."""

    connected: bool
    detail: Text = ""
    tls_until: int = 0


class WantCertificate(_Message, frozen=True):
    """`link` has a new TLS key: a PKCS#10 request for it, DER, which the device identity is to stand for."""

    request: Annotated[bytes, Meta(min_length=64, max_length=512)]


# command line -> core
class Subscribe(_Message, frozen=True):
    """Send me every `Event` from now on."""


class Tap(_Message, frozen=True):
    """Somebody touched the terminal's screen while it showed `scene`: go on. Another scene's tap confirms nothing."""

    scene: int


class Cancel(_Message, frozen=True):
    """Somebody touched Cancel on the terminal's screen while it showed `scene`."""

    scene: int


class Pin(_Message, frozen=True):
    """Somebody typed a PIN on the terminal's screen while it showed `scene` and asked for one."""

    scene: int
    digits: Annotated[str, Meta(pattern=r"^[0-9]{4,12}\Z")]

    def __repr__(self) -> str:
        """Without the digits: what is printed is kept."""
        return f"Pin(scene={self.scene})"


class Status(_Message, frozen=True):
    """How is the terminal? Answered by `StatusReply`."""


class Login(_Message, frozen=True):
    """From now on this connection speaks for `name`. Answered by `Done` with their role, or `Failed`."""

    name: StaffName
    passphrase: Passphrase


class FirstTechnician(_Message, frozen=True):
    """Make the first technician, while there is none."""

    name: StaffName
    passphrase: Passphrase


class AddStaff(_Message, frozen=True):
    """Add somebody to the staff."""

    name: StaffName
    role: Role
    passphrase: Passphrase


class RemoveStaff(_Message, frozen=True):
    """Remove somebody from the staff."""

    name: StaffName


class ListStaff(_Message, frozen=True):
    """Answered by `Staff`."""


class RecordConsent(_Message, frozen=True):
    """Put what was agreed to on record, signed by the terminal. `form` is TOML. Answered by `ConsentOnRecord`."""

    form: ConsentForm


class Enrol(_Message, frozen=True):
    """Enrol whoever stands in front, under this consent record and mandate. Answered by events, then `Done`.

    `guardian` is the mandate of a minor's guardian, empty where there is none.
    """

    consent: Envelope
    mandate: Envelope
    guardian: Envelope = b""


class SetPin(_Message, frozen=True):
    """Let this person choose a PIN on the screen, under a mandate for it. Answered by events, then `Done`."""

    person: PersonId
    mandate: Envelope


class ListPeople(_Message, frozen=True):
    """Answered by `People`: at most `PEOPLE_PER_PAGE`, from number `start` on."""

    start: Annotated[int, Meta(ge=0)] = 0


class Erase(_Message, frozen=True):
    """Withdraw consent: erase this person. Answered by `Erased` or `Failed`."""

    person: PersonId


class Withdraw(_Message, frozen=True):
    """Withdraw one purpose. Answered by `Withdrawn`; where it was the last, all is erased: by `Erased`."""

    person: PersonId
    purpose: Purpose


class Renew(_Message, frozen=True):
    """Go on under a new consent record, for no more purposes than before; `guardian` as in `Enrol`."""

    person: PersonId
    consent: Envelope
    guardian: Envelope = b""


class Export(_Message, frozen=True):
    """Everything that is kept of this person but the template. Answered by `Exported`."""

    person: PersonId


class Dispute(_Message, frozen=True):
    """Somebody was wrongly taken for this person: more is asked of a match from now on."""

    person: PersonId


class Rotate(_Message, frozen=True):
    """Exchange the device identity for the one that waits, the key that seals the gallery, or a purpose's transform."""

    what: Literal["identity", "sealing", "payment", "door"]


class Backup(_Message, frozen=True):
    """Write a copy of the gallery into the state folder. Answered by `Done` with its path."""


class AskCertificate(_Message, frozen=True):
    """What `link` asks a certificate with, to be carried by hand. Answered by `CertificateAsked`."""


class GiveCertificate(_Message, frozen=True):
    """The backend's grant, carried by hand. Answered by `Done` once it is on its way to `link`."""

    grant: Envelope


class AuditCheckpoint(_Message, frozen=True):
    """Sign where the audit log stands. Answered by `SignedCheckpoint`."""


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

    `scene` and `shown`: what the screen shows now, for `Tap`; nothing while idle. `typing`: whether it asks for a PIN,
    for `Pin`. `camera`: its serial, or, where no frame can come, `cause: detail`, the cause one of
    `drivers.camera.FAULTS`. `advice`: what to mend of it before that.
    `tries`: what failed attempts in which nobody was claimed have come to; empty while they have come to nothing.
    `clock`: why there is no time, and so nothing is paid by face; empty while there is. `offline`: why nothing may be
    paid while the link is down; empty where it may. `put_back`: the outbox was put back from a copy once, and so
    nothing may.
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
    clock: Text = ""
    offline: Text = ""
    typing: bool = False
    put_back: bool = False


class Person(_Message, frozen=True):
    """Metadata of an enrolled person; never the template.

    `retain_until`: when they are erased by themselves, as things stand. `tries`: what failed attempts in their name
    have come to. `asked`: why they must be asked anew, a code, or empty. `disputes`: wrong matches that were reported.
    `pin`: whether they have set one and may use it, in plain words; empty where they have none.
    """

    person: str
    purposes: tuple[str, ...]
    enrolled_at: int
    retain_until: int
    payer: str
    tries: Text = ""
    asked: Text = ""
    disputes: int = 0
    pin: Text = ""


class People(_Message, frozen=True):
    """A page of who is enrolled, and how many there are in all."""

    people: list[Person]
    total: int


class Erased(_Message, frozen=True):
    """`receipt` is the signed erasure receipt, a COSE_Sign1 envelope."""

    receipt: Envelope


class Withdrawn(_Message, frozen=True):
    """`record` is the consent record that is left, signed by the terminal: it no longer names the purpose."""

    record: Envelope


class ConsentOnRecord(_Message, frozen=True):
    """The consent record, a COSE_Sign1 envelope: what a mandate binds by its SHA-256."""

    envelope: Envelope


class Exported(_Message, frozen=True):
    """The document, JSON."""

    document: Annotated[bytes, Meta(max_length=MAX_EXPORT_BYTES)]


class StaffMember(_Message, frozen=True):
    """One of the staff."""

    name: StaffName
    role: Role


class Staff(_Message, frozen=True):
    """All of the staff, by name."""

    members: list[StaffMember]


class CertificateAsked(_Message, frozen=True):
    """The request, signed by the device identity, a COSE_Sign1 envelope."""

    request: Envelope


class SignedCheckpoint(_Message, frozen=True):
    """The signed checkpoint: kept elsewhere, it shows later whether records were cut off."""

    envelope: Envelope


class Done(_Message, frozen=True):
    """A request ended well; `detail` is its result (for Enrol the person's id)."""

    detail: Text


class Failed(_Message, frozen=True):
    """A request was refused."""

    reason: Text
    text: Text


ToCamera = StartCapture | StopCapture
FromCamera = CameraHello | FrameReady | CameraFault | CameraAdvice
ToLink = Publish | LastWill | TimeFloor | Certificate
FromLink = Delivered | LinkState | WantCertificate
Unnamed = Subscribe | Tap | Cancel | Pin | Status | Login | FirstTechnician
Named = (
    RecordConsent | Enrol | SetPin | ListPeople | Erase | Withdraw | Renew | Export | Dispute
    | Rotate | Backup | AddStaff | RemoveStaff | ListStaff | AuditCheckpoint | AskCertificate | GiveCertificate
)  # fmt: skip
ToCore = Unnamed | Named
FromCore = (
    Event | StatusReply | People | Erased | Withdrawn | ConsentOnRecord | Exported | Staff | SignedCheckpoint
    | CertificateAsked | Done | Failed
)  # fmt: skip
