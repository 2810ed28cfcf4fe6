"""No enrolment without consent; under 14 not without a guardian's."""

import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.gallery.consent import Consent, ConsentError, Guardian, check_consent, parse_consent

NOW = int(datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.timezone.utc).timestamp())
ADULT = Consent("Ada", "payment", "ab" * 32, 365, datetime.date(1990, 1, 1), NOW - 60)


def refused(consent: Consent, purpose: str = "payment", now: int = NOW) -> str:
    with pytest.raises(ConsentError) as caught:
        check_consent(consent, purpose, now)
    return caught.value.code


def test_adult_consent_is_accepted_and_survives_its_encoding() -> None:
    check_consent(ADULT, "payment", NOW)
    assert parse_consent(ADULT.encoded) == ADULT


def test_consent_for_another_purpose() -> None:
    assert refused(ADULT, "door") == "consent_purpose"


@pytest.mark.parametrize("given_at", [NOW + 1, NOW - 86401])
def test_consent_from_the_future_or_long_ago(given_at: int) -> None:
    assert refused(msgspec.structs.replace(ADULT, given_at=given_at)) == "consent_date"


def test_child_without_guardian_on_the_day_before_fourteen() -> None:
    child = msgspec.structs.replace(ADULT, purpose="door", date_of_birth=datetime.date(2012, 11, 24))
    assert refused(child, "door") == "guardian_missing"
    check_consent(msgspec.structs.replace(child, date_of_birth=datetime.date(2012, 11, 23)), "door", NOW)
    check_consent(msgspec.structs.replace(child, guardian=Guardian("Eve")), "door", NOW)


def test_minor_never_pays_whoever_allows_it() -> None:
    minor = msgspec.structs.replace(ADULT, date_of_birth=datetime.date(2008, 11, 24))
    assert refused(minor) == "minor_payment"
    assert refused(msgspec.structs.replace(minor, guardian=Guardian("Eve"))) == "minor_payment"
    check_consent(msgspec.structs.replace(minor, date_of_birth=datetime.date(2008, 11, 23)), "payment", NOW)


def test_birth_in_the_future() -> None:
    assert refused(msgspec.structs.replace(ADULT, date_of_birth=datetime.date(2026, 11, 24))) == "consent_date"


@given(st.binary(max_size=300))
def test_random_bytes_are_never_consent(raw: bytes) -> None:
    with pytest.raises(ConsentError):
        parse_consent(raw)


def test_reordered_or_padded_consent_is_not_its_one_encoding() -> None:
    with pytest.raises(ConsentError):
        parse_consent(ADULT.encoded.replace(b'":', b'": ', 1))
