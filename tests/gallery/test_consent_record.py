"""Consent records: what is signed is what was agreed to; nothing else is read, and none covers more than it says."""

import datetime
import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.gallery.consent import (
    DAY_S,
    MAX_CONSENT_AGE_S,
    ConsentError,
    ConsentForm,
    ConsentRecord,
    GuardianConsent,
    Notice,
    check,
    check_enrolment,
    check_renewal,
    consent_hash,
    parse_form,
    read_consent,
    sign_consent,
    withdraw_purpose,
)
from firmware.payment import cose, schema
from firmware.payment.trust import key_id, load_public_key
from hil.backend.simulator import new_element

NOW = 1_800_000_000  # 2027-01-15, 08:00 UTC
NOTICE_BYTES = b"Your face is stored on this terminal only.\n"
NOTICE = Notice("2027-01", hashlib.sha256(NOTICE_BYTES).digest(), ("en", "zh-Hans"), 400, datetime.timezone.utc)
ADULT = ConsentForm(
    who="Ada", purposes=("payment", "door"), notice_version="2027-01",
    notice_sha256=hashlib.sha256(NOTICE_BYTES).hexdigest(), language="zh-Hans", retention_days=365,
    date_of_birth=datetime.date(1990, 5, 17), age_source="document", given_at=NOW - 60,
)  # fmt: skip
GUARDIAN = GuardianConsent(name="Eve", verifier="school-office", method="document", given_at=NOW - 30)
CHILD = msgspec.structs.replace(
    ADULT, purposes=("door",), date_of_birth=datetime.date(2017, 3, 1), age_source="guardian", guardian=GUARDIAN
)
ELEMENT = new_element()
KID = key_id(load_public_key(ELEMENT.public_key))


def signed(form: ConsentForm = ADULT, now: int = NOW) -> bytes:
    return sign_consent(form, terminal="till-1", recorded_by="op", now=now, notice=NOTICE, element=ELEMENT)


def recorded(form: ConsentForm = ADULT, now: int = NOW) -> ConsentRecord:
    return read_consent(signed(form, now), [ELEMENT.public_key])


def sealed(record: ConsentRecord) -> bytes:
    """The envelope of a record whatever its values: as a terminal under strange control signs it."""
    return cose.sign(schema.encode(record), ELEMENT.sign, KID, record.TYP)


def altered(form: ConsentForm = ADULT, **changes: object) -> bytes:
    """A record with fields changed before this terminal's own key signs it, unchecked."""
    return sealed(msgspec.structs.replace(recorded(form), **changes))


