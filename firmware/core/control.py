"""The control socket: what a person at the terminal's screen, or at its command line, may ask of `core`.

Rules kept here:
- Every request but those of the screen itself is for certain roles (`ALLOWED`), and whoever asks has logged in on this
  connection. What is in no table is refused.
- A role is looked up at each request: somebody who was removed may ask for nothing more on a connection that stands.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from drivers.secure_element.interface import SecureElementError
from firmware.core.enrolling import enrol
from firmware.core.enrolment import EnrolmentError
from firmware.core.inbox import Cancelled, Tapped
from firmware.core.roles import RolesError
from firmware.core.stand import BusyError
from firmware.core.terminal import Terminal
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import GalleryError
from firmware.payment.errors import PaymentError
from firmware.runtime.ipc import Peer
from firmware.runtime.messages import (
    PEOPLE_PER_PAGE,
    AddStaff,
    Cancel,
    Done,
    Enrol,
    Erase,
    Erased,
    Failed,
    FirstTechnician,
    ListPeople,
    ListStaff,
    Login,
    People,
    Person,
    RemoveStaff,
    Role,
    Staff,
    StaffMember,
    Status,
    Subscribe,
    Tap,
    ToCore,
)

_OPERATOR: Final[frozenset[Role]] = frozenset({"operator"})
_TECHNICIAN: Final[frozenset[Role]] = frozenset({"technician"})
_ALL: Final[frozenset[Role]] = frozenset({"operator", "technician", "auditor"})
# Who enrols cannot make accounts of staff, and who makes those cannot enrol; a payer's account is bound by the backend.
ALLOWED: Final[Mapping[type[msgspec.Struct], frozenset[Role]]] = {
    Enrol: _OPERATOR,
    ListPeople: _OPERATOR,
    Erase: _OPERATOR,
    AddStaff: _TECHNICIAN,
    RemoveStaff: _TECHNICIAN,
    ListStaff: _ALL,
}
# What stands on the screen before everybody, and how one comes to have a role.
OPEN: Final = (Subscribe, Tap, Cancel, Status, Login, FirstTechnician)


async def attend(terminal: Terminal, peer: Peer[ToCore]) -> None:
    """Serve one control connection until it ends. Subscribing and enrolling make it receive events too."""
    forwarding: asyncio.Task[None] | None = None
    desk = Desk(terminal)
    try:
        while True:
            request = await peer.receive()
            if isinstance(request, (Subscribe, Enrol)) and forwarding is None:
                forwarding = asyncio.create_task(terminal.stand.subscribers.forward(peer))
                await asyncio.sleep(0)  # let it register before anything is said
            if isinstance(request, Enrol):
                await _enrol(desk, peer, request)
            else:
                await peer.send(await desk.answer(request))
    finally:
        if forwarding is not None:
            forwarding.cancel()


async def _enrol(desk: "Desk", peer: Peer[ToCore], request: Enrol) -> None:
    """Enrol for as long as the one who asked is there: nobody is enrolled behind their back.

    Raises:
        IpcError: they hung up; the enrolment has been cancelled.
    """
    work = asyncio.create_task(desk.answer(request))
    listening = asyncio.create_task(peer.receive())
    await asyncio.wait({work, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        # Whatever they say, or that they are gone, ends it: the one thing to say during an enrolment is Cancel.
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
        self._name = ""

    async def answer(self, request: ToCore) -> msgspec.Struct:
        """The answer to a request, `Failed` where it was refused."""
        try:
            self._check(request)
            return await self._do(request)
        except (BusyError, ConsentError, EnrolmentError, GalleryError, PaymentError) as error:
            return Failed(reason=error.code, text=str(error))
        except RolesError as error:
            return Failed(reason=error.reason, text=str(error))
        except SecureElementError as error:
            return Failed(reason="secure_element", text=str(error))

    def _check(self, request: ToCore) -> None:
        """Raise RolesError `not_allowed` unless whoever speaks here may ask for this."""
        if isinstance(request, OPEN):
            return
        roles = ALLOWED.get(type(request), frozenset())
        if self.terminal.parts.roles.role(self._name) not in roles:
            who = " or ".join(sorted(roles)) or "nobody"
            raise RolesError(f"This is for the role {who}: log in (--as NAME).", "not_allowed")

    async def _do(self, request: ToCore) -> msgspec.Struct:
        terminal = self.terminal
        if isinstance(request, (Login, FirstTechnician, AddStaff, RemoveStaff, ListStaff)):
            return await self._staff(request)
        if isinstance(request, Enrol):
            return Done(detail=await enrol(terminal.parts, terminal.stand, request.consent, request.mandate))
        if isinstance(request, Erase):
            return Erased(receipt=terminal.erase(request.person))
        if isinstance(request, Status):
            return terminal.status()
        if isinstance(request, ListPeople):
            return _page(terminal, request.start)
        if isinstance(request, (Tap, Cancel)):
            happening = Tapped() if isinstance(request, Tap) else Cancelled()
            if not terminal.stand.touched(request.scene, happening):
                return Failed(reason="scene", text="The terminal shows something else by now.")
        return Done(detail="")

    async def _staff(self, request: Login | FirstTechnician | AddStaff | RemoveStaff | ListStaff) -> msgspec.Struct:
        roles = self.terminal.parts.roles
        if isinstance(request, Login):
            self._name = ""
            role = await asyncio.to_thread(roles.login, request.name, request.passphrase)
            self._name = request.name
            return Done(detail=role)
        if isinstance(request, FirstTechnician):
            await asyncio.to_thread(roles.first, request.name, request.passphrase)
        elif isinstance(request, AddStaff):
            await asyncio.to_thread(roles.add, request.name, request.role, request.passphrase)
        elif isinstance(request, RemoveStaff):
            await asyncio.to_thread(roles.remove, request.name)
        else:
            return Staff(members=[StaffMember(name=one.name, role=one.role) for one in roles.staff()])
        return Done(detail=request.name)


def _page(terminal: Terminal, start: int) -> People:
    gallery = terminal.parts.gallery
    return People(
        people=[
            Person(
                person=enrolled.person,
                purposes=enrolled.purposes,
                enrolled_at=enrolled.enrolled_at,
                retain_until=enrolled.ends_at,
                payer=enrolled.payer,
                tries=terminal.parts.attempts.standing(enrolled.mandate).told,
            )
            for enrolled in gallery.people(start, PEOPLE_PER_PAGE)
        ],
        total=len(gallery),
    )
