"""The control socket: what a person at the terminal's screen, or at its command line, may ask of `core`."""

import asyncio

import msgspec

from drivers.secure_element.interface import SecureElementError
from firmware.core.enrolment import EnrolmentError
from firmware.core.inbox import Cancelled, Tapped
from firmware.core.terminal import BusyError, Terminal
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import GalleryError
from firmware.payment.errors import PaymentError
from firmware.runtime.ipc import Peer
from firmware.runtime.messages import (
    Cancel,
    Done,
    Enrol,
    Erase,
    Erased,
    Failed,
    ListPeople,
    People,
    Person,
    Status,
    Subscribe,
    Tap,
    ToCore,
)


async def attend(terminal: Terminal, peer: Peer[ToCore]) -> None:
    """Serve one control connection until it ends. Subscribing and enrolling make it receive events too."""
    forwarding: asyncio.Task[None] | None = None
    try:
        while True:
            request = await peer.receive()
            if isinstance(request, (Subscribe, Enrol)) and forwarding is None:
                forwarding = asyncio.create_task(terminal.subscribers.forward(peer))
                await asyncio.sleep(0)  # let it register before anything is said
            await peer.send(await _answer(terminal, request))
    finally:
        if forwarding is not None:
            forwarding.cancel()


async def _answer(terminal: Terminal, request: ToCore) -> msgspec.Struct:
    try:
        return await _do(terminal, request)
    except (BusyError, ConsentError, EnrolmentError, GalleryError, PaymentError) as error:
        return Failed(reason=error.code, text=str(error))
    except SecureElementError as error:
        return Failed(reason="secure_element", text=str(error))


async def _do(terminal: Terminal, request: ToCore) -> msgspec.Struct:
    if isinstance(request, Enrol):
        return Done(detail=await terminal.enrol(request.consent, request.mandate))
    if isinstance(request, Erase):
        return Erased(receipt=terminal.erase(request.person))
    if isinstance(request, Status):
        return terminal.status()
    if isinstance(request, ListPeople):
        return People(people=[
            Person(
                person=e.person,
                purpose=e.purpose,
                enrolled_at=e.enrolled_at,
                retain_until=e.retain_until,
                payer=e.payer,
            )
            for e in terminal.parts.gallery.people()
        ])  # fmt: skip
    if isinstance(request, Tap):
        terminal.inbox.put(Tapped())
    elif isinstance(request, Cancel):
        terminal.inbox.put(Cancelled())
    return Done(detail="")
