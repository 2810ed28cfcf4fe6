"""The host's end of the line to the flood and dot board.

Rules kept here:
- The board decides about light; this end asks, beats, and says which named fault it was.
- A request is sent again, under the same sequence number, until it is answered or `TRIES` are up: the board does
  each once. Nothing waits longer than `TRIES * REPLY_S` for one answer.
- `beat` never waits. It goes out `COPIES` times: the copies are harmless (see `messages`) and a noisy line
  seldom spoils all of them.
- Whatever goes wrong ends dark: `close` asks for darkness, and where it is not heard the heartbeat has ended.
"""

import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.camera import Cause, Emitter
from drivers.emitter import limits
from drivers.emitter.errors import EmitterError
from drivers.emitter.frames import Parser, encode
from drivers.emitter.limits import LimitsError, LimitTable
from drivers.emitter.line import Line
from drivers.emitter.messages import (
    MAX_CHUNK,
    PROTOCOL,
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
    Request,
    State,
    Status,
    Trip,
    Upload,
    Welcome,
    from_frame,
    pack_levels,
    to_frame,
)

REPLY_S = 0.06
TRIES = 10
COPIES = 3
# armed and not a word for so long: the line is cut. The board has gone dark before that.
SILENT_S = 0.25

_TRIPS: dict[Trip, tuple[Cause, str]] = {
    Trip.HEARTBEAT: ("emitter_heartbeat", "heard no heartbeat in time and went dark"),
    Trip.OVER_CURRENT: ("emitter_current", "measured too much current and went dark"),
    Trip.DUTY: ("emitter_duty", "reached its duty limit and went dark"),
    Trip.STUCK_ON: ("emitter_stuck_on", "measured current where it had commanded none"),
    Trip.STUCK_OFF: ("emitter_stuck_off", "measured no current where it had commanded some"),
}
_ABOUT_LIMITS = (Refusal.SIGNATURE, Refusal.TABLE)


