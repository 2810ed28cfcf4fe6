"""What is typed at the terminal: a PIN after the look, and a PIN that is chosen.

Rules kept here:
- Nobody is asked for a PIN who was not found alive, and the person who was claimed, right before.
- The screen takes one PIN each time it asks; Cancel is there until the last was typed.
- Every wait has an end: the session's own in a payment, `CHOOSE_S` where one is chosen.
- Where a try cannot be counted, or a PIN not be read or kept, it is a no.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from drivers.secure_element.interface import SecureElementError
from firmware.audit.errors import AuditError
from firmware.core.analysis import Finding, with_pin
from firmware.core.inbox import Cancelled, OutOfService, Typed
from firmware.core.parts import Parts
from firmware.core.pins import PinError, PinPapers, Pins, Verifier, weak
from firmware.core.reasons import FALLBACK, PIN_PROMPTS, SENTENCES
from firmware.core.roles import RolesError
from firmware.core.session import Phase, Session
from firmware.core.stand import Stand
from firmware.gallery.gallery import GalleryError
from firmware.payment.messages import Assurance
from firmware.runtime.messages import SetPin

CHOOSE_S: Final = 120.0
"""How long somebody has to choose a PIN and type it twice."""
REFUSED: Final = (AuditError, GalleryError, RolesError, PinError, SecureElementError)

_log = logging.getLogger("tessera.core")


class Keypad:
    """Asks for PINs on one terminal's screen."""

    def __init__(self, parts: Parts, stand: Stand) -> None:
        self._parts, self._stand, self.pins = parts, stand, Pins(parts)

    def wanted(self, assurance: Assurance) -> bool:
        """Whether a PIN must be typed for a payment that asks for this evidence."""
        return self._parts.basis.policy.pin or assurance == "dynamic_pin"

    def held_back(self, session: Session, person: str) -> str:
        """Why a payment that wants their PIN cannot be made now, a code; empty where it can, or wants none."""
        if not session.pin:
            return ""
        try:
            left = self.pins.left(person)
        except GalleryError as error:
            _log.error("%s", error)
            return "store"
        return "pin_missing" if left is None else "" if left else "pin_locked"

    async def asked(self, session: Session, finding: Finding | None, person: str) -> tuple[Session, Finding | None]:
        """Ask whoever was just recognised for their PIN, where the session wants one; the finding with it, then."""
        if session.phase is not Phase.PIN or finding is None:
            return session, finding
        prompt = "pin"
        while session.phase is Phase.PIN:
            typed = await self._typed(prompt, session.due_ns())
            if typed is None:
                session = session.expired(time.monotonic_ns())
            elif isinstance(typed, str):
                session = session.refused(typed)
            else:
                session, prompt = await self._tried(session, person, typed), "pin_wrong"
        if session.phase is Phase.DECIDED:
            finding = with_pin(finding, self._parts.basis.policy.asking())
            session = session.refused(finding.reason) if finding.reason else session
        return session, finding

    async def _tried(self, session: Session, person: str, typed: Typed) -> Session:
        try:
            if await self.pins.check(person, typed.digits):
                return session.typed(True, time.monotonic_ns())
            left = self.pins.left(person)
        except PinError as error:
            return session.refused(error.reason)
        except GalleryError as error:
            _log.error("%s", error)
            return session.refused("store")
        return session.typed(False, time.monotonic_ns()) if left else session.refused("pin_locked")

    async def choose(self, papers: PinPapers, by: str, still: Callable[[], None]) -> None:
        """Let somebody choose a PIN and type it twice, and keep it. `still` raises where `by` no longer may ask.

        Raises:
            AuditError, GalleryError, PinError, RolesError, SecureElementError: it is as it was.
        """
        due_ns = time.monotonic_ns() + int(CHOOSE_S * 1e9)
        prompt, chosen = "pin_choose", ""
        while True:
            typed = await self._typed(prompt, due_ns)
            if typed is None or isinstance(typed, str):
                reason = typed or "no_pin"
                raise PinError(SENTENCES[reason], reason)
            if not chosen and weak(typed.digits):
                prompt = "pin_weak"
            elif not chosen:
                prompt, chosen = "pin_again", typed.digits
            elif typed.digits == chosen:
                break
            else:
                prompt, chosen = "pin_differs", ""
        verifier = await asyncio.to_thread(Verifier.of, chosen)
        if await self._stand.cancelled():
            raise PinError(SENTENCES["cancelled"], "cancelled")
        still()
        self.pins.put(papers, verifier, by)

    async def _typed(self, prompt: str, due_ns: int) -> Typed | str | None:
        """Ask with a prompt: what was typed, the code of what ended it, or None at `due_ns`."""
        self._stand.typing = True
        self._stand.say("prompt", prompt, f"{PIN_PROMPTS[prompt]} {FALLBACK}")
        try:
            while (happening := await self._stand.inbox.take(due_ns)) is not None:
                if isinstance(happening, Typed):
                    return happening
                if isinstance(happening, Cancelled):
                    return happening.reason
                if isinstance(happening, OutOfService):
                    return "out_of_service"
        finally:
            self._stand.typing = False
        return None


async def set_pin(parts: Parts, stand: Stand, request: SetPin, by: str, still: Callable[[], None]) -> str:
    """Let a person choose a PIN on the screen, as the operator `by` asks; returns their id.

    `still` raises where they no longer may: it takes a minute, and somebody may have been removed in it.

    Raises:
        AuditError, BusyError, ConsentError, GalleryError, PaymentError, PinError: with nothing changed.
    """
    keypad = Keypad(parts, stand)
    papers = keypad.pins.papers(request.person, request.mandate)
    result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def choosing() -> None:
        try:
            await keypad.choose(papers, by, still)
        except REFUSED as error:
            stand.say("outcome", "pin_not_set", "No PIN was set.")
            result.set_exception(error)
        else:
            stand.say("outcome", "pin_set", "Your PIN is set.")
            result.set_result(request.person)
        parts.journal.rest()

    stand.begin(choosing(), "pin")
    return await result
