"""The board's state machine: bytes, strobe edges and time in; bytes and light out. No clock, no port, no thread.

The reference for whoever writes the microcontroller's firmware (docs/emitter.md); simulated, with faults at will.

Rules kept here:
- Light needs all of: a table signed for this board, a programme, `Arm` with a fresh stamp, a heartbeat in time, the
  strobe line high, and something left of the pulse and of the window's budget. Whatever ends, it is dark.
- `due_us` is when the board must be called again, as its timer would; it is dark at that very time.
- Each request is done once: the same sequence number again brings the same answer again.
"""

import secrets
import zlib
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.camera import Emitter
from drivers.emitter.errors import EmitterError
from drivers.emitter.frames import Frame, Parser, encode
from drivers.emitter.limits import FILE_BYTES, LimitTable, verify
from drivers.emitter.messages import (
    MAX_UPLOAD,
    PROTOCOL,
    STATUS_MS,
    Answer,
    Arm,
    Beat,
    Begin,
    Chunk,
    Commit,
    Disarm,
    Hello,
    Message,
    MessageError,
    Refusal,
    State,
    Status,
    Trip,
    Upload,
    Welcome,
    from_frame,
    to_frame,
    unpack_levels,
)
from hil.emitter.budget import Budget
from hil.emitter.faults import Faults
from hil.emitter.light import Light

FIRMWARE = (1, 0, 0)
# how long a trip is reported after it happened
REPORT_US = 1_000_000
NEVER_US = 1 << 62
_STAMPS = 1 << 32


class Stop(NamedTuple):
    """The board went dark by itself.

    Attributes:
        trip: why.
        after_us: since the last heartbeat that counted, the over-current's onset, or the limit was reached.
        late_us: how much of it the simulation was called later than its timer was due.
        at_us: when, by the board's clock.
    """

    trip: Trip
    after_us: int
    late_us: int
    at_us: int


class _Upload(NamedTuple):
    what: Upload
    size: int
    checksum: int
    data: bytes