class EmitterBoard:
    """An open board with its limit table loaded, dark until armed. One owner, one thread.

    Attributes:
        serial: of the board.
        firmware: of the board.
        limits: the table it keeps to.
        retries: requests that had to be sent again.
    """

    def __init__(
        self, port: str, table: bytes, key: ec.EllipticCurvePublicKey, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open `port`, greet the board, and hand it the signed limit `table`.

        Raises:
            EmitterError: cause `emitter_line`; nobody answers, or in another protocol.
            LimitsError: the table is not signed by `key`, or not this board's.
        """
        self._clock, self._port = clock, port
        self._parser = Parser()
        # a reply to an earlier owner's request must not be taken for one to ours
        self._sequence = secrets.randbelow(0x10000)
        self._session = self._stamp = 0
        self._heard = 0.0
        self.retries = 0
        self._line = Line(port)
        try:
            self.serial, self.firmware = self._greet()
            self.limits: LimitTable = limits.verify(table, key, self.serial)
            self._upload(Upload.TABLE, table)
        except EmitterError:
            self._line.close()
            raise

    @property
    def discarded(self) -> int:
        """Pieces of noise between frames that were dropped."""
        return self._parser.discarded

    def load(self, levels: Sequence[Emitter]) -> None:
        """Hand over what the coming exposures shine, over and over; dark still. Raises EmitterError, ValueError."""
        self._upload(Upload.PROGRAMME, pack_levels(levels))

    def arm(self) -> None:
        """Let the sensor's strobe light the programme from its beginning; beat from now on. Raises EmitterError."""
        answer = self._ask(Arm(self._session, self._stamp))
        for _ in range(TRIES):
            if answer.refusal is not Refusal.STALE:
                break
            # noise held the question up; the answer brought a fresh stamp
            answer = self._ask(Arm(self._session, self._stamp))
        self._insist(answer, "arm")
        self._heard = self._clock()

    def beat(self) -> None:
        """Beat once and hear what the board reports. Never waits; call it at least every 40 ms while armed.

        Raises:
            EmitterError: the board is dark, for the cause named; `disarm` before it is armed again.
        """
        for message in self._receive():
            if isinstance(message, Status):
                self._heard = self._clock()
                self._judge(message)
        if self._clock() - self._heard > SILENT_S:
            raise EmitterError(f"{self._name}: silent for {SILENT_S} s; see its cable")
        self._line.write(self._wire(Beat(self._session, self._stamp)) * COPIES)

    def disarm(self) -> None:
        """Go dark and forget programme and trip. Raises EmitterError: not heard, or not obeyed (`emitter_stuck_on`)."""
        answer = self._ask(Disarm())
        if answer.state is not State.IDLE:
            raise EmitterError(f"{self._name}: does not disarm; no heartbeat follows", cause="emitter_stuck_on")

    def close(self) -> None:
        """Go dark and give the port back. Idempotent; never raises."""
        if self._line.is_open:
            with suppress(EmitterError):
                self.disarm()
        self.abandon()

    def abandon(self) -> None:
        """Give the port back without a word: a board that hears no heartbeat goes dark by itself."""
        self._line.close()

    @property
    def _name(self) -> str:
        return f"emitter at {self._port}"

    def _greet(self) -> tuple[str, str]:
        reply = self._request(Hello(PROTOCOL))
        if not isinstance(reply, Welcome):
            raise EmitterError(f"{self._name}: speaks another protocol than {PROTOCOL}; update its firmware")
        self._session = reply.session
        serial = reply.serial.rstrip(b"\0").decode("ascii", "replace")
        return serial, f"{reply.major}.{reply.minor}.{reply.patch}"

    def _upload(self, what: Upload, data: bytes) -> None:
        self._insist(self._ask(Begin(self._session, what, len(data), zlib.crc32(data))), what.name.lower())
        for start in range(0, len(data), MAX_CHUNK):
            chunk = Chunk(self._session, start, data[start : start + MAX_CHUNK])
            self._insist(self._ask(chunk), what.name.lower())
        self._insist(self._ask(Commit(self._session)), what.name.lower())

    def _ask(self, request: Request) -> Answer:
        reply = self._request(request)
        assert isinstance(reply, Answer)
        return reply

    def _request(self, request: Request) -> Welcome | Answer:
        wire = self._wire(request)
        expected = (Welcome, Answer) if isinstance(request, Hello) else (Answer,)
        for attempt in range(TRIES):
            self.retries += attempt > 0
            self._line.write(wire)
            until = self._clock() + REPLY_S
            while (left_s := until - self._clock()) > 0:
                self._line.wait(left_s)
                for message in self._receive(answering=self._sequence):
                    if isinstance(message, expected):
                        return message
        raise EmitterError(f"{self._name}: no answer to {type(request).__name__}; see its cable and `emitter.port`")

    def _wire(self, message: Message) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return encode(to_frame(message, self._sequence))

    def _receive(self, answering: int | None = None) -> list[Welcome | Answer | Status]:
        """What has come, oldest first: every status, and answers under the sequence number asked for."""
        heard: list[Welcome | Answer | Status] = []
        for frame in self._parser.feed(self._line.read()):
            with suppress(MessageError):
                message = from_frame(frame)
                if isinstance(message, Status) or (
                    isinstance(message, (Welcome, Answer)) and frame.sequence == answering
                ):
                    self._stamp = message.stamp
                    heard.append(message)
        return heard

    def _judge(self, status: Status) -> None:
        if status.state is State.TRIPPED and status.trip in _TRIPS:
            cause, what = _TRIPS[status.trip]
            raise EmitterError(f"{self._name}: {what}", cause=cause)
        if status.state is not State.ARMED:
            raise EmitterError(f"{self._name}: no longer armed; see its supply")

    def _insist(self, answer: Answer, what: str) -> None:
        if answer.refusal in _ABOUT_LIMITS:
            raise LimitsError(f"{self._name}: refuses {what}: {answer.refusal.name.lower()}")
        if answer.refusal is not Refusal.NONE:
            raise EmitterError(f"{self._name}: refuses {what}: {answer.refusal.name.lower()}")
