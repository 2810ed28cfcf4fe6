"""What is said on the emitter's line: fixed little binary messages.

Rules kept here:
- Every message has one layout and one length (`Chunk` alone ends in 1 to `MAX_CHUNK` bytes); anything else is a
  `MessageError`. Numbers are little-endian and unsigned.
- A **session** is a random number the board draws at `Hello`; what may light anything carries it.
- A **stamp** is the board's own clock, milliseconds modulo 2^32. A heartbeat gives the newest stamp back, and the
  light may burn until that stamp plus the heartbeat time-out: however long a heartbeat lay in a buffer, and however
  often it is repeated, it holds the light not a millisecond longer.
- A programme has one entry per exposure (`patterns`). Levels travel as thousandths of the table's drive current: more
  than the table allows cannot be said. An entry lights one source at most: limits are measured for one at a time.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from drivers.camera import Emitter
from drivers.emitter.frames import MAX_BODY, Frame
from drivers.emitter.patterns import MAX_LEVELS

PROTOCOL = 2
FULL_LEVEL = 1000
STATUS_MS = 20
_LEVEL = struct.Struct("<HH")


class MessageError(ValueError):
    """A frame that is whole and still says nothing this protocol knows."""


class Upload(IntEnum):
    """What a `Begin` announces."""

    TABLE = 0
    PROGRAMME = 1


class State(IntEnum):
    """IDLE: dark. ARMED: the strobe line lights the programme. TRIPPED: dark, for the cause named beside it."""

    IDLE = 0
    ARMED = 1
    TRIPPED = 2


class Trip(IntEnum):
    """Why the board went dark by itself."""

    NONE = 0
    HEARTBEAT = 1
    OVER_CURRENT = 2
    DUTY = 3
    STUCK_ON = 4
    STUCK_OFF = 5


class Refusal(IntEnum):
    """Why the board did not do as asked."""

    NONE = 0
    PROTOCOL = 1  # another version of it
    SESSION = 2  # not the session of the last Hello
    STATE = 3  # armed, tripped, or nothing was begun
    STALE = 4  # the stamp is older than the heartbeat time-out
    UPLOAD = 5  # a chunk out of its place, or the whole has another size or checksum
    SIGNATURE = 6  # the table is not signed by the calibration key, is another board's, or impossible
    RANGE = 7  # a level that is not possible, both sources at once, or no or too many levels
    TABLE = 8  # no table, no light
    PROGRAMME = 9  # no programme, no light


class Hello(NamedTuple):
    """Go dark, forget the programme, begin a session. Answered by `Welcome`."""

    protocol: int


class Begin(NamedTuple):
    """An upload follows, of `size` bytes with CRC-32 `checksum`."""

    session: int
    what: Upload
    size: int
    checksum: int


class Chunk(NamedTuple):
    """The next bytes of the upload, at `offset`."""

    session: int
    offset: int
    data: bytes


class Commit(NamedTuple):
    """The upload is whole: check it and take it."""

    session: int


class Arm(NamedTuple):
    """Let the strobe line light the programme, from its beginning. Counts as a heartbeat."""

    session: int
    stamp: int


class Beat(NamedTuple):
    """Heartbeat. Never answered."""

    session: int
    stamp: int


class Disarm(NamedTuple):
    """Go dark, forget the programme and the trip. Needs no session: darkness is always allowed."""


class Welcome(NamedTuple):
    """Answers `Hello`. `serial` is ASCII, padded with zeros."""

    protocol: int
    session: int
    stamp: int
    serial: bytes
    major: int
    minor: int
    patch: int


class Answer(NamedTuple):
    """Answers every other request, under the request's own sequence number."""

    refusal: Refusal
    state: State
    trip: Trip
    stamp: int


class Status(NamedTuple):
    """Sent unasked every `STATUS_MS` while armed, and for a second after a trip. `exposures`: strobes since `Arm`."""

    state: State
    trip: Trip
    stamp: int
    exposures: int


Request: TypeAlias = Hello | Begin | Chunk | Commit | Arm | Beat | Disarm
Reply: TypeAlias = Welcome | Answer | Status
Message: TypeAlias = Request | Reply

