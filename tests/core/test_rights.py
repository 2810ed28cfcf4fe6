"""What people may ask, and the papers behind it: with a real gallery, a real audit log and a backend's mandates."""

import asyncio
import datetime
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from drivers.secure_element.interface import SecureElementError
from firmware.audit.errors import AuditError
from firmware.audit.verify import verify
from firmware.core import upkeep
from firmware.core.consents import check_match, check_papers
from firmware.core.control import _page
from firmware.core.errors import TerminalError
from firmware.core.stand import BusyError
from firmware.core.terminal import Terminal
from firmware.gallery.consent import ConsentError, read_consent
from firmware.gallery.gallery import DAY_S, GalleryError
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import verify_erasure
from firmware.runtime.config import load_profile
from hil.backend.shop import START
from tests.core.office import FIRST, SECOND, Office

# 13 at the start, 14 on 1 March 2027 in Berlin: there is no 29 February then
CHILD = datetime.date(2013, 3, 1)
BIRTHDAY = int(datetime.datetime(2027, 2, 28, 23, 0, tzinfo=datetime.timezone.utc).timestamp())


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with closing(Office(tmp_path)) as office:
        yield office


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises((AuditError, ConsentError, GalleryError, PaymentError)) as error:
        act()
    return str(error.value.code)  # type: ignore[attr-defined]


def matched(office: Office, person: str, purpose: str = "payment") -> str:
    """Why somebody would not be matched now, a code; empty where they would."""
    try:
        check_match(office.parts, office.enrolled(person), purpose, office.now)
    except ConsentError as error:
        return error.code
    return ""


def events(office: Office) -> list[str]:
    return [str(record["event"]) for record in office.log()]


# -- withdrawal and erasure


def test_one_purpose_is_withdrawn_and_the_last_takes_everything_along(office: Office) -> None:
    person = office.enrol(office.papers(("payment", "door")))
    left = office.rights.withdraw(person, "payment", "op")
    assert left is not None
    assert read_consent(left, office.identities.keys).purposes == ("door",)
    assert office.enrolled(person).purposes == ("door",)
    assert office.gallery.find("payer-ada", "payment", office.now) is None
    assert office.rights.withdraw(person, "door", "op") is None, "to be erased"
    receipt = office.rights.erase(person, "op")
    assert verify_erasure(receipt, office.element.public_key).person == person
    assert office.rights.erase(person, "op") == receipt
    assert events(office) == ["consent_recorded", "mandate_used", "enrolment", "withdrawal", "erasure"]


def test_papers_of_somebody_who_was_erased_enrol_nobody_again(office: Office) -> None:
    papers = office.papers()
    office.rights.erase(office.enrol(papers), "op")
    again = office.mandate(papers.envelope)
    assert refusal(lambda: check_papers(office.parts, papers.envelope, again, b"")) == "mandate"


