"""The control socket: what a person at the terminal's screen, or at its command line, may ask of `core`."""

import asyncio

import msgspec

from drivers.secure_element.interface import SecureElementError
from firmware.core.enrolling import enrol
from firmware.core.enrolment import EnrolmentError
from firmware.core.inbox import Cancelled, Tapped
from firmware.core.stand import BusyError
from firmware.core.terminal import Terminal
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import GalleryError
from firmware.payment.errors import PaymentError
from firmware.runtime.ipc import Peer
from firmware.runtime.messages import (
    PEOPLE_PER_PAGE,
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
                forwarding = asyncio.create_task(terminal.stand.subscribers.forward(peer))
                await asyncio.sleep(0)  # let it register before anything is said
            if isinstance(request, Enrol):
                await _enrol(terminal, peer, request)
            else:
                await peer.send(await _answer(terminal, request))
    finally:
        if forwarding is not None:
            forwarding.cancel()


async def _enrol(terminal: Terminal, peer: Peer[ToCore], request: Enrol) -> None:
    """Enrol for as long as the one who asked is there: nobody is enrolled behind their back.

    Raises:
        IpcError: they hung up; the enrolment has been cancelled.
    """
    work = asyncio.create_task(_answer(terminal, request))
    listening = asyncio.create_task(peer.receive())
    await asyncio.wait({work, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        # Whatever they say, or that they are gone, ends it: the one thing to say during an enrolment is Cancel.
        terminal.stand.inbox.put(Cancelled())
    answer = await work
    listening.cancel()
    await asyncio.wait({listening})  # the stream takes one listener at a time
    if not listening.cancelled():
        listening.result()
    await peer.send(answer)


async def _answer(terminal: Terminal, request: ToCore) -> msgspec.Struct:
    try:
        return await _do(terminal, request)
    except (BusyError, ConsentError, EnrolmentError, GalleryError, PaymentError) as error:
        return Failed(reason=error.code, text=str(error))
    except SecureElementError as error:
        return Failed(reason="secure_element", text=str(error))


async def _do(terminal: Terminal, request: ToCore) -> msgspec.Struct:
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


def _page(terminal: Terminal, start: int) -> People:
    everybody = terminal.parts.gallery.people()
    return People(
        people=[
            Person(
                person=enrolled.person,
                purpose=enrolled.purpose,
                enrolled_at=enrolled.enrolled_at,
                retain_until=enrolled.retain_until,
                payer=enrolled.payer,
                tries=terminal.parts.attempts.standing(enrolled.mandate).told,
            )
            for enrolled in everybody[start : start + PEOPLE_PER_PAGE]
        ],
        total=len(everybody),
    )
