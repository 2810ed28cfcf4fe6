"""The board's state machine against an oracle that knows only what was said to it and when."""

import zlib
from collections.abc import Iterable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from drivers.camera import Emitter
from drivers.emitter.frames import Parser, encode
from drivers.emitter.limits import sign
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
from hil.emitter.demo import DEMO_SERIAL, demo_table
from hil.emitter.faults import Faults
from hil.emitter.simulated_board import SimulatedBoard

RULE_US = 200_000
KEY, STRANGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
TABLE = demo_table()
TABLES = {
    "good": sign(TABLE, KEY),
    "another board's": sign(demo_table("SIM-0002"), KEY),
    "a stranger's": sign(TABLE, STRANGER),
    "tampered": bytes([*sign(TABLE, KEY)[:20], 0xFF, *sign(TABLE, KEY)[21:]]),
    "unsigned": sign(TABLE, KEY)[:-64] + bytes(64),
}
FULL = pack_levels([Emitter(1.0, 1.0)])


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


def _duty(lit: Iterable[tuple[int, int, int, int]], source: int, since_us: int, until_us: int) -> tuple[int, int]:
    """(microseconds, milliampere-microseconds) of a source within a window."""
    spans = [(max(a, since_us), min(b, until_us), ma[source]) for a, b, *ma in lit if ma[source]]
    return sum(b - a for a, b, _ in spans if b > a), sum((b - a) * ma for a, b, ma in spans if b > a)


class AnyHost(RuleBasedStateMachine):
    """Says and does anything. The light obeys the rules whatever it is."""

    @initialize()
    def plug_in(self) -> None:
        self.bench = Bench()
        self.table_signed = False
        # until when what was said allows light, by the stamps given back
        self.until_us = 0
        self.heard_us = 0

    @rule(table=st.sampled_from(sorted(TABLES)))
    def open(self, table: str) -> None:
        assert bool(self.bench.open(table)) is (table != "good")
        self.table_signed = table == "good"

    @rule()
    def open_well_and_arm(self) -> None:
        self.open("good")
        self.arm(0)

    @rule(back=st.integers(0, 30))
    def arm(self, back: int) -> None:
        self._with_stamp(back, Arm)

    @rule(back=st.integers(0, 30), session=st.sampled_from(["mine", "another's"]))
    def beat(self, back: int, session: str) -> None:
        self._with_stamp(back, Beat, 0 if session == "mine" else 1)

    def _with_stamp(self, back: int, kind: type[Arm] | type[Beat], wrong: int = 0) -> None:
        bench = self.bench
        stamp = bench.stamps[max(0, len(bench.stamps) - 1 - back)]
        if not wrong:
            self.until_us = max(self.until_us, (stamp + TABLE.heartbeat_ms) * 1000)
            self.heard_us = bench.now_us
        bench.send(kind(bench.session + wrong, stamp))

    @rule(back=st.integers(1, 40))
    def replay(self, back: int) -> None:
        if self.bench.sent:
            # nothing is allowed by it: `until_us` stays
            self.bench.hear(self.bench.sent[max(0, len(self.bench.sent) - back)])

    @rule(noise=st.binary(max_size=200))
    def noise(self, noise: bytes) -> None:
        self.bench.hear(noise)

    @rule(levels=st.lists(st.integers(0, 65535), max_size=140))
    def programme(self, levels: list[int]) -> None:
        raw = b"".join(level.to_bytes(2, "little") for level in levels)
        self.bench.upload(Upload.PROGRAMME, raw)

    @rule()
    def disarm(self) -> None:
        self.bench.send(Disarm())

    @rule(high=st.booleans())
    def strobe(self, high: bool) -> None:
        self.bench.strobe(high)

    @rule(us=st.integers(0, 300_000))
    def wait(self, us: int) -> None:
        self.bench.wait(us)

    @rule(us=st.integers(10, 30_000), gap_us=st.integers(10, 30_000), count=st.integers(1, 30))
    def capture(self, us: int, gap_us: int, count: int) -> None:
        for _ in range(count):
            self.bench.expose(us)
            self.bench.wait(gap_us)
            self.beat(0, "mine")

    @rule(owner=st.sampled_from(["silent", "stuck", "another's"]), us=st.integers(500, 6000))
    def lose_the_owner(self, owner: str, us: int) -> None:
        """The sensor goes on; nobody beats, or somebody repeats the last beat, or beats for another session."""
        bench = self.bench
        last = bench.sent[-1] if bench.sent else b""
        for _ in range(40):
            bench.expose(us)
            bench.wait(10_000 - us)
            if owner == "stuck":
                bench.hear(last)
            elif owner == "another's":
                bench.send(Beat(bench.session + 1, bench.stamp))

    @rule(over_current=st.booleans(), stuck=st.sampled_from([None, "on", "off"]), deaf=st.booleans())
    def break_it(self, over_current: bool, stuck: str | None, deaf: bool) -> None:
        self.bench.board.faults = Faults(over_current=over_current, stuck=stuck, deaf=deaf)  # type: ignore[arg-type]
        self.bench.hear()

    @invariant()
    def light_obeys(self) -> None:
        bench = self.bench
        if any(bench.board.light_ma):
            assert self.table_signed
            assert bench.board.state is State.ARMED
            assert bench.high_since_us is not None
            assert not bench.board.faults.over_current
        last_us = max((until for _, until, _, _ in bench.lit), default=0)
        assert last_us <= self.until_us
        assert last_us <= self.heard_us + RULE_US
        for source, limit in enumerate((TABLE.flood, TABLE.dots)):
            for since, until, *ma in bench.lit[-20:]:
                assert ma[source] <= limit.drive_ma
                assert not ma[source] or until - since <= limit.max_pulse_us
                window_us = TABLE.window_ms * 1000
                for begin in (since, until - window_us):
                    lit_us, charge = _duty(bench.lit, source, begin, begin + window_us)
                    assert lit_us * 1000 <= limit.max_duty_permille * window_us
                    assert charge <= limit.average_ma * window_us


