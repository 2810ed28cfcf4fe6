"""The board's promises, one by one, where time is exact."""

import zlib

import pytest

from drivers.camera import Emitter
from drivers.emitter.frames import encode
from drivers.emitter.messages import (
    PROTOCOL,
    Arm,
    Beat,
    Begin,
    Chunk,
    Commit,
    Disarm,
    Hello,
    Refusal,
    State,
    Status,
    Trip,
    Upload,
    pack_levels,
    to_frame,
)  # fmt: skip
from drivers.emitter.patterns import by_exposure
from hil.emitter.faults import Faults
from tests.emitter.board_bench import FULL, RULE_US, TABLE, TABLES, Bench, duty


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
        (FULL * 86, Refusal.UPLOAD),
        (b"\xe8\x03\x01\x00", Refusal.RANGE),
        (FULL[:3], Refusal.RANGE),
        (b"", Refusal.RANGE),
    ],
    ids=["above 1", "far above 1", "longer than 256", "both at once", "half a level", "empty"],
)
def test_an_impossible_programme_is_refused(bench: Bench, programme: bytes, refusal: Refusal) -> None:
    assert bench.open(programme=programme) is refusal
    assert bench.arm() is Refusal.PROGRAMME


def test_an_upload_out_of_order_is_refused(bench: Bench) -> None:
    bench.open()
    data = FULL * 14
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
    data = FULL * 14
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
        lit_us = duty(bench.lit, 0, 0, bench.now_us)[0]
        if bench.board.trip is Trip.DUTY:
            break
    assert bench.board.trip is Trip.DUTY
    assert lit_us <= TABLE.flood.max_duty_permille * TABLE.window_ms
    bench.open()
    bench.arm()
    bench.expose(1000)
    bench.strobe(True)
    assert not any(bench.board.light_ma)


def test_each_exposure_takes_the_next_entry_over_and_over(bench: Bench) -> None:
    levels = by_exposure([Emitter(1.0, 0.5), Emitter(0.25, 0.0)], "dark-flood-dots")
    assert not bench.open(programme=pack_levels(levels))
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
    assert bench.board.exposures == 9


def test_a_source_that_is_never_commanded_is_not_missed(bench: Bench) -> None:
    """A board beside a RealSense has no dots."""
    bench.board.faults = Faults(stuck="off")
    assert not bench.open(programme=pack_levels([Emitter(0.0, 0.0)]))
    assert not bench.arm()
    for _ in range(3):
        bench.expose(1000)
    assert bench.board.state is State.ARMED


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