def code_of(act: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(ConsentError) as caught:
        act(*arguments, **named)
    text = str(caught.value)
    assert text.endswith(".")
    assert text[0].isupper()
    assert not text.isupper()
    return caught.value.code


def changed(form: ConsentForm = ADULT, **changes: object) -> ConsentForm:
    return msgspec.structs.replace(form, **changes)


def test_what_was_typed_in_is_what_the_record_says() -> None:
    record = recorded()
    assert record == ConsentRecord(
        who="Ada", purposes=("payment", "door"), notice_version="2027-01", notice_sha256=NOTICE.sha256,
        language="zh-Hans", retention_days=365, date_of_birth="1990-05-17", age_source="document", given_at=NOW - 60,
        guardian="", guardian_verifier="", guardian_method="", guardian_given_at=0, terminal="till-1",
        recorded_by="op", recorded_at=NOW,
    )  # fmt: skip
    assert record.born == datetime.date(1990, 5, 17)
    assert record.retain_until == NOW - 60 + 365 * 86400
    assert record.bound_purpose == "payment"


def test_a_guardians_word_is_in_the_record() -> None:
    record = recorded(CHILD)
    found = (record.guardian, record.guardian_verifier, record.guardian_method, record.guardian_given_at)
    assert found == ("Eve", "school-office", "document", NOW - 30)
    assert record.bound_purpose == "door"


def test_a_mandate_binds_the_exact_bytes() -> None:
    envelope = signed()
    assert consent_hash(envelope) == hashlib.sha256(envelope).digest()
    assert signed() != envelope  # a signature has a random part: equal forms are two consents


def test_a_record_signed_by_an_earlier_key_of_this_terminal_is_read() -> None:
    other = new_element()
    assert read_consent(signed(), [other.public_key, ELEMENT.public_key]).who == "Ada"


def test_a_record_signed_by_another_terminal_is_not_read() -> None:
    other = new_element()
    assert code_of(read_consent, signed(), [other.public_key]) == "consent_signature"
    assert code_of(read_consent, signed(), []) == "consent_signature"
    assert code_of(read_consent, signed(), [b"no key"]) == "consent_signature"


def test_a_record_changed_after_it_was_signed_is_not_read() -> None:
    for at in (-1, SIGNED.index(b"Ada")):
        envelope = bytearray(SIGNED)
        envelope[at] ^= 1
        assert code_of(read_consent, bytes(envelope), [ELEMENT.public_key]) == "consent_signature"


def test_another_kind_of_signed_message_is_no_consent() -> None:
    class Other(schema.Message, frozen=True):
        TYP = "application/tessera-other+cbor"
        who: str

    envelope = schema.sign(Other(who="Ada"), ELEMENT.sign, KID)
    assert code_of(read_consent, envelope, [ELEMENT.public_key]) == "consent_malformed"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_flipped_bit_is_read(at: int, flip: int) -> None:
    envelope = bytearray(SIGNED)
    envelope[at % len(envelope)] ^= flip
    assert code_of(read_consent, bytes(envelope), [ELEMENT.public_key]) in ("consent_malformed", "consent_signature")


SIGNED = signed()
RECORD = recorded()


@given(st.binary(max_size=300))
def test_random_bytes_are_never_consent(raw: bytes) -> None:
    assert code_of(read_consent, raw, [ELEMENT.public_key]) == "consent_malformed"
    assert code_of(parse_form, raw) == "consent_malformed"


TEXT = st.text(st.characters(codec="utf-8"), max_size=70)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "who": TEXT, "purposes": st.lists(st.sampled_from(["payment", "door", "profiling"]), max_size=3).map(tuple),
            "notice_version": TEXT, "notice_sha256": st.binary(max_size=33), "language": TEXT,
            "retention_days": st.integers(-1, 1100), "date_of_birth": TEXT | st.dates().map(str),
            "age_source": TEXT, "given_at": st.integers(-1, 2**40), "guardian": TEXT, "guardian_verifier": TEXT,
            "guardian_method": TEXT, "guardian_given_at": st.integers(-1, 2**40), "terminal": TEXT,
            "recorded_by": TEXT, "recorded_at": st.integers(-1, 2**40),
        },
    )
)  # fmt: skip
def test_whatever_our_key_signed_is_read_whole_or_not_at_all(changes: dict[str, Any]) -> None:
    envelope = sealed(msgspec.structs.replace(RECORD, **changes))
    try:
        record = read_consent(envelope, [ELEMENT.public_key])
    except ConsentError as error:
        code = error.code
    else:
        code = ""
        assert record == msgspec.structs.replace(RECORD, **changes)
        assert record.born.isoformat() == record.date_of_birth
        assert len(set(record.purposes)) == len(record.purposes) > 0
        assert (record.who + record.guardian).isprintable()
        assert bool(record.guardian) == bool(record.guardian_verifier) == bool(record.guardian_given_at)
    assert code in ("", "consent_malformed")


@given(st.dates())
def test_every_day_of_the_calendar_can_be_a_date_of_birth(day: datetime.date) -> None:
    envelope = sealed(msgspec.structs.replace(RECORD, date_of_birth=day.isoformat()))
    assert read_consent(envelope, [ELEMENT.public_key]).born == day


