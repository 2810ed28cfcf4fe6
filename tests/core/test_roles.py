"""The staff's passphrases: what guessing, killing and many connections at once come to."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from firmware.core.roles import DELAY_S, FREE, Roles, RolesError, Sealed, Seat

COST = 1024
GOOD, WRONG = "correct horse battery", "incorrect horse battery"
SEALED = Sealed.of(GOOD, COST)


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def roles(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Roles]:
    monkeypatch.setattr("firmware.core.roles.COST", COST)
    with closing(Roles(tmp_path / "roles.db", clock)) as roles:
        roles.add("ann", "technician", SEALED)
        yield roles


def login(roles: Roles, name: str, passphrase: str) -> str | None:
    return roles.role(asyncio.run(roles.login(name, passphrase)))


def refused(roles: Roles, name: str = "ann", passphrase: str = WRONG) -> tuple[str, str]:
    with pytest.raises(RolesError) as error:
        login(roles, name, passphrase)
    return error.value.reason, str(error.value)


def test_right_passphrase_gives_the_role(roles: Roles) -> None:
    roles.add("bob", "operator", Sealed.of(WRONG, COST))
    assert (login(roles, "ann", GOOD), login(roles, "bob", WRONG)) == ("technician", "operator")


def test_wrong_name_and_wrong_passphrase_are_told_in_the_same_words(roles: Roles) -> None:
    assert refused(roles) == refused(roles, "eve") == ("login", "Name or passphrase is wrong.")


def test_sixth_guess_waits_even_if_it_is_right(roles: Roles, clock: Clock) -> None:
    for _ in range(FREE):
        assert refused(roles)[0] == "login"
    assert refused(roles, passphrase=GOOD)[0] == "login_wait"
    clock.now_s += DELAY_S - 0.1
    assert refused(roles, passphrase=GOOD)[0] == "login_wait"
    clock.now_s += 0.2
    assert login(roles, "ann", GOOD) == "technician"
    assert refused(roles)[0] == "login", "the count begins anew"


def test_each_further_guess_waits_as_long(roles: Roles, clock: Clock) -> None:
    for _ in range(FREE):
        refused(roles)
    clock.now_s += DELAY_S
    assert refused(roles)[0] == "login"
    assert refused(roles)[0] == "login_wait"


def test_guessing_one_name_keeps_nobody_else_waiting(roles: Roles) -> None:
    roles.add("bob", "operator", SEALED)
    for _ in range(FREE):
        refused(roles, "eve")
        refused(roles, "bob")
    assert refused(roles, "mallory")[0] == "login_wait", "names that do not exist are counted together"
    assert login(roles, "ann", GOOD) == "technician"


def test_a_guess_is_counted_before_it_is_looked_at(roles: Roles, tmp_path: Path, clock: Clock) -> None:
    """Attack: cut the power as soon as a guess turns out wrong."""
    for _ in range(FREE):
        refused(roles)
    roles.close()
    with closing(Roles(tmp_path / "roles.db", clock)) as again:
        assert refused(again, passphrase=GOOD)[0] == "login_wait"


def test_guesses_at_once_are_counted_one_by_one(roles: Roles) -> None:
    """Attack: as many connections as there are, each with a guess."""

    async def guess() -> list[Seat | BaseException]:
        guesses = (roles.login("ann", WRONG) for _ in range(4 * FREE))
        return await asyncio.gather(*guesses, return_exceptions=True)

    told = [error.reason for error in asyncio.run(guess()) if isinstance(error, RolesError)]
    assert (told.count("login"), told.count("login_wait")) == (FREE, 3 * FREE)
    assert roles.failed("ann") == ("ann", FREE)


def test_who_is_removed_while_logging_in_is_not_let_in(roles: Roles) -> None:
    async def race() -> Seat:
        roles.add("bob", "operator", SEALED)
        login = asyncio.create_task(roles.login("bob", GOOD))
        await asyncio.sleep(0)
        roles.remove("bob")
        roles.add("bob", "technician", Sealed.of(WRONG, COST))
        return await login

    with pytest.raises(RolesError, match="wrong"):
        asyncio.run(race())


def test_nothing_is_done_that_could_not_be_announced(roles: Roles) -> None:
    """The audit log's disk is full."""

    def full(_: object) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        roles.add("bob", "operator", SEALED, full)
    roles.add("cyn", "technician", SEALED)
    with pytest.raises(OSError, match="no space"):
        roles.remove("cyn", full)
    assert [member.name for member in roles.staff()] == ["ann", "cyn"]


def test_nothing_of_a_passphrase_is_on_disk(roles: Roles, tmp_path: Path) -> None:
    roles.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ann" in written
    assert GOOD.encode() not in written
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_first_technician_is_made_once(tmp_path: Path, clock: Clock) -> None:
    with closing(Roles(tmp_path / "roles.db", clock)) as roles:
        roles.add("bob", "operator", SEALED)
        roles.first("ann", SEALED)
        with pytest.raises(RolesError, match="technician already"):
            roles.first("eve", SEALED)
        with pytest.raises(RolesError, match="last technician"):
            roles.remove("ann")
        roles.add("cyn", "technician", SEALED)
        roles.remove("ann")
        assert [(member.name, member.role) for member in roles.staff()] == [("bob", "operator"), ("cyn", "technician")]


def test_who_is_removed_may_nothing_more_and_a_name_added_again_is_another(roles: Roles) -> None:
    roles.add("bob", "operator", SEALED)
    seat = asyncio.run(roles.login("bob", GOOD))
    roles.remove("bob")
    assert roles.role(seat) is None
    assert refused(roles, "bob", GOOD)[0] == "login"
    with pytest.raises(RolesError, match="no bob"):
        roles.remove("bob")
    roles.add("bob", "technician", Sealed.of(GOOD, COST))
    assert roles.role(seat) is None, "who logged in before"
    assert login(roles, "bob", GOOD) == "technician"
    with pytest.raises(RolesError, match="ann already"):
        roles.add("ann", "operator", SEALED)


def test_short_passphrase_is_not_taken() -> None:
    with pytest.raises(RolesError, match="15 characters"):
        Sealed.of("fourteen chars", COST)


def test_table_of_another_version_or_damaged_is_said(tmp_path: Path) -> None:
    path = tmp_path / "roles.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(RolesError, match="layout 99"):
        Roles(path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(RolesError, match="staff cannot be checked"):
        Roles(path)
