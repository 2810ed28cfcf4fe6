"""The control socket: what a person at the terminal's screen, or at its command line, may ask of `core`.

Rules kept here:
- Every request but those of the screen itself is for certain roles (`ALLOWED`), and whoever asks has logged in on this
  connection. What is in no table is refused.
- A role is looked up at each request: somebody who was removed may ask for nothing more on a connection that stands.
- Whatever the staff did stands in the audit log, signed, before they are answered.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from drivers.secure_element.interface import SecureElementError
from firmware.audit import events
from firmware.audit.errors import AuditError
from firmware.core import upkeep
from firmware.core.consents import check_match
from firmware.core.enrolling import enrol
from firmware.core.enrolment import EnrolmentError
from firmware.core.errors import TerminalError
from firmware.core.inbox import Cancelled, Tapped, Typed
from firmware.core.keypad import set_pin
from firmware.core.pins import Pins
from firmware.core.roles import Member, RolesError, Sealed, Seat
from firmware.core.stand import BusyError
from firmware.core.terminal import Terminal
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import Enrolled, GalleryError
from firmware.payment.errors import PaymentError
from firmware.runtime.ipc import Peer
from firmware.runtime.messages import (
    PEOPLE_PER_PAGE,
    AddStaff,
    AskCertificate,
    AuditCheckpoint,
    Backup,
    Cancel,
    CertificateAsked,
    ConsentOnRecord,
    Dispute,
    Done,
    Enrol,
    Erase,
    Erased,
    Export,
    Exported,
    Failed,
    FirstTechnician,
    GiveCertificate,
    ListPeople,
    ListStaff,
    Login,
    People,
    Person,
    Pin,
    RecordConsent,
    RemoveStaff,
    Renew,
    Role,
    Rotate,
    SetPin,
    SignedCheckpoint,
    Staff,
    StaffMember,
    Status,
    Subscribe,
    Tap,
    ToCore,
    Withdraw,
    Withdrawn,
)

_OPERATOR: Final[frozenset[Role]] = frozenset({"operator"})
_TECHNICIAN: Final[frozenset[Role]] = frozenset({"technician"})
_AUDITOR: Final[frozenset[Role]] = frozenset({"auditor"})
# Who enrols cannot make accounts of staff, and who makes those cannot enrol; a payer's account is bound by the backend.
ALLOWED: Final[Mapping[type[msgspec.Struct], frozenset[Role]]] = {
    RecordConsent: _OPERATOR,
    Enrol: _OPERATOR,
    SetPin: _OPERATOR,
    ListPeople: _OPERATOR,
    Erase: _OPERATOR,
    Withdraw: _OPERATOR,
    Renew: _OPERATOR,
    Export: _OPERATOR,
    Dispute: _OPERATOR,
    Rotate: _TECHNICIAN,
    Backup: _TECHNICIAN,
    AskCertificate: _TECHNICIAN,
    GiveCertificate: _TECHNICIAN,
    AddStaff: _TECHNICIAN,
    RemoveStaff: _TECHNICIAN,
    ListStaff: _OPERATOR | _TECHNICIAN | _AUDITOR,
    AuditCheckpoint: _AUDITOR,
}
# What stands on the screen before everybody, and how one comes to have a role.
SCREEN: Final = (Subscribe, Tap, Cancel, Pin, Status)
OPEN: Final = (*SCREEN, Login, FirstTechnician)
REFUSED: Final = (AuditError, BusyError, ConsentError, EnrolmentError, GalleryError, PaymentError)

OfPeople = ListPeople | Erase | Withdraw | Renew | Export | Dispute
OfLink = AskCertificate | GiveCertificate
OfStaff = Login | FirstTechnician | AddStaff | RemoveStaff | ListStaff


async def attend(terminal: Terminal, peer: Peer[ToCore]) -> None:
    """Serve one control connection until it ends. Who subscribes, enrols or has a PIN set receives events too."""
    forwarding: asyncio.Task[None] | None = None
    desk = Desk(terminal)
    try:
        while True:
            request = await peer.receive()
            if isinstance(request, (Subscribe, Enrol, SetPin)) and forwarding is None:
                forwarding = asyncio.create_task(terminal.stand.subscribers.forward(peer))
                await asyncio.sleep(0)  # let it register before anything is said
            if isinstance(request, (Enrol, SetPin)):
                await _while_there(desk, peer, request)
            else:
                await peer.send(await desk.answer(request))
    finally:
        if forwarding is not None:
            forwarding.cancel()


async def _while_there(desk: "Desk", peer: Peer[ToCore], request: Enrol | SetPin) -> None:
    """Enrol, or have a PIN chosen, for as long as the one who asked is there: nothing is done behind their back.

    Raises:
        IpcError: they hung up; it has been cancelled.
    """
    work = asyncio.create_task(desk.answer(request))
    listening = asyncio.create_task(peer.receive())
    await asyncio.wait({work, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        # Whatever they say, or that they are gone, ends it: the one thing to say meanwhile is Cancel.
        desk.terminal.stand.inbox.put(Cancelled())
    answer = await work
    listening.cancel()
    await asyncio.wait({listening})  # the stream takes one listener at a time
    if not listening.cancelled():
        listening.result()
    await peer.send(answer)


class Desk:
    """One control connection: who speaks on it, and what they are answered."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._seat: Seat | None = None

    async def answer(self, request: ToCore) -> msgspec.Struct:
        """The answer to a request, `Failed` where it was refused."""
        try:
            self._check(request)
            return await self._do(request)
        except REFUSED as error:
            return Failed(reason=error.code, text=str(error))
        except TerminalError as error:
            return Failed(reason=error.reason, text=str(error))
        except SecureElementError as error:
            return Failed(reason="secure_element", text=str(error))
        finally:
            if not isinstance(request, SCREEN) and not self.terminal.stand.busy:
                self.terminal.parts.journal.rest()

    @property
    def _name(self) -> str:
        return "" if self._seat is None else self._seat.name

    def _check(self, request: ToCore) -> None:
        """Raise RolesError `not_allowed` unless whoever speaks here may ask for this, now."""
        if isinstance(request, OPEN):
            return
        roles = ALLOWED.get(type(request), frozenset())
        if self.terminal.parts.roles.role(self._seat) not in roles:
            if self._seat is not None:
                self.terminal.parts.journal.note(self._asked(request, allowed=False))
            who = " or ".join(sorted(roles)) or "nobody"
            raise RolesError(f"This is for the role {who}: log in (--as NAME).", "not_allowed")

    async def _do(self, request: ToCore) -> msgspec.Struct:
        terminal, by = self.terminal, self._name
        if isinstance(request, OfStaff):
            return await self._staff(request)
        if isinstance(request, OfPeople):
            return await self._people(request)
        if isinstance(request, OfLink):
            return self._certificate(request)
        if isinstance(request, RecordConsent):
            return ConsentOnRecord(envelope=terminal.rights.record(request.form, by))
        if isinstance(request, Enrol):
            return Done(detail=await enrol(terminal.parts, terminal.stand, request, by, lambda: self._check(request)))
        if isinstance(request, SetPin):
            return Done(detail=await set_pin(terminal.parts, terminal.stand, request, by, lambda: self._check(request)))
        if isinstance(request, Rotate):
            done = upkeep.rotate(terminal.parts, terminal.stand, request.what, by)
            if request.what == "identity":
                terminal.link.greet_anew()
            return Done(detail=done)
        if isinstance(request, Backup):
            return Done(detail=str(upkeep.backup(terminal.parts, by)))
        if isinstance(request, AuditCheckpoint):
            terminal.parts.journal.must(events.Exported(what="audit", who=b"", by=by))
            return SignedCheckpoint(envelope=terminal.parts.journal.checkpoint())
        if isinstance(request, Status):
            return terminal.status()
        if isinstance(request, (Tap, Cancel, Pin)) and not terminal.stand.touched(request.scene, _happening(request)):
            return Failed(reason="scene", text="The terminal shows something else by now.")
        return Done(detail="")

    async def _people(self, request: OfPeople) -> msgspec.Struct:
        rights, by = self.terminal.rights, self._name
        if isinstance(request, ListPeople):
            self.terminal.parts.journal.must(self._asked(request, allowed=True))
            return _page(self.terminal, request.start)
        if isinstance(request, Erase):
            return Erased(receipt=rights.erase(request.person, by))
        if isinstance(request, Withdraw):
            left = rights.withdraw(request.person, request.purpose, by)
            return Erased(receipt=rights.erase(request.person, by)) if left is None else Withdrawn(record=left)
        if isinstance(request, Renew):
            rights.renew(request.person, request.consent, request.guardian, by)
            return Done(detail=request.person)
        if isinstance(request, Export):
            return Exported(document=await rights.export(request.person, by))
        return Done(detail=str(rights.dispute(request.person, by)))

    def _certificate(self, request: OfLink) -> msgspec.Struct:
        self.terminal.parts.journal.must(self._asked(request, allowed=True))
        if isinstance(request, AskCertificate):
            return CertificateAsked(request=self.terminal.liaison.certificate_request())
        self.terminal.liaison.on_certificate(request.grant)
        return Done(detail="link has it")

    async def _staff(self, request: OfStaff) -> msgspec.Struct:
        roles = self.terminal.parts.roles
        if isinstance(request, Login):
            return Done(detail=await self._login(request.name, request.passphrase))
        if isinstance(request, ListStaff):
            self.terminal.parts.journal.must(self._asked(request, allowed=True))
            return Staff(members=[StaffMember(name=one.name, role=one.role) for one in roles.staff()])
        if isinstance(request, RemoveStaff):
            roles.remove(request.name, lambda member: self._announce(member, "removed"))
            return Done(detail=request.name)
        if isinstance(request, FirstTechnician) and not roles.vacant:
            raise RolesError("There is a technician already; who can add others.", "roles_exist")
        sealed = await asyncio.to_thread(Sealed.of, request.passphrase)
        self._check(request)  # they may have been removed meanwhile
        if isinstance(request, FirstTechnician):
            roles.first(request.name, sealed, lambda member: self._announce(member, "added"))
        else:
            roles.add(request.name, request.role, sealed, lambda member: self._announce(member, "added"))
        return Done(detail=request.name)

    async def _login(self, name: str, passphrase: str) -> Role:
        self._seat, roles = None, self.terminal.parts.roles
        try:
            seat = await roles.login(name, passphrase)
        except RolesError as error:
            if error.reason == "login":
                known, failed = roles.failed(name)
                self.terminal.parts.journal.note(events.LoginFailed(name=known, failed=failed))
            raise
        role = roles.role(seat)
        if role is None:
            raise RolesError("Name or passphrase is wrong.", "login")
        self.terminal.parts.journal.must(events.StaffRequest(request="login", allowed=True, by=name))
        self._seat = seat
        return role

    def _asked(self, request: ToCore, *, allowed: bool) -> events.StaffRequest:
        name = events.name_of(type(request))
        return events.StaffRequest(request=name, allowed=allowed, by=self._name)

    def _announce(self, member: Member, change: Literal["added", "removed"]) -> None:
        self.terminal.parts.journal.must(
            events.RoleChange(name=member.name, role=member.role, change=change, by=self._name)
        )


def _happening(request: Tap | Cancel | Pin) -> Tapped | Cancelled | Typed:
    if isinstance(request, Pin):
        return Typed(request.digits)
    return Tapped() if isinstance(request, Tap) else Cancelled()


def _page(terminal: Terminal, start: int) -> People:
    gallery = terminal.parts.gallery
    return People(
        people=[_person(terminal, enrolled) for enrolled in gallery.people(start, PEOPLE_PER_PAGE)],
        total=len(gallery),
    )


def _person(terminal: Terminal, enrolled: Enrolled) -> Person:
    parts, asked = terminal.parts, "" if enrolled.consent else "gallery_damaged"
    try:
        for purpose in enrolled.purposes if enrolled.consent else ():
            check_match(parts, enrolled, purpose, parts.now_or_floor())
    except ConsentError as error:
        asked = error.code
    return Person(
        person=enrolled.person,
        purposes=enrolled.purposes,
        enrolled_at=enrolled.enrolled_at,
        retain_until=enrolled.ends_at,
        payer=enrolled.payer,
        tries=parts.attempts.standing(enrolled.mandate).told,
        asked=asked,
        disputes=enrolled.disputes,
        pin=Pins(parts).told(enrolled.person),
    )