@pytest.mark.parametrize("act", ["erase", "withdraw", "renew", "dispute", "enrol"])
def test_what_cannot_be_recorded_is_not_done(office: Office, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for the audit log, and for nothing else."""
    person = office.enrol(office.papers(("payment", "door")))
    papers, anew = office.papers(payer="payer-bob"), office.consent(purposes=("payment", "door"))

    def full(*_: object) -> None:
        raise AuditError("audit_write", "no space left")

    monkeypatch.setattr(office.audit, "_append", full)
    acts: dict[str, Callable[[], object]] = {
        "erase": lambda: office.rights.erase(person, "op"),
        "withdraw": lambda: office.rights.withdraw(person, "door", "op"),
        "renew": lambda: office.rights.renew(person, anew, b"", "op"),
        "dispute": lambda: office.rights.dispute(person, "op"),
        "enrol": lambda: office.enrol(papers, 2),
    }
    before = office.enrolled(person)
    assert refusal(acts[act]) == "audit_write"
    after = office.enrolled(person)
    assert (after.purposes, after.consent, after.disputes) == (before.purposes, before.consent, 0)
    assert len(office.gallery) == 1


def test_nothing_of_it_happens_while_somebody_is_served(office: Office) -> None:
    person = office.enrol(office.papers(("payment", "door")))
    office.stand.busy = True
    for act in (
        lambda: office.rights.erase(person, "op"),
        lambda: office.rights.withdraw(person, "door", "op"),
        lambda: office.rights.dispute(person, "op"),
        lambda: upkeep.rotate(office.parts, office.rights._stand, "sealing", "tech"),
    ):
        with pytest.raises(BusyError):
            act()
    assert office.enrolled(person).purposes == ("payment", "door")


# -- retention


def test_a_clock_that_jumps_ahead_erases_nobody_and_matches_nobody(office: Office) -> None:
    person = office.enrol(office.papers())
    office.now = START + 366 * DAY_S
    office.rights.purge()
    assert office.enrolled(person).person == person
    assert matched(office, person) == "consent_expired"
    office.signed_until = office.now
    office.rights.purge()
    assert office.gallery.person(person) is None
    assert events(office)[-1] == "expiry"


def damage(office: Office, person: str) -> None:
    """Flip a bit of somebody's sealed consent, on the disk."""
    with office.gallery._store.transaction("") as db:
        (sealed,) = db.execute("SELECT consent FROM people WHERE person = ?", (person,)).fetchone()
        db.execute("UPDATE people SET consent = ? WHERE person = ?", (sealed[:-1] + bytes([sealed[-1] ^ 1]), person))


def test_whose_consent_is_damaged_is_listed_and_erased_and_keeps_nobody_else(office: Office) -> None:
    ada = office.enrol(office.papers())
    bob = office.enrol(office.papers(payer="payer-bob"), 2)
    damage(office, ada)
    terminal = cast("Terminal", SimpleNamespace(parts=office.parts))
    assert {one.person: one.asked for one in _page(terminal, 0).people} == {ada: "gallery_damaged", bob: ""}
    office.now = office.signed_until = START + 366 * DAY_S
    office.rights.purge()
    assert len(office.gallery) == 0


# -- consent anew


def test_changed_notice_stops_matches_until_consent_is_given_anew(office: Office) -> None:
    person = office.enrol(office.papers())
    assert matched(office, person) == ""
    office.tell(SECOND, "2")
    assert matched(office, person) == "consent_renew"
    office.now += 60
    office.rights.renew(person, office.consent(), b"", "op")
    assert matched(office, person) == ""
    office.tell(FIRST, "2")
    assert matched(office, person) == "consent_renew", "the same version and another text"


@pytest.mark.parametrize(("who", "purposes"), [("bob", ("payment",)), ("ada", ("payment", "door"))])
def test_new_consent_is_of_the_same_person_and_for_no_purpose_more(
    office: Office, who: str, purposes: tuple[str, ...]
) -> None:
    """Attack: bind a face to an account, or to a purpose, without a mandate."""
    person = office.enrol(office.papers())
    office.now += 60
    other = office.consent(who, purposes)  # type: ignore[arg-type]
    assert refusal(lambda: office.rights.renew(person, other, b"", "op")) == "consent_other"


def test_in_production_nobody_is_enrolled_on_a_mandate_by_which_nobody_was_authenticated(office: Office) -> None:
    consent = office.consent()
    own = office.mandate(consent, method="simulated")
    office.profile = load_profile("payment")
    assert refusal(lambda: check_papers(office.parts, consent, own, b"")) == "mandate"
    assert check_papers(office.parts, consent, office.mandate(consent), b"").payer == "payer-ada"


# -- under 14


def test_child_is_enrolled_under_a_guardians_consent_and_asked_anew_from_the_14th_birthday_on(office: Office) -> None:
    consent = office.consent("kim", ("door",), CHILD, guardian="parent")
    mandate, guardian = office.mandate(consent, "token-kim", "door"), office.guardian_mandate(consent)
    assert refusal(lambda: check_papers(office.parts, consent, mandate, b"")) == "guardian_missing"
    person = office.enrol(check_papers(office.parts, consent, mandate, guardian))
    assert [record["kind"] for record in office.log() if record["event"] == "mandate_used"] == ["payer", "guardian"]
    assert matched(office, person, "door") == ""
    assert matched(office, person) == "consent_purpose"
    office.now = BIRTHDAY - 1
    assert matched(office, person, "door") == ""
    office.now = BIRTHDAY
    assert matched(office, person, "door") == "consent_majority"
    office.rights.renew(person, office.consent("kim", ("door",), CHILD), b"", "op")
    assert matched(office, person, "door") == ""


def test_child_cannot_consent_alone_nor_pay(office: Office) -> None:
    assert refusal(lambda: office.consent("kim", ("door",), CHILD)) == "guardian_missing"
    assert refusal(lambda: office.consent("kim", ("payment",), CHILD, guardian="parent")) == "minor_payment"


def test_guardians_mandate_of_another_consent_is_refused(office: Office) -> None:
    consent = office.consent("kim", ("door",), CHILD, guardian="parent")
    other = office.consent("lee", ("door",), CHILD, guardian="parent")
    mandate, guardian = office.mandate(consent, "token-kim", "door"), office.guardian_mandate(other)
    assert refusal(lambda: check_papers(office.parts, consent, mandate, guardian)) == "mandate"


def test_mandate_for_a_door_does_not_bind_an_account(office: Office) -> None:
    consent = office.consent(purposes=("payment", "door"))
    door = office.mandate(consent, purpose="door")
    assert refusal(lambda: check_papers(office.parts, consent, door, b"")) == "mandate"


def test_without_a_notice_nobody_is_asked_enrolled_or_matched(office: Office) -> None:
    person = office.enrol(office.papers())
    office.notice = None  # type: ignore[assignment]
    assert refusal(office.consent) == "no_notice"
    assert matched(office, person) == "no_notice"


# -- access and objection


def test_what_the_log_holds_names_nobody(office: Office) -> None:
    """Neither the person, nor what the backend or a receipt could be looked up by."""
    papers = office.papers()
    person = office.enrol(papers)
    office.rights.dispute(person, "op")
    receipt = office.rights.erase(person, "op")
    written = b"".join(path.read_bytes() for path in office.audit_folder.iterdir())
    for secret in (b"ada", person.encode(), papers.payer.encode(), papers.mandate, receipt):
        assert secret not in written
    about = {record.get("who") for record in office.log() if record.get("who")}
    assert len(about) == 1, "one person, the same all along"


def test_log_of_all_this_is_whole(office: Office) -> None:
    person = office.enrol(office.papers())
    office.rights.erase(person, "op")
    office.journal.rest()
    report = verify(office.audit_folder, office.identities.keys)
    assert report.good
    assert report.signed == report.last


# -- keys


def test_consent_signed_by_an_exchanged_key_still_holds(office: Office) -> None:
    person = office.enrol(office.papers())
    office.element.prepare_identity()
    before = office.element.public_key
    upkeep.rotate(office.parts, office.rights._stand, "identity", "tech")
    assert office.element.public_key != before
    assert office.identities.keys == (before, office.element.public_key)
    assert matched(office, person) == ""
    assert verify(office.audit_folder, office.identities.keys).good


def test_identity_is_not_exchanged_for_one_that_nobody_asked_for(office: Office) -> None:
    """The backend would know nothing of it."""
    before = office.element.public_key
    with pytest.raises(SecureElementError, match=r"none waits|no identity waits"):
        upkeep.rotate(office.parts, office.rights._stand, "identity", "tech")
    assert office.element.public_key == before


def test_identity_is_not_exchanged_while_an_envelope_waits(office: Office) -> None:
    office.waiting = 1
    before = office.element.public_key
    with pytest.raises(TerminalError, match="waits for its receipt"):
        upkeep.rotate(office.parts, office.rights._stand, "identity", "tech")
    assert office.element.public_key == before


def test_export_of_a_long_life_fits_and_holds_the_newest(office: Office) -> None:
    person = office.enrol(office.papers())
    for _ in range(300):
        office.rights.dispute(person, "op")
    kept = msgspec.json.decode(export(office, person))
    assert kept["audit_log"][-1]["event"] == "exported"
    assert kept["enrolled"]["wrong_matches_reported"] == 300
    assert "template" in kept["left_out"][0]


def export(office: Office, person: str) -> bytes:
    return asyncio.run(office.rights.export(person, "op"))


def test_paper_of_a_renewal_is_used_once(office: Office) -> None:
    """Attack: after a withdrawal, put the consent that was withdrawn in the place of what is left."""
    person = office.enrol(office.papers(("payment", "door")))
    office.now += 60
    anew = office.consent(purposes=("payment", "door"))
    office.rights.renew(person, anew, b"", "op")
    assert refusal(lambda: office.rights.renew(person, anew, b"", "op")) in ("mandate", "consent_other")
    mandate = office.mandate(anew, "payer-bob")
    assert refusal(lambda: check_papers(office.parts, anew, mandate, b"")) == "mandate"
