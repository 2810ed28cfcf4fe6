"""How often somebody may try: each test is one way to try more often than that."""

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firmware.core import attempts as module
from firmware.core.attempts import DELAY_S, FREE, NOBODY, STOP, Attempts, AttemptsError

ADA, BOB = b"a" * 16, b"b" * 16


class Clock:
    """Seconds since some start, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(tmp_path: Path, clock: Clock) -> Iterator[Attempts]:
    with closing(Attempts(tmp_path / "attempts.db", clock)) as opened:
        yield opened


def fail(attempts: Attempts, who: bytes, times: int, clock: Clock | None = None) -> None:
    for _ in range(times):
        assert attempts.admit(who) == ""
        attempts.failed(who)
        if clock is not None:
            clock.now_s += DELAY_S


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_limits_are_within_what_nist_allows_without_certified_detection() -> None:
    """SP 800-63B-4, 3.2.3: 5 attempts, then at least 30 s, 50 in all."""
    assert FREE <= 5
    assert DELAY_S >= 30
    assert STOP <= 50


def test_the_sixth_try_in_a_row_has_to_wait(attempts: Attempts, clock: Clock) -> None:
    fail(attempts, ADA, FREE)
    assert attempts.admit(ADA) == "wait"
    clock.now_s += DELAY_S - 0.1
    assert attempts.admit(ADA) == "wait"
    clock.now_s += 0.1
    fail(attempts, ADA, 1)
    assert attempts.admit(ADA) == "wait", "each further one, too"


def test_the_delay_is_counted_from_the_end_of_the_failed_attempt(attempts: Attempts, clock: Clock) -> None:
    fail(attempts, ADA, FREE)
    clock.now_s += 20
    attempts.delay(ADA)
    clock.now_s += 20
    assert attempts.admit(ADA) == "wait"


def test_who_fails_fifty_times_in_a_row_is_stopped_for_good(attempts: Attempts, clock: Clock) -> None:
    fail(attempts, ADA, STOP, clock)
    assert attempts.admit(ADA) == "stopped"
    clock.now_s += 1e9
    assert attempts.admit(ADA) == "stopped"
    assert attempts.admit(BOB) == ""


def test_success_begins_anew(attempts: Attempts, clock: Clock) -> None:
    fail(attempts, ADA, FREE - 1)
    attempts.confirmed(ADA)
    fail(attempts, ADA, FREE - 1)
    assert attempts.admit(ADA) == ""


def test_failures_of_one_do_not_slow_another(attempts: Attempts) -> None:
    fail(attempts, ADA, FREE)
    assert attempts.admit(BOB) == ""


def test_a_stopped_person_begins_anew_under_a_new_mandate_only(
    tmp_path: Path, attempts: Attempts, clock: Clock
) -> None:
    fail(attempts, ADA, STOP, clock)
    attempts.keep([ADA, BOB])
    assert attempts.admit(ADA) == "stopped"
    attempts.close()
    with closing(Attempts(tmp_path / "attempts.db", clock)) as again:
        assert again.admit(ADA) == "stopped"
        again.keep([BOB])
        assert again.admit(BOB) == ""


def test_spoofs_that_claim_nobody_slow_the_terminal_and_never_stop_it(attempts: Attempts, clock: Clock) -> None:
    fail(attempts, NOBODY, FREE)
    assert attempts.admit(NOBODY) == "wait"
    assert attempts.admit(ADA) == "wait"
    clock.now_s += DELAY_S
    fail(attempts, NOBODY, STOP, clock)
    assert attempts.admit(NOBODY) == ""
    assert attempts.admit(ADA) == ""


def test_a_confirmed_customer_does_not_end_the_streak_of_those_who_claim_nobody(attempts: Attempts) -> None:
    fail(attempts, NOBODY, FREE - 1)
    attempts.confirmed(ADA)
    fail(attempts, NOBODY, 1)
    assert attempts.admit(NOBODY) == "wait"


def test_kill_between_failure_and_outcome_does_not_give_the_try_back(
    tmp_path: Path, attempts: Attempts, clock: Clock
) -> None:
    fail(attempts, ADA, FREE)
    # what kill -9 leaves: the files as they are, nothing closed
    (tmp_path / "after").mkdir()
    for name in ("attempts.db", "attempts.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "after" / name)
    with closing(Attempts(tmp_path / "after" / "attempts.db", clock)) as again:
        assert again.standing(ADA).failed == FREE


def test_switching_it_off_and_on_does_not_shorten_the_delay(tmp_path: Path, attempts: Attempts, clock: Clock) -> None:
    fail(attempts, ADA, FREE)
    attempts.close()
    for uptime_s in (0.0, 5.0, 1e6):  # whatever the monotonic clock says after a reboot
        clock.now_s = uptime_s
        with closing(Attempts(tmp_path / "attempts.db", clock)) as again:
            assert again.admit(ADA) == "wait"
            clock.now_s += DELAY_S - 1
            assert again.admit(ADA) == "wait"
            clock.now_s += 1
            assert again.admit(ADA) == "", "nor lengthen it beyond the delay"


def test_setting_the_clock_changes_nothing(attempts: Attempts, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(attempts, ADA, FREE)
    for wall_s in (0.0, 4e9):
        monkeypatch.setattr("time.time", lambda wall_s=wall_s: wall_s)
        assert attempts.admit(ADA) == "wait"
    clock.now_s += DELAY_S
    assert attempts.admit(ADA) == ""


def test_a_full_disk_gives_no_free_tries(tmp_path: Path, attempts: Attempts, clock: Clock) -> None:
    with full_disk():
        with pytest.raises(AttemptsError, match="disk space"):
            attempts.failed(ADA)
        with pytest.raises(AttemptsError):
            attempts.admit(ADA)
        with pytest.raises(AttemptsError):
            attempts.admit(BOB)
    assert attempts.admit(ADA) == ""
    attempts.close()
    with closing(Attempts(tmp_path / "attempts.db", clock)) as again:
        assert again.standing(ADA).failed == 1


def test_the_table_is_bounded_and_refuses_when_it_is_full(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SCHEMA", module._SCHEMA.replace("100000", "2"))
    with closing(Attempts(tmp_path / "small.db", clock)) as attempts:
        fail(attempts, ADA, 2)
        fail(attempts, BOB, 1)
        with pytest.raises(AttemptsError, match="full"):
            attempts.failed(b"c" * 16)
        with pytest.raises(AttemptsError, match="full"):
            attempts.admit(ADA)
        attempts.keep([BOB])
        assert attempts.admit(BOB) == ""


@pytest.mark.parametrize("damage", [b"no database", b""])
def test_a_damaged_or_foreign_file_is_refused_and_an_empty_one_is_new(
    tmp_path: Path, clock: Clock, damage: bytes
) -> None:
    path = tmp_path / "attempts.db"
    path.write_bytes(damage * 500)
    if damage:
        with pytest.raises(AttemptsError, match="attempts"):
            Attempts(path, clock)
    else:
        Attempts(path, clock).close()
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 9")
        with pytest.raises(AttemptsError, match="layout 9"):
            Attempts(path, clock)


def test_two_processes_cannot_count_side_by_side(tmp_path: Path, attempts: Attempts, clock: Clock) -> None:
    fail(attempts, ADA, 1)
    with pytest.raises(AttemptsError, match="locked"):
        Attempts(tmp_path / "attempts.db", clock)


class TryingMachine(RuleBasedStateMachine):
    """Two people and nobody, tries, confirmations, time, restarts: nobody ever gets a try too many."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.clock = Clock()
        self.attempts = Attempts(Path(self.folder.name) / "attempts.db", self.clock)
        self.failures = dict.fromkeys((ADA, BOB, NOBODY), 0)
        self.earliest_s = dict.fromkeys(self.failures, 0.0)

    @rule(seconds=st.sampled_from([0.0, 1.0, DELAY_S / 2, DELAY_S, 1e7]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(who=st.sampled_from([ADA, BOB, NOBODY]), good=st.booleans())
    def a_try(self, who: bytes, good: bool) -> None:
        may = all(self.failures[one] < FREE or self.clock.now_s >= self.earliest_s[one] for one in (who, NOBODY)) and (
            who == NOBODY or self.failures[who] < STOP
        )
        assert (self.attempts.admit(who) == "") is may
        if not may:
            return
        if good:
            self.attempts.confirmed(who)
            self.failures[who] = 0
        else:
            self.attempts.failed(who)
            self.failures[who] += 1
            self.earliest_s[who] = self.clock.now_s + DELAY_S

    @rule(who=st.sampled_from([ADA, BOB]))
    def many_fail(self, who: bytes) -> None:
        for _ in range(12):
            self.clock.now_s += DELAY_S
            self.a_try(who, False)

    @rule(uptime_s=st.floats(0, 1e6))
    def it_is_switched_off_and_on(self, uptime_s: float) -> None:
        self.attempts.close()
        self.clock.now_s = uptime_s
        self.attempts = Attempts(Path(self.folder.name) / "attempts.db", self.clock)
        self.earliest_s = dict.fromkeys(self.failures, uptime_s + DELAY_S)

    @precondition(lambda self: self.failures[ADA] or self.failures[BOB])
    @rule(who=st.sampled_from([ADA, BOB]))
    def enrolled_anew(self, who: bytes) -> None:
        """As far as this store knows, the same bytes are another mandate once they were dropped."""
        self.attempts.keep({ADA, BOB} - {who})
        self.failures[who] = 0

    @invariant()
    def what_it_says_is_what_was_done(self) -> None:
        for who, failures in self.failures.items():
            standing = self.attempts.standing(who)
            assert standing.failed == min(failures, STOP)
            assert 0 <= standing.wait_s <= DELAY_S
            assert standing.stopped is (who != NOBODY and failures >= STOP)

    def teardown(self) -> None:
        self.attempts.close()
        self.folder.cleanup()


TestTryingMachine = TryingMachine.TestCase
TestTryingMachine.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
