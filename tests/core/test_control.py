"""Who may ask what on the control socket."""

import asyncio
import typing
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from firmware.core.control import ALLOWED, OPEN, Desk
from firmware.core.roles import Roles
from firmware.core.terminal import Terminal
from firmware.runtime.messages import (
    AddStaff,
    Done,
    Enrol,
    Erase,
    Failed,
    FirstTechnician,
    ListStaff,
    Login,
    RemoveStaff,
    Role,
    Staff,
    ToCore,
)

PASSPHRASE = "correct horse battery"
NAMES: dict[Role, str] = {"operator": "op", "technician": "tech", "auditor": "audit"}


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Of which only the staff is real: whatever else is asked of it fails as a defect."""
    monkeypatch.setattr("firmware.core.roles.COST", 1024)
    with closing(Roles(tmp_path / "roles.db")) as roles:
        for role, name in NAMES.items():
            roles.add(name, role, PASSPHRASE, 1024)
        yield cast("Terminal", SimpleNamespace(parts=SimpleNamespace(roles=roles)))


def answered(desk: Desk, request: Any) -> Any:
    return asyncio.run(desk.answer(request))


def desk_of(terminal: Terminal, role: Role | None) -> Desk:
    desk = Desk(terminal)
    if role is not None:
        assert answered(desk, Login(name=NAMES[role], passphrase=PASSPHRASE)) == Done(detail=role)
    return desk


def an_empty(kind: type[msgspec.Struct]) -> Any:
    """Any message of a kind: who may not ask is refused before it is looked at."""
    values = {str: "x", bytes: b"x", int: 0}
    given = {}
    for field in msgspec.structs.fields(kind):
        kinds = typing.get_args(field.type)
        given[field.name] = values.get(typing.get_origin(field.type) or field.type, kinds[0] if kinds else None)
    return kind(**given)


def test_every_request_is_either_open_or_for_some_role() -> None:
    kinds = set(typing.get_args(ToCore))
    assert kinds == set(OPEN) | set(ALLOWED)
    assert not set(OPEN) & set(ALLOWED)
    assert all(ALLOWED.values())


@pytest.mark.parametrize("role", [None, "operator", "technician", "auditor"])
def test_nobody_is_answered_what_their_role_may_not_ask(terminal: Terminal, role: Role | None) -> None:
    desk = desk_of(terminal, role)
    for kind, roles in ALLOWED.items():
        if role not in roles:
            answer = answered(desk, an_empty(kind))
            assert isinstance(answer, Failed), kind
            assert answer.reason == "not_allowed", kind


def test_no_role_can_both_enrol_and_make_staff() -> None:
    assert not ALLOWED[Enrol] & ALLOWED[AddStaff]


def test_wrong_passphrase_takes_away_the_role_the_connection_had(terminal: Terminal) -> None:
    desk = desk_of(terminal, "technician")
    assert answered(desk, Login(name="tech", passphrase="wrong wrong wrong")).reason == "login"
    assert answered(desk, ListStaff()).reason == "not_allowed"


def test_who_is_removed_can_ask_nothing_more_on_a_connection_that_stands(terminal: Terminal) -> None:
    removed, technician = desk_of(terminal, "operator"), desk_of(terminal, "technician")
    assert isinstance(answered(removed, ListStaff()), Staff)
    assert answered(technician, RemoveStaff(name="op")) == Done(detail="op")
    assert answered(removed, ListStaff()).reason == "not_allowed"
    assert answered(removed, Erase(person="0" * 16)).reason == "not_allowed"


def test_technician_adds_staff_and_nobody_makes_a_second_first(terminal: Terminal) -> None:
    technician = desk_of(terminal, "technician")
    assert isinstance(answered(technician, AddStaff(name="eve", role="operator", passphrase=PASSPHRASE)), Done)
    assert answered(Desk(terminal), Login(name="eve", passphrase=PASSPHRASE)) == Done(detail="operator")
    assert answered(Desk(terminal), FirstTechnician(name="mallory", passphrase=PASSPHRASE)).reason == "roles_exist"
