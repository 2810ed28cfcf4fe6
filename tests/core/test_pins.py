"""A PIN: what is kept of it, how often it may be wrong, who lets somebody set one; with a real gallery and log."""

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware.audit.errors import AuditError
from firmware.core.consents import check_papers
from firmware.core.parts import Parts
from firmware.core.pins import TRIES, PinError, Pins, Verifier, weak
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import Gallery, GalleryError
from firmware.payment.errors import PaymentError
from firmware.runtime.config import load_profile
from firmware.runtime.messages import Pin, Purpose
from tests.core.office import NETWORKS, Office

RIGHT, WRONG = "271828", "314159"
NUMBERS = itertools.count(1)
REFUSED = (AuditError, ConsentError, GalleryError, PaymentError)


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with closing(Office(tmp_path_factory.mktemp("office"))) as office:
        yield office


@pytest.fixture
def office(counter: Office) -> Office:
    """One for all, to which new people come."""
    counter.now += 60
    return counter


def pins(office: Office) -> Pins:
    return Pins(office.parts)


def enrolled(office: Office, purposes: tuple[Purpose, ...] = ("payment",)) -> str:
    number = next(NUMBERS)
    return office.enrol(office.papers(purposes, f"payer-{number}"), seed=number)


def mandate(office: Office, person: str, payer: str = "", purpose: str = "pin") -> bytes:
    them = office.enrolled(person)
    return office.mandate(them.consent, payer or them.payer, purpose)


def set_to(office: Office, person: str, digits: str = RIGHT) -> None:
    pins(office).put(pins(office).papers(person, mandate(office, person)), Verifier.of(digits, 1024), "op")


def typed(office: Office, person: str, digits: str) -> bool:
    return asyncio.run(pins(office).check(person, digits))


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(REFUSED) as error:
        act()
    return str(error.value.code)  # type: ignore[attr-defined]


def kept(office: Office) -> bytes:
    return b"".join(path.read_bytes() for path in office.folder.rglob("*") if path.is_file())


# -- what is kept


def test_the_right_one_is_known_and_a_wrong_one_is_not(office: Office) -> None:
    person = enrolled(office)
    assert pins(office).left(person) is None
    set_to(office, person)
    assert typed(office, person, RIGHT)
    assert not typed(office, person, WRONG)
    assert not typed(office, person, RIGHT[:-1])
    assert not typed(office, person, RIGHT + "0")
    assert typed(office, person, RIGHT)


def test_it_is_nowhere_in_the_clear_and_in_no_record(office: Office) -> None:
    person = enrolled(office)
    digits, wrong = "907133846512", "480021377650"
    set_to(office, person, digits)
    assert not typed(office, person, wrong)
    assert typed(office, person, digits)
    raw = kept(office)
    for secret in (digits, wrong):
        assert secret.encode() not in raw
        assert secret not in str(office.log())
    verifier = msgspec.msgpack.decode(office.gallery.secret(person, "payment") or b"", type=Verifier)
    assert verifier.digest not in raw


def test_message_that_carries_it_does_not_show_it() -> None:
    assert "4711" not in f"{Pin(scene=1, digits='4711')!r} {Pin(scene=1, digits='4711')}"


def test_it_dies_with_the_person(office: Office) -> None:
    person = enrolled(office)
    set_to(office, person)
    office.rights.erase(person, "op")
    assert refusal(lambda: pins(office).left(person)) == "unknown_person"
    again = enrolled(office)
    assert pins(office).left(again) is None


def test_it_goes_with_the_consent_to_payments(office: Office) -> None:
    person = enrolled(office, ("payment", "door"))
    set_to(office, person)
    office.rights.withdraw(person, "payment", "op")
    assert pins(office).left(person) is None


def test_it_stays_where_the_consent_is_renewed(office: Office) -> None:
    person = enrolled(office)
    set_to(office, person)
    office.now += 60
    office.rights.renew(person, office.consent(), b"", "op")
    assert typed(office, person, RIGHT)


@given(st.from_regex(r"[0-9]{4,12}", fullmatch=True))
def test_only_what_is_all_alike_or_in_a_row_is_weak(digits: str) -> None:
    rising = "".join(str((int(digits[0]) + step) % 10) for step in range(len(digits)))
    falling = "".join(str((int(digits[0]) - step) % 10) for step in range(len(digits)))
    assert weak(digits) == (digits in (digits[0] * len(digits), rising, falling))


@pytest.mark.parametrize("digits", ["0000", "1234", "7890", "9012", "4321", "999999999999"])
def test_what_anybody_tries_first_is_weak(digits: str) -> None:
    assert weak(digits)


# -- the limiter


def test_five_wrong_ones_in_a_row_lock_it_for_the_right_one_too(office: Office) -> None:
    person = enrolled(office)
    set_to(office, person)
    for left in range(TRIES - 1, -1, -1):
        assert not typed(office, person, WRONG)
        assert pins(office).left(person) == left
    with pytest.raises(PinError) as error:
        typed(office, person, RIGHT)
    assert error.value.reason == "pin_locked"
    assert "locked" in pins(office).told(person)


