"""Birthdays: 14 and 18, in the terminal's own time zone, and on 29 February."""

import calendar
import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.gallery.consent import DAY_S, ConsentError, ConsentRecord, Notice, age_at, check

UTC = datetime.timezone.utc
SHANGHAI, HONOLULU = ZoneInfo("Asia/Shanghai"), ZoneInfo("Pacific/Honolulu")
RECORD = ConsentRecord(
    who="Kim", purposes=("door", "payment"), notice_version="1", notice_sha256=bytes(32), language="en",
    retention_days=1095, date_of_birth="2012-11-23", age_source="document", given_at=0, guardian="",
    guardian_verifier="", guardian_method="", guardian_given_at=0, terminal="till-1", recorded_by="op", recorded_at=0,
)  # fmt: skip
BIRTHDAY_14 = datetime.datetime(2026, 11, 23)
BIRTHDAY_18 = datetime.datetime(2030, 11, 23)


def at(moment: datetime.datetime, zone: datetime.tzinfo) -> int:
    return int(moment.replace(tzinfo=zone).timestamp())


def verdict(given_at: int, now: int, zone: datetime.tzinfo, purpose: str = "door", guardian: str = "") -> str:
    record = msgspec.structs.replace(RECORD, given_at=given_at, guardian=guardian)
    try:
        check(record, purpose, now, Notice("1", bytes(32), ("en",), 1095, zone))
    except ConsentError as error:
        text = str(error)
        return error.code if text[0].isupper() and text.endswith(".") and not text.isupper() else text
    return "holds"


@pytest.mark.parametrize("zone", [UTC, SHANGHAI, HONOLULU])
def test_under_14_needs_a_guardian_until_midnight_where_the_terminal_stands(zone: datetime.tzinfo) -> None:
    midnight = at(BIRTHDAY_14, zone)
    assert verdict(midnight - 1, midnight - 1, zone) == "guardian_missing"
    assert verdict(midnight, midnight, zone) == "holds"


@pytest.mark.parametrize("zone", [UTC, SHANGHAI, HONOLULU])
def test_a_guardians_consent_ends_on_the_14th_birthday_and_the_person_is_asked_anew(zone: datetime.tzinfo) -> None:
    midnight = at(BIRTHDAY_14, zone)
    given_at = midnight - 100 * DAY_S
    assert verdict(given_at, midnight - 1, zone, guardian="Eve") == "holds"
    assert verdict(given_at, midnight, zone, guardian="Eve") == "consent_majority"


def test_a_guardian_cannot_consent_for_who_is_14() -> None:
    midnight = at(BIRTHDAY_14, UTC)
    assert verdict(midnight, midnight, UTC, guardian="Eve") == "consent_majority"


def test_consent_given_alone_on_the_eve_of_the_14th_birthday_is_not_a_14_year_olds() -> None:
    midnight = at(BIRTHDAY_14, UTC)
    assert verdict(midnight - 1, midnight + 3600, UTC) == "guardian_missing"


@pytest.mark.parametrize("zone", [UTC, SHANGHAI, HONOLULU])
def test_nobody_under_18_pays_whoever_allows_it(zone: datetime.tzinfo) -> None:
    midnight = at(BIRTHDAY_18, zone)
    assert verdict(midnight - 1, midnight - 1, zone, "payment") == "minor_payment"
    assert verdict(midnight - 1, midnight + 3600, zone, "payment") == "minor_payment"
    assert verdict(midnight, midnight, zone, "payment") == "holds"
    child = at(BIRTHDAY_14, zone) - DAY_S
    assert verdict(child, child, zone, "payment", guardian="Eve") == "minor_payment"


def test_a_birth_in_the_future_is_refused_and_a_birth_today_is_not() -> None:
    newborn = at(datetime.datetime(2012, 11, 23), UTC)
    assert verdict(newborn - 1, newborn - 1, UTC, guardian="Eve") == "consent_date"
    assert verdict(newborn, newborn, UTC, guardian="Eve") == "holds"


def test_the_same_instant_is_a_birthday_in_one_zone_and_not_in_another() -> None:
    born = datetime.date(2012, 11, 23)
    instant = at(BIRTHDAY_14, SHANGHAI)
    assert [age_at(born, instant, zone) for zone in (SHANGHAI, UTC, HONOLULU)] == [14, 13, 13]


def test_a_birthday_that_begins_in_daylight_saving_begins_at_its_own_midnight() -> None:
    zone = ZoneInfo("Europe/Berlin")
    born = datetime.date(2010, 10, 25)  # in 2026 clocks go back on this day, in a night of 25 h
    midnight = at(datetime.datetime(2026, 10, 25), zone)
    assert [age_at(born, midnight + seconds, zone) for seconds in (-1, 0, 25 * 3600 - 1)] == [15, 16, 16]


def test_born_on_29_february_the_birthday_is_1_march_in_common_years() -> None:
    born = datetime.date(2012, 2, 29)
    for day, years in (
        (datetime.datetime(2026, 2, 28, 23, 59, 59), 13),
        (datetime.datetime(2026, 3, 1), 14),
        (datetime.datetime(2028, 2, 28, 23, 59, 59), 15),
        (datetime.datetime(2028, 2, 29), 16),
    ):
        assert age_at(born, at(day, UTC), UTC) == years


DATES = st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 30))
ZONES = st.sampled_from([UTC, SHANGHAI, HONOLULU, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")])


@given(DATES, st.integers(0, 120), ZONES)
def test_an_age_is_reached_on_the_birthday_and_not_a_second_before(
    born: datetime.date, years: int, zone: datetime.tzinfo
) -> None:
    year = born.year + years
    if not 1970 < year < 2100:
        return
    leapling = (born.month, born.day) == (2, 29) and not calendar.isleap(year)
    birthday = datetime.date(year, 3, 1) if leapling else born.replace(year=year)
    noon = at(datetime.datetime.combine(birthday, datetime.time(12)), zone)
    assert age_at(born, noon, zone) == years
    eve = at(datetime.datetime.combine(birthday - datetime.timedelta(1), datetime.time(12)), zone)
    assert age_at(born, eve, zone) == years - 1


@given(DATES, st.integers(0, 4_102_444_800), st.integers(0, 400 * DAY_S), ZONES)
def test_nobody_grows_younger_and_nobody_ages_more_than_a_year_in_a_year(
    born: datetime.date, now: int, later: int, zone: datetime.tzinfo
) -> None:
    grown = age_at(born, now + later, zone) - age_at(born, now, zone)
    assert 0 <= grown <= later // (365 * DAY_S) + 1