@pytest.mark.parametrize(
    "changes",
    [
        {"who": "x"},
        {"who": "x" * 64},
        {"guardian": "x" * 64, "guardian_verifier": "o", "guardian_method": "m", "guardian_given_at": 1},
        {
            "guardian": "Eve",
            "guardian_verifier": "z9.Z0_Aa:-" * 6 + "z9Zz",
            "guardian_method": "m",
            "guardian_given_at": 1,
        },
        {"guardian": "Eve", "guardian_verifier": "0", "guardian_method": "az09_" * 6 + "z9", "guardian_given_at": 1},
        {"guardian": "Eve", "guardian_verifier": "9", "guardian_method": "z", "guardian_given_at": 4_102_444_800},
    ],
)
def test_a_record_at_the_edge_of_what_can_be_is_read(changes: dict[str, Any]) -> None:
    assert read_consent(altered(**changes), [ELEMENT.public_key]) == msgspec.structs.replace(RECORD, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"date_of_birth": "2023-02-29"},
        {"date_of_birth": "1990-5-17"},
        {"date_of_birth": "1990-W20-4"},
        {"purposes": ("door", "door")},
        {"purposes": ()},
        {"purposes": ("payment", "door", "payment")},
        {"who": ""},
        {"who": "x" * 65},
        {"who": "Ada\nrecorded_by: somebody"},
        {"who": "Ada\u202e"},
        {"language": "English"},
        {"retention_days": 0},
        {"retention_days": 1096},
        {"notice_sha256": bytes(31)},
        {"notice_version": "of yesterday"},
        {"age_source": "guess"},
        {"age_source": "guardian"},
        {"guardian": "Eve"},
        {"guardian_given_at": NOW},
        {"guardian": "Eve", "guardian_verifier": "office", "guardian_method": "document"},
        {"guardian": "Eve\n", "guardian_verifier": "o", "guardian_method": "m", "guardian_given_at": NOW},
        {"guardian": "x" * 65, "guardian_verifier": "o", "guardian_method": "m", "guardian_given_at": NOW},
        {"guardian": "Eve", "guardian_verifier": "-", "guardian_method": "m", "guardian_given_at": NOW},
        {"guardian": "Eve", "guardian_verifier": "o", "guardian_method": "M", "guardian_given_at": NOW},
        {"guardian": "Eve", "guardian_verifier": "o" * 65, "guardian_method": "m", "guardian_given_at": NOW},
        {"guardian": "Eve", "guardian_verifier": "o", "guardian_method": "m" * 33, "guardian_given_at": NOW},
        {"guardian": "Eve", "guardian_verifier": "o", "guardian_method": "m", "guardian_given_at": -1},
        {"guardian": "Eve", "guardian_verifier": "o", "guardian_method": "m", "guardian_given_at": 4_102_444_801},
        {"recorded_by": "two words"},
        {"recorded_at": 0},
    ],
)
def test_a_record_that_cannot_be_is_not_read_though_our_key_signed_it(changes: dict[str, Any]) -> None:
    assert code_of(read_consent, altered(**changes), [ELEMENT.public_key]) == "consent_malformed"


def test_what_there_is_instead_is_told() -> None:
    with pytest.raises(ConsentError, match=r"given for payment, door, not for profiling\.$"):
        check(recorded(), "profiling", NOW, NOTICE)
    with pytest.raises(ConsentError, match=r"no notice in de, only in en, zh-Hans\.$"):
        signed(changed(language="de"))


@pytest.mark.parametrize(
    "changes",
    [
        {"who": "Ada\x00"},
        {"who": "x" * 65},
        {"purposes": ("door", "door")},
        {"age_source": "guardian"},
        {"guardian": msgspec.structs.replace(GUARDIAN, verifier="")},
    ],
)
def test_the_terminal_signs_nothing_it_would_not_read(changes: dict[str, Any]) -> None:
    assert code_of(signed, changed(**changes)) == "consent_malformed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"given_at": NOW + 1}, "consent_date"),
        ({"given_at": NOW - MAX_CONSENT_AGE_S - 1}, "consent_date"),
        ({"notice_version": "2026-01"}, "consent_renew"),
        ({"notice_sha256": "00" * 32}, "consent_renew"),
        ({"language": "de"}, "consent_language"),
        ({"retention_days": 401}, "consent_retention"),
    ],
)
def test_the_terminal_signs_no_consent_that_does_not_hold_now(changes: dict[str, Any], code: str) -> None:
    assert code_of(signed, changed(**changes)) == code