class SimulatedBoard:
    """A board of its own serial number, with the calibration key burnt in.

    Attributes:
        state: IDLE, ARMED or TRIPPED.
        trip: why it is TRIPPED.
        stops: how each trip went, by the board's own clock.
        exposures: strobes since it was armed; the board knows nothing else of the camera.
        faults: what is broken.
    """

    def __init__(
        self, serial: str, key: ec.EllipticCurvePublicKey, draw: Callable[[], int] = lambda: secrets.randbits(32)
    ) -> None:
        """`draw` makes session numbers, 0 to 2^32-1."""
        self._serial, self._key, self._draw = serial, key, draw
        self.state, self.trip = State.IDLE, Trip.NONE
        self.stops: list[Stop] = []
        self.exposures = 0
        self.faults = Faults()
        self._now_us = 0
        self._parser = Parser()
        self._out = bytearray()
        self._session: int | None = None
        self._table: LimitTable | None = None
        self._levels: tuple[Emitter, ...] = ()
        self._upload: _Upload | None = None
        self._answered: tuple[Frame, bytes] | None = None
        self._status_number = 0
        self._status_us = self._report_until_us = NEVER_US
        self._dark_at_us = self._beaten_us = 0
        self._high = False
        self._flood, self._dots = Budget(), Budget()
        self._pulse: _Pulse | None = None
        self._over_since_us: int | None = None

    @property
    def light_ma(self) -> tuple[int, int]:
        """(flood, dots): what the board drives now, milliamperes. What is stuck does not ask it: see `light`."""
        if self._pulse is None:
            return 0, 0
        return (self._pulse.ma, 0) if self._pulse.flood else (0, self._pulse.ma)

    @property
    def light(self) -> Light:
        """What the sensor sees."""
        # the sources' common supply is on only while armed: beyond that not even a shorted transistor shines
        armed = self.state is State.ARMED
        return Light(armed, self._levels, self.faults.stuck if armed else None, self.faults.dots_scale)

    @property
    def due_us(self) -> int:
        """When `receive` must be called next even if nothing comes."""
        due = min(self._status_us, self._dark_at_us if self.state is State.ARMED else NEVER_US)
        if self._pulse is not None:
            due = min(due, self._now_us if self._over_current() else self._pulse.end_us)
        return max(due, self._now_us)

    def receive(self, now_us: int, data: bytes = b"") -> bytes:
        """Let time come to `now_us`, take `data` from the line, and return what goes out on it."""
        self._advance(now_us)
        for frame in self._parser.feed(data):
            self._take(frame)
        out, self._out = bytes(self._out), bytearray()
        return out

    def strobe(self, now_us: int, high: bool) -> None:
        """The sensor's strobe line: high while it exposes. Each exposure takes the programme's next entry."""
        self._advance(now_us)
        if high == self._high:
            return
        self._high = high
        if not high:
            self._end_pulse()
        elif self.state is State.ARMED:
            level = self._levels[self.exposures % len(self._levels)]
            self.exposures += 1
            if level.flood or level.dots:
                self._begin_pulse(level)

    def _advance(self, now_us: int) -> None:
        if now_us < self._now_us:
            raise ValueError("time does not go back")
        late_us = max(0, now_us - self.due_us)
        self._now_us = now_us
        self._sense(late_us)
        if self._pulse is not None and now_us >= self._pulse.end_us:
            limited, end_us = self._pulse.limited, self._pulse.end_us
            self._end_pulse()
            if limited:
                self._go_dark(Trip.DUTY, now_us - end_us, late_us)
        if self.state is State.ARMED and now_us >= self._dark_at_us:
            self._go_dark(Trip.HEARTBEAT, now_us - self._beaten_us, now_us - self._dark_at_us)
        if now_us >= self._status_us:
            self._report()

    def _sense(self, late_us: int) -> None:
        """Look at the current that flows."""
        if self._over_current():
            since_us = self._now_us if self._over_since_us is None else self._over_since_us
            self._go_dark(Trip.OVER_CURRENT, self._now_us - since_us, late_us)
        elif self.state is State.ARMED and not self.faults.blind:
            if self.faults.stuck == "on":
                self._go_dark(Trip.STUCK_ON, 0, late_us)
            elif self.faults.stuck == "off" and self._pulse is not None:
                self._go_dark(Trip.STUCK_OFF, 0, late_us)

    def _over_current(self) -> bool:
        if self._pulse is None or not self.faults.over_current:
            return False
        if self._over_since_us is None:
            self._over_since_us = self._now_us
        return True

    def _begin_pulse(self, level: Emitter) -> None:
        assert self._table is not None
        flood = level.flood > 0
        source = self._table.flood if flood else self._table.dots
        ma = int((level.flood if flood else level.dots) * source.drive_ma)
        if not ma:
            return
        left_us = (self._flood if flood else self._dots).left_us(self._now_us, ma, source, self._table)
        limited = left_us < source.max_pulse_us
        self._pulse = _Pulse(flood, ma, self._now_us, self._now_us + min(left_us, source.max_pulse_us), limited)
        self._advance(self._now_us)

    def _end_pulse(self) -> None:
        if self._pulse is None:
            return
        lit_us = self._now_us - self._pulse.begun_us
        (self._flood if self._pulse.flood else self._dots).spend(self._now_us, lit_us, lit_us * self._pulse.ma)
        self._pulse = self._over_since_us = None

    def _go_dark(self, trip: Trip, after_us: int, late_us: int) -> None:
        self._end_pulse()
        self.state, self.trip = State.TRIPPED, trip
        self.stops.append(Stop(trip, after_us, late_us, self._now_us))
        self._report_until_us = self._now_us + REPORT_US
        self._report()

    def _report(self) -> None:
        self._status_number = (self._status_number + 1) & 0xFFFF
        self._say(Status(self.state, self.trip, self._stamp(), self.exposures), self._status_number)
        self._status_us = self._now_us + STATUS_MS * 1000
        if self.state is not State.ARMED and self._status_us > self._report_until_us:
            self._status_us = NEVER_US

    def _stamp(self) -> int:
        return self._now_us // 1000 % _STAMPS

    def _say(self, message: Message, number: int) -> bytes:
        wire = encode(to_frame(message, number))
        self._out += wire
        return wire

    def _take(self, frame: Frame) -> None:
        try:
            message = from_frame(frame)
        except MessageError:
            return
        if isinstance(message, Beat):
            self._beat(message)
        elif self._answered is not None and frame == self._answered[0]:
            self._out += self._answered[1]
        elif isinstance(message, Hello) and message.protocol == PROTOCOL:
            self._rest()
            self._session = self._draw()
            welcome = Welcome(PROTOCOL, self._session, self._stamp(), self._serial.encode(), *FIRMWARE)
            self._answered = frame, self._say(welcome, frame.sequence)
        elif not isinstance(message, (Welcome, Answer, Status)):
            refusal = self._do(message)
            answer = Answer(refusal, self.state, self.trip, self._stamp())
            self._answered = frame, self._say(answer, frame.sequence)

    def _do(self, request: Hello | Begin | Chunk | Commit | Arm | Disarm) -> Refusal:
        if isinstance(request, Hello):
            return Refusal.PROTOCOL
        if isinstance(request, Disarm):
            if not self.faults.deaf:
                self._rest()
            return Refusal.NONE
        if request.session != self._session:
            return Refusal.SESSION
        if self.state is not State.IDLE:
            return Refusal.STATE
        if isinstance(request, Arm):
            return self._arm(request)
        if isinstance(request, Begin):
            self._upload = _Upload(request.what, request.size, request.checksum, b"")
            longest = FILE_BYTES if request.what is Upload.TABLE else MAX_UPLOAD
            return Refusal.NONE if request.size <= longest else self._forget_upload()
        if self._upload is None:
            return Refusal.STATE
        if isinstance(request, Commit):
            return self._commit(self._upload)
        have = self._upload.data
        if request.offset != len(have) or len(have) + len(request.data) > self._upload.size:
            return self._forget_upload()
        self._upload = self._upload._replace(data=have + request.data)
        return Refusal.NONE

    def _forget_upload(self) -> Refusal:
        self._upload = None
        return Refusal.UPLOAD

    def _commit(self, upload: _Upload) -> Refusal:
        self._upload = None
        if len(upload.data) != upload.size or zlib.crc32(upload.data) != upload.checksum:
            return Refusal.UPLOAD
        try:
            if upload.what is Upload.TABLE:
                self._table = None
                self._table = verify(upload.data, self._key, self._serial)
            else:
                self._levels = unpack_levels(upload.data)
        except EmitterError:
            return Refusal.SIGNATURE
        except MessageError:
            return Refusal.RANGE
        return Refusal.NONE

    def _arm(self, request: Arm) -> Refusal:
        if self._table is None:
            return Refusal.TABLE
        if not self._levels:
            return Refusal.PROGRAMME
        age_ms = (self._stamp() - request.stamp) % _STAMPS
        if age_ms >= self._table.heartbeat_ms:
            return Refusal.STALE
        self.state, self.exposures = State.ARMED, 0
        self._dark_at_us = 0
        self._live(age_ms)
        self._status_us = self._now_us + STATUS_MS * 1000
        return Refusal.NONE

    def _beat(self, beat: Beat) -> None:
        if self.state is not State.ARMED or beat.session != self._session or self._table is None:
            return
        age_ms = (self._stamp() - beat.stamp) % _STAMPS
        if age_ms < self._table.heartbeat_ms:
            self._live(age_ms)

    def _live(self, age_ms: int) -> None:
        assert self._table is not None
        until_us = (self._now_us // 1000 - age_ms + self._table.heartbeat_ms) * 1000
        if until_us > self._dark_at_us:
            self._dark_at_us, self._beaten_us = until_us, self._now_us

    def _rest(self) -> None:
        self._end_pulse()
        self.state, self.trip, self._levels, self._upload = State.IDLE, Trip.NONE, (), None
        self._status_us = NEVER_US


class _Pulse(NamedTuple):
    """Light that burns: which source, its current, since when, until when, and whether the window's budget ends it."""

    flood: bool
    ma: int
    begun_us: int
    end_us: int
    limited: bool
