"""Whatever is said and done to the board: an oracle that knows only what was said and when bounds its light."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from drivers.emitter.messages import Arm, Beat, Disarm, State, Upload
from hil.emitter.faults import Faults
from tests.emitter.board_bench import RULE_US, TABLE, TABLES, Bench, duty


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

    @rule(entries=st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), min_size=1, max_size=256))
    def possible_programme(self, entries: list[tuple[bool, int]]) -> None:
        self.programme([level for flood, one in entries for level in ((one, 0) if flood else (0, one))])

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
                    lit_us, charge = duty(bench.lit, source, begin, begin + window_us)
                    assert lit_us * 1000 <= limit.max_duty_permille * window_us
                    assert charge <= limit.average_ma * window_us


TestAnyHost = AnyHost.TestCase
TestAnyHost.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