def test_the_edges_of_what_holds_at_enrolment() -> None:
    assert MAX_CONSENT_AGE_S == DAY_S == 86400
    recorded(changed(given_at=NOW))
    recorded(changed(given_at=NOW - MAX_CONSENT_AGE_S))
    recorded(changed(retention_days=400))
    recorded(changed(CHILD, guardian=msgspec.structs.replace(GUARDIAN, given_at=NOW - MAX_CONSENT_AGE_S)))


@pytest.mark.parametrize("given_at", [NOW + 1, NOW - MAX_CONSENT_AGE_S - 1])
def test_a_guardians_consent_from_the_future_or_of_long_ago(given_at: int) -> None:
    form = changed(CHILD, guardian=msgspec.structs.replace(GUARDIAN, given_at=given_at))
    assert code_of(signed, form) == "consent_date"


def test_a_consent_recorded_at_another_terminal_enrols_nobody_here() -> None:
    check_enrolment(recorded(), "till-1", NOW, NOTICE)
    assert code_of(check_enrolment, recorded(), "till-2", NOW, NOTICE) == "consent_terminal"


def test_each_purpose_is_agreed_to_by_itself() -> None:
    check(recorded(), "payment", NOW, NOTICE)
    check(recorded(), "door", NOW, NOTICE)
    door = recorded(changed(purposes=("door",)))
    check(door, "door", NOW, NOTICE)
    assert code_of(check, door, "payment", NOW, NOTICE) == "consent_purpose"
    assert code_of(check, recorded(), "profiling", NOW, NOTICE) == "consent_purpose"


def test_consent_holds_long_after_enrolment_and_ends_to_the_second() -> None:
    record = recorded()
    check(record, "payment", record.retain_until - 1, NOTICE)
    assert code_of(check, record, "payment", record.retain_until, NOTICE) == "consent_expired"
    assert code_of(check, record, "payment", record.given_at - 1, NOTICE) == "consent_date"
    check(record, "payment", record.given_at, NOTICE)


def test_a_changed_notice_asks_for_consent_again() -> None:
    record = recorded()
    for notice in (
        Notice("2027-02", NOTICE.sha256, NOTICE.languages, 400, NOTICE.zone),
        Notice("2027-01", hashlib.sha256(b"other").digest(), NOTICE.languages, 400, NOTICE.zone),
    ):
        assert code_of(check, record, "payment", NOW, notice) == "consent_renew"


def test_a_notice_that_keeps_less_long_does_not_change_consent_given() -> None:
    check(recorded(), "payment", NOW, Notice("2027-01", NOTICE.sha256, ("en",), 30, NOTICE.zone))


def test_withdrawing_one_purpose_leaves_the_other_and_says_who_recorded_it() -> None:
    envelope = withdraw_purpose(recorded(), "payment", recorded_by="op-2", now=NOW + 99, element=ELEMENT)
    left = read_consent(envelope, [ELEMENT.public_key])
    expected = msgspec.structs.replace(recorded(), purposes=("door",), recorded_by="op-2", recorded_at=NOW + 99)
    assert left == expected
    check(left, "door", NOW, NOTICE)
    assert code_of(check, left, "payment", NOW, NOTICE) == "consent_purpose"


def test_withdrawal_needs_no_consent_that_still_holds() -> None:
    late = recorded().retain_until + 5 * DAY_S
    envelope = withdraw_purpose(recorded(), "door", recorded_by="op", now=late, element=ELEMENT)
    assert read_consent(envelope, [ELEMENT.public_key]).purposes == ("payment",)


