"""Who may ask what on the control socket, and what the audit log is told of it."""

import asyncio
import typing
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from firmware.audit.errors import AuditError
from firmware.audit.events import Event, LoginFailed, RoleChange, StaffRequest, name_of
from firmware.core.control import ALLOWED, OPEN, Desk
from firmware.core.roles import Roles, Sealed
from firmware.core.terminal import Terminal
from firmware.runtime.messages import (
    AddStaff,
    AskCertificate,
    CertificateAsked,
    Done,
    Enrol,
    Erase,
    Failed,
    FirstTechnician,
    GiveCertificate,
    ListStaff,
    Login,
    RemoveStaff,
    Role,
    Rotate,
    Staff,
    ToCore,
)

PASSPHRASE = "correct horse battery"
NAMES: dict[Role, str] = {"operator": "op", "technician": "tech", "auditor": "audit"}


@dataclass
class Book:
    """In place of the audit log."""

    full: bool = False
    told: list[Event] = field(default_factory=list)
    signed: int = 0

    def must(self, event: Event) -> None:
        if self.full:
            raise AuditError("audit_write", "no space left")
        self.told.append(event)

    note = must

    def rest(self) -> None:
        self.signed = len(self.told)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def terminal(tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Of which only the staff is real: whatever else is asked of it fails as a defect."""
    monkeypatch.setattr("firmware.core.roles.COST", 1024)
    with closing(Roles(tmp_path / "roles.db")) as roles:
        for role, name in NAMES.items():
            roles.add(name, role, Sealed.of(PASSPHRASE, 1024))
        parts, stand = SimpleNamespace(roles=roles, journal=book), SimpleNamespace(busy=False)
        yield cast("Terminal", SimpleNamespace(parts=parts, stand=stand))


def answered(desk: Desk, request: Any) -> Any:
    return asyncio.run(desk.answer(request))


def desk_of(terminal: Terminal, role: Role | None) -> Desk:
    desk = Desk(terminal)
    if role is not None:
        assert answered(desk, Login(name=NAMES[role], passphrase=PASSPHRASE)) == Done(detail=role)
    return desk


def an_empty(kind: type[msgspec.Struct]) -> Any:
    """Any message of a kind: who may not ask is refused before it is looked at."""
    return kind(**{one.name: cast("Any", "") for one in msgspec.structs.fields(kind)})


def test_every_request_is_either_open_or_for_some_role() -> None:
    kinds = set(typing.get_args(ToCore))
    assert kinds == set(OPEN) | set(ALLOWED)
    assert not set(OPEN) & set(ALLOWED)
    assert all(ALLOWED.values())


@pytest.mark.parametrize("role", [None, "operator", "technician", "auditor"])
def test_nobody_is_answered_what_their_role_may_not_ask(terminal: Terminal, role: Role | None, book: Book) -> None:
    desk = desk_of(terminal, role)
    for kind, roles in ALLOWED.items():
        if role not in roles:
            answer = answered(desk, an_empty(kind))
            assert isinstance(answer, Failed), kind
            assert answer.reason == "not_allowed", kind
    refused = [] if role is None else [name_of(kind) for kind, roles in ALLOWED.items() if role not in roles]
    assert [one.request for one in asked(book) if not one.allowed] == refused


def asked(book: Book) -> list[StaffRequest]:
    return [event for event in book.told if isinstance(event, StaffRequest)]


def test_no_role_can_both_enrol_and_make_staff_or_exchange_keys() -> None:
    assert not ALLOWED[Enrol] & (ALLOWED[AddStaff] | ALLOWED[Rotate])


def test_a_technician_carries_a_certificate_by_hand_and_each_way_is_recorded(terminal: Terminal, book: Book) -> None:
    taken: list[bytes] = []
    terminal.liaison = cast("Any", SimpleNamespace(certificate_request=lambda: b"asked", on_certificate=taken.append))
    desk = desk_of(terminal, "technician")
    assert answered(desk, AskCertificate()) == CertificateAsked(request=b"asked")
    assert isinstance(answered(desk, GiveCertificate(grant=b"granted")), Done)
    assert taken == [b"granted"]
    assert [one.request for one in asked(book)] == ["login", "ask_certificate", "give_certificate"]
    book.full = True
    assert answered(desk, GiveCertificate(grant=b"unrecorded")).reason == "audit_write"
    assert taken == [b"granted"]


def test_wrong_passphrase_takes_away_the_role_the_connection_had(terminal: Terminal, book: Book) -> None:
    desk = desk_of(terminal, "technician")
    assert answered(desk, Login(name="tech", passphrase="wrong wrong wrong")).reason == "login"
    assert answered(desk, ListStaff()).reason == "not_allowed"
    assert book.told[-1] == LoginFailed(name="tech", failed=1)


def test_what_was_typed_as_a_name_that_nobody_has_is_written_nowhere(terminal: Terminal, book: Book) -> None:
    """It may be a passphrase."""
    assert answered(Desk(terminal), Login(name="correct-horse", passphrase="ann")).reason == "login"
    assert book.told == [LoginFailed(name="", failed=1)]


def test_who_is_removed_can_ask_nothing_more_on_a_connection_that_stands(terminal: Terminal) -> None:
    removed, technician = desk_of(terminal, "operator"), desk_of(terminal, "technician")
    assert isinstance(answered(removed, ListStaff()), Staff)
    assert answered(technician, RemoveStaff(name="op")) == Done(detail="op")
    assert answered(removed, ListStaff()).reason == "not_allowed"
    assert answered(removed, Erase(person="0" * 16)).reason == "not_allowed"


def test_technician_adds_staff_and_nobody_makes_a_second_first(terminal: Terminal, book: Book) -> None:
    technician = desk_of(terminal, "technician")
    assert isinstance(answered(technician, AddStaff(name="eve", role="operator", passphrase=PASSPHRASE)), Done)
    assert answered(Desk(terminal), Login(name="eve", passphrase=PASSPHRASE)) == Done(detail="operator")
    assert answered(Desk(terminal), FirstTechnician(name="mallory", passphrase=PASSPHRASE)).reason == "roles_exist"
    assert RoleChange(name="eve", role="operator", change="added", by="tech") in book.told
    assert not any(isinstance(event, RoleChange) and event.name == "mallory" for event in book.told)
    assert book.signed == len(book.told), "before it was answered"


def test_what_cannot_be_recorded_is_not_done(terminal: Terminal, book: Book) -> None:
    technician, book.full = desk_of(terminal, "technician"), True
    assert answered(technician, AddStaff(name="eve", role="operator", passphrase=PASSPHRASE)).reason == "audit_write"
    assert answered(technician, RemoveStaff(name="op")).reason == "audit_write"
    assert answered(technician, ListStaff()).reason == "audit_write"
    book.full = False
    assert [member.name for member in answered(technician, ListStaff()).members] == ["audit", "op", "tech"]


def test_nobody_logs_in_unrecorded(terminal: Terminal, book: Book) -> None:
    desk, book.full = Desk(terminal), True
    assert answered(desk, Login(name="tech", passphrase=PASSPHRASE)).reason == "audit_write"
    book.full = False
    assert answered(desk, ListStaff()).reason == "not_allowed"


def test_a_connection_from_before_does_not_get_its_name_back(terminal: Terminal) -> None:
    """Attack: keep a connection open while a passphrase is exchanged."""
    old, technician = desk_of(terminal, "operator"), desk_of(terminal, "technician")
    answered(technician, RemoveStaff(name="op"))
    answered(technician, AddStaff(name="op", role="operator", passphrase="another horse battery"))
    assert answered(old, ListStaff()).reason == "not_allowed"


def test_who_is_removed_while_a_passphrase_is_sealed_makes_nobody(terminal: Terminal) -> None:
    leaving = desk_of(terminal, "technician")
    terminal.parts.roles.add("cyn", "technician", Sealed.of(PASSPHRASE, 1024))

    async def race() -> Any:
        making = asyncio.create_task(leaving.answer(AddStaff(name="eve", role="operator", passphrase=PASSPHRASE)))
        await asyncio.sleep(0)
        terminal.parts.roles.remove("tech")
        return await making

    assert asyncio.run(race()).reason == "not_allowed"
    assert "eve" not in [member.name for member in terminal.parts.roles.staff()]
