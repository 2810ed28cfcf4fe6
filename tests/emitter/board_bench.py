"""A simulated board on a bench: its time, its line, and everything it lit."""

import zlib
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.camera import Emitter
from drivers.emitter.frames import Parser, encode
from drivers.emitter.limits import sign
from drivers.emitter.messages import (
    MAX_CHUNK,
    PROTOCOL,
    Answer,
    Arm,
    Begin,
    Chunk,
    Commit,
    Hello,
    Message,
    Refusal,
    Request,
    Status,
    Upload,
    Welcome,
    from_frame,
    pack_levels,
    to_frame,
)  # fmt: skip
from drivers.emitter.patterns import by_exposure
from hil.emitter.demo import DEMO_SERIAL, demo_table
from hil.emitter.simulated_board import SimulatedBoard

KEY, STRANGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RULE_US = 200_000
TABLE = demo_table()
TABLES = {
    "good": sign(TABLE, KEY),
    "another board's": sign(demo_table("SIM-0002"), KEY),
    "a stranger's": sign(TABLE, STRANGER),
    "tampered": bytes([*sign(TABLE, KEY)[:20], 0xFF, *sign(TABLE, KEY)[21:]]),
    "unsigned": sign(TABLE, KEY)[:-64] + bytes(64),
}
FULL = pack_levels(by_exposure([Emitter(1.0, 1.0)], "dark-flood-dots"))


class Bench:
    """A board, its time, and everything that was said on its line and lit by it."""

    def __init__(self) -> None:
        sessions = iter(range(1000, 10**9))
        self.board = SimulatedBoard(DEMO_SERIAL, KEY.public_key(), draw=lambda: next(sessions))
        self.now_us = 5_000_000
        self.session = self.stamp = 0
        self.stamps = [0]
        self.sequence = 0
        self.sent: list[bytes] = []
        # (since, until, flood mA, dots mA)
        self.lit: list[tuple[int, int, int, int]] = []
        self.high_since_us: int | None = None
        self._parser = Parser()

    def send(self, message: Request) -> Answer | Welcome | None:
        self.sequence = (self.sequence + 1) & 0xFFFF
        wire = encode(to_frame(message, self.sequence))
        self.sent.append(wire)
        answers = [heard for heard in self.hear(wire) if isinstance(heard, (Answer, Welcome))]
        return answers[-1] if answers else None

    def ask(self, message: Request) -> Refusal:
        answer = self.send(message)
        assert isinstance(answer, Answer)
        return answer.refusal

    def hear(self, data: bytes = b"") -> list[Message]:
        messages = [from_frame(frame) for frame in self._parser.feed(self.board.receive(self.now_us, data))]
        for message in messages:
            if isinstance(message, (Answer, Welcome, Status)):
                self.stamp = message.stamp
                self.stamps.append(message.stamp)
            if isinstance(message, Welcome):
                self.session = message.session
        return messages

    def wait(self, us: int) -> list[Message]:
        """Let time pass, calling the board whenever its timer is due."""
        heard, until_us = [], self.now_us + us
        while self.now_us < until_us:
            before_us, light = self.now_us, self.board.light_ma
            self.now_us = min(max(self.board.due_us, self.now_us), until_us)
            if any(light) and self.now_us > before_us:
                self.lit.append((before_us, self.now_us, *light))
            heard += self.hear()
        return heard

    def strobe(self, high: bool) -> None:
        self.board.strobe(self.now_us, high)
        self.high_since_us = self.now_us if high else None

    def expose(self, us: int) -> None:
        self.strobe(True)
        self.wait(us)
        self.strobe(False)

    def upload(self, what: Upload, data: bytes) -> Refusal:
        refusal = self.ask(Begin(self.session, what, len(data), zlib.crc32(data)))
        for start in range(0, len(data), MAX_CHUNK):
            if not refusal:
                refusal = self.ask(Chunk(self.session, start, data[start : start + MAX_CHUNK]))
        return refusal or self.ask(Commit(self.session))

    def open(self, table: str = "good", programme: bytes = FULL) -> Refusal:
        assert isinstance(self.send(Hello(PROTOCOL)), Welcome)
        return self.upload(Upload.TABLE, TABLES[table]) or self.upload(Upload.PROGRAMME, programme)

    def arm(self) -> Refusal:
        return self.ask(Arm(self.session, self.stamp))

    def shine(self) -> None:
        """Open, arm, and stand in a long flood exposure."""
        assert not self.open()
        assert not self.arm()
        self.expose(1000)
        self.strobe(True)
        assert self.board.light_ma == (TABLE.flood.drive_ma, 0)


def duty(lit: Iterable[tuple[int, int, int, int]], source: int, since_us: int, until_us: int) -> tuple[int, int]:
    """(microseconds, milliampere-microseconds) of a source within a window."""
    spans = [(max(a, since_us), min(b, until_us), ma[source]) for a, b, *ma in lit if ma[source]]
    return sum(b - a for a, b, _ in spans if b > a), sum((b - a) * ma for a, b, ma in spans if b > a)