def test_the_last_purpose_is_withdrawn_by_erasure_only() -> None:
    door = recorded(changed(purposes=("door",)))
    assert code_of(withdraw_purpose, door, "door", recorded_by="op", now=NOW, element=ELEMENT) == "consent_purpose"
    assert code_of(withdraw_purpose, door, "payment", recorded_by="op", now=NOW, element=ELEMENT) == "consent_purpose"


def test_a_withdrawal_by_a_nameless_operator_is_not_signed() -> None:
    arguments = {"recorded_by": "", "now": NOW, "element": ELEMENT}
    assert code_of(withdraw_purpose, recorded(), "door", **arguments) == "consent_malformed"


def test_a_renewal_is_the_same_persons_and_adds_no_purpose() -> None:
    old = recorded()
    check_renewal(old, recorded(changed(given_at=NOW - 5, retention_days=30)))
    check_renewal(old, recorded(changed(purposes=("door",))))
    assert code_of(check_renewal, recorded(changed(purposes=("door",))), old) == "consent_other"
    assert code_of(check_renewal, old, recorded(changed(who="Bob"))) == "consent_other"
    assert code_of(check_renewal, old, recorded(changed(date_of_birth=datetime.date(1990, 5, 18)))) == "consent_other"


def test_an_older_record_cannot_be_put_back_as_a_renewal() -> None:
    old = recorded(now=NOW + 10)
    check_renewal(old, recorded(now=NOW + 10))
    assert code_of(check_renewal, old, recorded(now=NOW + 9)) == "consent_other"


FORM = f"""
who = "Ada"
purposes = ["payment", "door"]
notice_version = "2027-01"
notice_sha256 = "{ADULT.notice_sha256}"
language = "zh-Hans"
retention_days = 365
date_of_birth = 1990-05-17
age_source = "document"
given_at = 2027-01-15T08:59:00+01:00
"""
CHILD_FORM = (
    FORM.replace('["payment", "door"]', '["door"]').replace("1990-05-17", "2017-03-01").replace("document", "guardian")
    + '[guardian]\nname = "Eve"\nverifier = "school-office"\nmethod = "document"\n'
    "given_at = 2027-01-15T07:59:30Z\n"
)


def test_a_form_is_read_as_it_is_typed() -> None:
    assert parse_form(FORM.encode()) == ADULT
    assert parse_form(FORM.replace("2027-01-15T08:59:00+01:00", str(NOW - 60)).encode()) == ADULT
    assert parse_form(CHILD_FORM.encode()) == CHILD


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        ('who = "Ada"\n', "", "who"),
        ("retention_days", "retention_day", "retention_day"),
        (
            "2027-01-15T08:59:00+01:00",
            "2027-01-15T08:59:00",
            r"^Write given_at with its offset, e\.g\. 2026-11-23T.*\.$",
        ),
        ("2027-01-15T08:59:00+01:00", '"yesterday"', "given_at"),
        ("1990-05-17", "1990-02-30", "cannot be read"),
        ('["payment", "door"]', '["all"]', "purposes"),
        ('["payment", "door"]', '"all"', "purposes"),
        ("365", "1096", "retention_days"),
        ("365", "true", "retention_days"),
        ("365", '"365"', "retention_days"),
        ('"document"', '"looks"', "age_source"),
        ("zh-Hans", "Chinese", "language"),
    ],
)
def test_a_form_that_is_not_whole_names_what_is_wrong(good: str, bad: str, told: str) -> None:
    with pytest.raises(ConsentError, match=told) as caught:
        parse_form(FORM.replace(good, bad).encode())
    assert caught.value.code == "consent_malformed"


def test_a_guardian_who_is_no_table_is_refused() -> None:
    assert code_of(parse_form, (FORM + "guardian = 7\n").encode()) == "consent_malformed"