_LAYOUTS: dict[int, tuple[Any, struct.Struct]] = {
    0x01: (Hello, struct.Struct("<B")),
    0x02: (Begin, struct.Struct("<IBHI")),
    0x03: (Chunk, struct.Struct("<IH")),
    0x04: (Commit, struct.Struct("<I")),
    0x05: (Arm, struct.Struct("<II")),
    0x06: (Beat, struct.Struct("<II")),
    0x07: (Disarm, struct.Struct("<")),
    0x81: (Welcome, struct.Struct("<BII16sBBB")),
    0x82: (Answer, struct.Struct("<BBBI")),
    0x83: (Status, struct.Struct("<BBII")),
}
_KINDS = {kind_type: kind for kind, (kind_type, _) in _LAYOUTS.items()}
_ENUMS = {"what": Upload, "state": State, "trip": Trip, "refusal": Refusal}
MAX_CHUNK = MAX_BODY - _LAYOUTS[0x03][1].size
MAX_UPLOAD = MAX_LEVELS * _LEVEL.size


def to_frame(message: Message, sequence: int) -> Frame:
    """Pack a message. Raises ValueError where a field does not fit."""
    kind = _KINDS[type(message)]
    layout = _LAYOUTS[kind][1]
    try:
        if isinstance(message, Chunk):
            return Frame(kind, sequence, layout.pack(message.session, message.offset) + message.data)
        return Frame(kind, sequence, layout.pack(*message))
    except struct.error as error:
        raise ValueError(f"{message}: {error}") from error


def from_frame(frame: Frame) -> Message:
    """Unpack a frame. Raises MessageError."""
    if frame.kind not in _LAYOUTS:
        raise MessageError(f"unknown kind {frame.kind:#04x}")
    kind_type, layout = _LAYOUTS[frame.kind]
    excess = len(frame.body) - layout.size
    if excess != 0 and not (kind_type is Chunk and 0 < excess <= MAX_CHUNK):
        raise MessageError(f"{kind_type.__name__} of {len(frame.body)} bytes")
    fields = list(layout.unpack_from(frame.body))
    if kind_type is Chunk:
        fields.append(frame.body[layout.size :])
    try:
        fields = [_ENUMS.get(name, _same)(value) for name, value in zip(kind_type._fields, fields, strict=True)]
    except (ValueError, TypeError) as error:
        raise MessageError(f"{kind_type.__name__}: {error}") from error
    message: Message = kind_type(*fields)
    return message


def _same(value: Any) -> Any:
    return value


def pack_levels(levels: Sequence[Emitter]) -> bytes:
    """The programme of `levels`, one entry per exposure. Raises ValueError: none, too many, beyond 0..1, both lit."""
    if not 0 < len(levels) <= MAX_LEVELS:
        raise ValueError(f"{len(levels)} levels; a programme has 1 to {MAX_LEVELS}")
    for level in levels:
        if not (0 <= level.flood <= 1 and 0 <= level.dots <= 1):
            raise ValueError(f"{level}: levels are 0..1")
        if level.flood and level.dots:
            raise ValueError(f"{level}: no exposure is lit by both")
    return b"".join(_LEVEL.pack(round(one.flood * FULL_LEVEL), round(one.dots * FULL_LEVEL)) for one in levels)


def unpack_levels(raw: bytes) -> tuple[Emitter, ...]:
    """What `pack_levels` packed. Raises MessageError."""
    if not raw or len(raw) % _LEVEL.size or len(raw) > MAX_UPLOAD:
        raise MessageError(f"a programme of {len(raw)} bytes")
    pairs = list(_LEVEL.iter_unpack(raw))
    if any(level > FULL_LEVEL for pair in pairs for level in pair):
        raise MessageError("a level above 1")
    if any(flood and dots for flood, dots in pairs):
        raise MessageError("both sources at once")
    return tuple(Emitter(flood / FULL_LEVEL, dots / FULL_LEVEL) for flood, dots in pairs)