TestAnyHost = AnyHost.TestCase
TestAnyHost.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_lost_heartbeat_ends_the_light_in_time(bench: Bench) -> None:
    bench.shine()
    begun_us = bench.now_us
    for _ in range(100):
        bench.strobe(False)
        bench.strobe(True)
        bench.wait(4000)
    assert bench.lit[-1][1] <= begun_us + TABLE.heartbeat_ms * 1000 < begun_us + RULE_US
    assert bench.board.trip is Trip.HEARTBEAT
    assert bench.board.stops[-1].late_us == 0


def test_heartbeats_hold_the_light(bench: Bench) -> None:
    bench.shine()
    for _ in range(200):
        bench.wait(40_000)
        bench.send(Beat(bench.session, bench.stamp))
    assert bench.board.state is State.ARMED


def test_a_replayed_heartbeat_does_not_hold_the_light(bench: Bench) -> None:
    bench.shine()
    bench.send(Beat(bench.session, bench.stamp))
    recorded = bench.sent[-1]
    for _ in range(30):
        bench.wait(10_000)
        bench.hear(recorded)
    assert bench.board.trip is Trip.HEARTBEAT
    assert bench.board.stops[-1].after_us <= RULE_US


def test_heartbeats_that_lay_in_a_buffer_do_not_hold_the_light(bench: Bench) -> None:
    bench.shine()
    waiting = []
    for _ in range(4):
        bench.wait(40_000)
        waiting.append(encode(to_frame(Beat(bench.session, bench.stamps[0]), 0)))
    bench.hear(b"".join(waiting))
    bench.wait(40_000)
    assert bench.board.trip is Trip.HEARTBEAT


def test_another_sessions_heartbeats_do_not_hold_the_light(bench: Bench) -> None:
    bench.shine()
    for _ in range(30):
        bench.wait(10_000)
        bench.send(Beat(bench.session - 1, bench.stamp))
    assert bench.board.trip is Trip.HEARTBEAT


def test_a_replayed_session_does_not_light(bench: Bench) -> None:
    bench.shine()
    recorded = list(bench.sent)
    bench.send(Disarm())
    bench.wait(1_000_000)
    bench.strobe(False)
    for wire in recorded:
        bench.hear(wire)
        bench.expose(1000)
        assert not any(bench.board.light_ma)
    assert bench.board.state is State.IDLE


@pytest.mark.parametrize("table", sorted(set(TABLES) - {"good"}))
def test_a_table_that_is_not_signed_for_this_board_lights_nothing(bench: Bench, table: str) -> None:
    assert bench.open(table) is Refusal.SIGNATURE
    bench.upload(Upload.PROGRAMME, FULL)
    assert bench.arm() is Refusal.TABLE


def test_a_refused_table_takes_the_good_one_away(bench: Bench) -> None:
    assert not bench.open()
    assert bench.upload(Upload.TABLE, TABLES["tampered"])
    assert bench.arm() is Refusal.TABLE


@pytest.mark.parametrize(
    ("programme", "refusal"),
    [
        (b"\xe9\x03\x00\x00", Refusal.RANGE),  # 1.001
        (b"\x00\x00\xff\xff", Refusal.RANGE),
        (FULL * 65, Refusal.UPLOAD),
        (FULL[:3], Refusal.RANGE),
        (b"", Refusal.RANGE),
    ],
    ids=["above 1", "far above 1", "longer than 64", "half a level", "empty"],
)
def test_an_impossible_programme_is_refused(bench: Bench, programme: bytes, refusal: Refusal) -> None:
    assert bench.open(programme=programme) is refusal
    assert bench.arm() is Refusal.PROGRAMME