def test_four_wrong_ones_are_forgotten_at_the_right_one(office: Office) -> None:
    person = enrolled(office)
    set_to(office, person)
    for _ in range(2):
        for _ in range(TRIES - 1):
            assert not typed(office, person, WRONG)
        assert typed(office, person, RIGHT)
        assert pins(office).left(person) == TRIES


def test_wrong_ones_are_counted_through_restarts(office: Office) -> None:
    """Attack: start the terminal again after every four."""
    person = enrolled(office)
    set_to(office, person)
    path = office.folder / "state" / "gallery.db"
    for left in range(TRIES - 1, -1, -1):
        assert not typed(office, person, WRONG)
        office.gallery.close()
        office.gallery = Gallery(path, office.element, NETWORKS)
        assert pins(office).left(person) == left
    with pytest.raises(PinError):
        typed(office, person, RIGHT)


def test_a_terminal_killed_before_it_tells_has_counted(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: pull the plug before the answer, and try for ever."""
    person = enrolled(office)
    set_to(office, person)

    with monkeypatch.context() as patch:
        patch.setattr("firmware.core.pins.stretched", pull_the_plug)
        for _ in range(TRIES):
            with pytest.raises(KeyboardInterrupt):
                typed(office, person, WRONG)
    with pytest.raises(PinError):
        typed(office, person, RIGHT)


def test_a_try_that_cannot_be_counted_is_not_looked_at(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    person = enrolled(office)
    set_to(office, person)

    def looked_at(*_: object) -> bytes:
        pytest.fail("the digits were looked at")

    def full(*_: object) -> None:
        raise GalleryError("gallery_write", "the disk is full")

    monkeypatch.setattr("firmware.core.pins.stretched", looked_at)
    monkeypatch.setattr(office.gallery, "note_secret", full)
    assert refusal(lambda: typed(office, person, RIGHT)) == "gallery_write"


def test_the_right_one_that_cannot_be_noted_is_a_no(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    person = enrolled(office)
    set_to(office, person)
    note, calls = office.gallery.note_secret, 0

    def full(*given: str | bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise GalleryError("gallery_write", "the disk is full")
        note(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(office.gallery, "note_secret", full)
    assert refusal(lambda: typed(office, person, RIGHT)) == "gallery_write"
    assert pins(office).left(person) == TRIES - 1


def test_who_has_set_none_is_refused(office: Office) -> None:
    person = enrolled(office)
    with pytest.raises(PinError) as error:
        typed(office, person, RIGHT)
    assert error.value.reason == "pin_missing"
    assert pins(office).told(person) == ""


def test_one_whose_row_was_swapped_with_anothers_cannot_be_read(office: Office) -> None:
    """Attack: put the row of somebody whose PIN is known in the place of another's."""
    first, second = enrolled(office), enrolled(office)
    set_to(office, first, RIGHT)
    set_to(office, second, WRONG)
    office.gallery.close()
    path = office.folder / "state" / "gallery.db"
    with closing(sqlite3.connect(path)) as db, db:
        (mine, theirs) = db.execute("SELECT id FROM people ORDER BY id DESC LIMIT 2").fetchall()
        db.execute(
            "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE id = ?) WHERE id = ?", (*mine, *theirs)
        )
    office.gallery = Gallery(path, office.element, NETWORKS)
    assert refusal(lambda: typed(office, first, WRONG)) == "gallery_damaged"
    assert "set it anew" in pins(office).told(first)


class Row:
    """A gallery of one person, in which only what was written is left when it dies; writing may fail."""

    def __init__(self) -> None:
        self.kept, self.full = msgspec.msgpack.encode(Verifier.of(RIGHT, 1024)), False

    def secret(self, *_: str) -> bytes:
        return self.kept

    def note_secret(self, _: str, __: str, secret: bytes) -> None:
        if self.full:
            raise GalleryError("gallery_write", "the disk is full")
        self.kept = secret


class LimiterMachine(RuleBasedStateMachine):
    """Any tries in any order, with power cuts and full disks between, against a count of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.row, self.wrong = Row(), 0
        self.pins = Pins(cast("Parts", SimpleNamespace(gallery=self.row)))

    @rule(digits=st.sampled_from([RIGHT, WRONG, RIGHT + "0"]), full=st.booleans(), killed=st.booleans())
    def try_one(self, digits: str, full: bool, killed: bool) -> None:
        self.row.full = full
        told: object
        try:
            with pytest.MonkeyPatch.context() as patch:
                if killed:
                    patch.setattr("firmware.core.pins.stretched", pull_the_plug)
                told = asyncio.run(self.pins.check("ada", digits))
        except (GalleryError, KeyboardInterrupt, PinError) as error:
            told = error
        self.row.full = False
        if self.wrong >= TRIES:
            assert isinstance(told, PinError), "a locked one is looked at by nobody"
        elif full:
            assert isinstance(told, GalleryError), "what is not counted is not told"
        elif killed:
            self.wrong += 1
        else:
            assert told is (digits == RIGHT)
            self.wrong = 0 if digits == RIGHT else self.wrong + 1

    @invariant()
    def the_count_is_on_the_disk(self) -> None:
        assert self.pins.left("ada") == TRIES - self.wrong


def pull_the_plug(*_: object) -> bytes:
    raise KeyboardInterrupt


TestLimiterMachine = LimiterMachine.TestCase
TestLimiterMachine.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)


def test_what_another_version_kept_is_refused_and_can_be_set_anew(office: Office) -> None:
    person = enrolled(office)
    for other in (b"", b"not a verifier", msgspec.msgpack.encode([bytes(16), 2**20, bytes(32), 0])):
        office.gallery.set_secret(person, "payment", other)
        assert refusal(lambda: typed(office, person, RIGHT)) == "gallery_damaged"
    set_to(office, person)
    assert typed(office, person, RIGHT)


# -- who lets them


def test_setting_is_in_the_audit_log_without_a_name(office: Office) -> None:
    person = enrolled(office)
    set_to(office, person)
    used, was_set = office.log()[-2:]
    assert (used["event"], used["kind"]) == ("mandate_used", "pin")
    assert (was_set["event"], was_set["by"]) == ("pin_set", "op")
    assert person not in str((used, was_set))


def test_a_new_one_unlocks_and_ends_the_old(office: Office) -> None:
    person = enrolled(office)
    set_to(office, person)
    for _ in range(TRIES):
        typed(office, person, WRONG)
    set_to(office, person, "161803")
    assert not typed(office, person, RIGHT)
    assert typed(office, person, "161803")


def test_mandate_serves_once(office: Office) -> None:
    """Attack: unlock a PIN with the mandate it was set under."""
    person = enrolled(office)
    one = mandate(office, person)
    papers = pins(office).papers(person, one)
    pins(office).put(papers, Verifier.of(RIGHT, 1024), "op")
    assert refusal(lambda: pins(office).papers(person, one)) == "mandate"
    assert refusal(lambda: pins(office).put(papers, Verifier.of(WRONG, 1024), "op")) == "mandate"
    assert typed(office, person, RIGHT)


def test_mandate_to_enrol_sets_no_pin(office: Office) -> None:
    person = enrolled(office)
    assert refusal(lambda: pins(office).papers(person, mandate(office, person, purpose="payment"))) == "mandate"


def test_mandate_for_a_pin_enrols_nobody(office: Office) -> None:
    consent = office.consent()
    assert refusal(lambda: check_papers(office.parts, consent, office.mandate(consent, purpose="pin"), b"")) == (
        "mandate"
    )


def test_mandate_of_another_account_is_refused(office: Office) -> None:
    person = enrolled(office)
    assert refusal(lambda: pins(office).papers(person, mandate(office, person, "payer-eve"))) == "mandate"


def test_mandate_under_another_consent_is_refused(office: Office) -> None:
    person = enrolled(office)
    office.now += 60
    other = office.mandate(office.consent(), office.enrolled(person).payer, "pin")
    assert refusal(lambda: pins(office).papers(person, other)) == "mandate"


def test_mandate_by_which_nobody_was_authenticated_sets_no_pin_in_production(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = enrolled(office)
    them = office.enrolled(person)
    simulated = office.mandate(them.consent, them.payer, "pin", "simulated")
    monkeypatch.setattr(office, "profile", load_profile("payment"))
    assert refusal(lambda: pins(office).papers(person, simulated)) == "mandate"
    assert pins(office).papers(person, mandate(office, person)).enrolled.person == person


def test_mandate_that_has_expired_is_refused(office: Office) -> None:
    person = enrolled(office)
    late = mandate(office, person)
    office.now += 25 * 3600
    assert refusal(lambda: pins(office).papers(person, late)) == "mandate"


def test_who_agrees_to_no_payments_sets_no_pin(office: Office) -> None:
    consent = office.consent(purposes=("door",))
    papers = check_papers(office.parts, consent, office.mandate(consent, purpose="door"), b"")
    person = office.enrol(papers)
    assert refusal(lambda: pins(office).papers(person, mandate(office, person))) == "not_agreed"


def test_nobody_sets_one_for_somebody_unknown(office: Office) -> None:
    person = enrolled(office)
    assert refusal(lambda: pins(office).papers("0" * 16, mandate(office, person))) == "unknown_person"


def test_what_cannot_be_recorded_is_not_set(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    person = enrolled(office)
    papers = pins(office).papers(person, mandate(office, person))

    def full(*_: object) -> None:
        raise AuditError("audit_write", "no space left")

    monkeypatch.setattr(office.audit, "record", full)
    assert refusal(lambda: pins(office).put(papers, Verifier.of(RIGHT, 1024), "op")) == "audit_write"
    assert pins(office).left(person) is None
    assert not office.gallery.mandate_used(papers.mandate)