def test_an_upload_out_of_order_is_refused(bench: Bench) -> None:
    bench.open()
    data = FULL * 40
    begin = Begin(bench.session, Upload.PROGRAMME, len(data), zlib.crc32(data))
    assert not bench.ask(begin)
    assert bench.ask(Chunk(bench.session, 4, data[:100])) is Refusal.UPLOAD
    assert bench.ask(Commit(bench.session)) is Refusal.STATE
    bench.ask(begin)
    bench.ask(Chunk(bench.session, 0, data[:100]))
    assert bench.ask(Chunk(bench.session, 100, data[:100])) is Refusal.UPLOAD  # more than was announced
    bench.ask(begin)
    assert bench.ask(Commit(bench.session)) is Refusal.UPLOAD  # less
    bench.ask(begin._replace(checksum=0))
    for start in range(0, len(data), 100):
        bench.ask(Chunk(bench.session, start, data[start : start + 100]))
    assert bench.ask(Commit(bench.session)) is Refusal.UPLOAD


def test_a_request_heard_twice_is_done_once(bench: Bench) -> None:
    bench.open()
    data = FULL * 40
    bench.ask(Begin(bench.session, Upload.PROGRAMME, len(data), zlib.crc32(data)))
    for start in range(0, len(data), 100):
        first = bench.send(Chunk(bench.session, start, data[start : start + 100]))
        assert bench.hear(bench.sent[-1]) == [first]
    assert not bench.ask(Commit(bench.session))


def test_a_stale_stamp_does_not_arm(bench: Bench) -> None:
    bench.open()
    bench.wait(TABLE.heartbeat_ms * 1000 + 1000)
    assert bench.arm() is Refusal.STALE
    assert not bench.arm()


def test_another_protocol_is_not_spoken(bench: Bench) -> None:
    assert bench.ask(Hello(PROTOCOL + 1)) is Refusal.PROTOCOL
    assert bench.ask(Arm(0, bench.stamp)) is Refusal.SESSION


def test_an_armed_board_takes_no_programme(bench: Bench) -> None:
    bench.shine()
    assert bench.upload(Upload.PROGRAMME, FULL) is Refusal.STATE


def test_a_trip_is_reported_until_it_is_heard_and_bars_arming(bench: Bench) -> None:
    bench.shine()
    bench.board.faults = Faults(over_current=True)
    reports = [heard for heard in bench.wait(2_000_000) if isinstance(heard, Status)]
    assert {(report.state, report.trip) for report in reports} == {(State.TRIPPED, Trip.OVER_CURRENT)}
    assert 40 <= len(reports) <= 60
    assert bench.arm() is Refusal.STATE
    bench.board.faults = Faults()
    assert not bench.ask(Disarm())
    assert not bench.upload(Upload.PROGRAMME, FULL)
    assert not bench.arm()


def test_over_current_ends_the_light_at_once(bench: Bench) -> None:
    bench.shine()
    begun_us = bench.now_us
    bench.board.faults = Faults(over_current=True)
    bench.wait(1000)
    assert not bench.lit or bench.lit[-1][1] <= begun_us
    assert bench.board.trip is Trip.OVER_CURRENT


def test_a_strobe_held_high_is_one_pulse_and_no_more(bench: Bench) -> None:
    bench.shine()
    begun_us = bench.now_us
    bench.wait(100_000)
    assert bench.lit == [(begun_us, begun_us + TABLE.flood.max_pulse_us, TABLE.flood.drive_ma, 0)]
    assert bench.board.state is State.ARMED


def test_beginning_anew_gives_no_duty_back(bench: Bench) -> None:
    lit_us = 0
    for _ in range(20):
        bench.shine()
        bench.wait(5000)
        bench.strobe(False)
        for _ in range(20):
            bench.expose(5000)
        lit_us = _duty(bench.lit, 0, 0, bench.now_us)[0]
        if bench.board.trip is Trip.DUTY:
            break
    assert bench.board.trip is Trip.DUTY
    assert lit_us <= TABLE.flood.max_duty_permille * TABLE.window_ms
    bench.open()
    bench.arm()
    bench.expose(1000)
    bench.strobe(True)
    assert not any(bench.board.light_ma)


def test_each_cycle_is_dark_flood_dots_at_its_own_levels(bench: Bench) -> None:
    assert not bench.open(programme=pack_levels([Emitter(1.0, 0.5), Emitter(0.25, 0.0)]))
    assert not bench.arm()
    seen = []
    for _ in range(9):
        bench.strobe(True)
        seen.append(bench.board.light_ma)
        bench.strobe(False)
        bench.wait(1000)
    flood, dots = TABLE.flood.drive_ma, TABLE.dots.drive_ma
    first, second = [(0, 0), (flood, 0), (0, dots // 2)], [(0, 0), (flood // 4, 0), (0, 0)]
    assert seen == first + second + first


@pytest.mark.parametrize(("stuck", "trip"), [("on", Trip.STUCK_ON), ("off", Trip.STUCK_OFF)])
def test_a_stuck_driver_is_measured(bench: Bench, stuck: str, trip: Trip) -> None:
    bench.shine()
    bench.board.faults = Faults(stuck=stuck)  # type: ignore[arg-type]
    bench.hear()
    assert bench.board.trip is trip
    assert bench.board.light.stuck is None


def test_time_does_not_go_back(bench: Bench) -> None:
    bench.wait(1000)
    with pytest.raises(ValueError, match="back"):
        bench.board.receive(0)
