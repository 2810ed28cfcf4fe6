"""Looking at whoever pays: the tap, then frames, as an attempt of the claimed person.

Rules kept here:
- Capture runs only while somebody is looked at.
- Who has failed too often in a row is not looked at (`attempts`); a failure is counted before anything of it is told.
"""

import logging
import time

from firmware.core.analysis import Finding
from firmware.core.asking import Asking
from firmware.core.attempts import Attempt, AttemptsError
from firmware.core.inbox import CameraGone, Cancelled, OutOfService, Tapped
from firmware.core.journal import note_streak
from firmware.core.parts import Parts
from firmware.core.session import Phase, Session
from firmware.core.stand import Stand
from firmware.core.watch import MakeWatch, Watching
from firmware.gallery.gallery import Enrolled
from firmware.payment.messages import Assurance
from firmware.runtime.messages import FrameReady

_log = logging.getLogger("tessera.core")


class Looking:
    """Looks at one person after another; `watch` makes what looks."""

    def __init__(self, parts: Parts, stand: Stand, watch: MakeWatch) -> None:
        self._parts, self._stand, self._watch = parts, stand, watch

    def held_back(self, enrolled: Enrolled) -> str:
        """Why this person may not be looked at now: too many failed attempts; empty where they may."""
        try:
            return self._parts.attempts.admit(enrolled.mandate)
        except AttemptsError as error:
            _log.error("%s", error)
            return "store"

    async def attempt(
        self, session: Session, enrolled: Enrolled, assurance: Assurance
    ) -> tuple[Session, Finding | None]:
        """Look, as an attempt of the claimed person. One that cannot be counted is refused."""
        attempt = Attempt(self._parts.attempts, enrolled.mandate)
        finding = None
        try:
            try:
                watch = self._watch(self._stand.camera, self._parts, enrolled.templates, assurance, enrolled.disputes)
                session, finding = await self.look(session, watch, attempt)
            finally:
                attempt.ended(confirmed=session.confirmed)
            note_streak(self._parts.journal, attempt, session.reason)
        except AttemptsError as error:
            _log.error("%s", error)
            session = session.refused("store")
        return session, finding

    async def look(self, session: Session, watch: Watching, attempt: Attempt) -> tuple[Session, Finding | None]:
        """Tap, then frames, until decided or over; the last finding with it. Capture ends whatever happens."""
        asking, finding = Asking(self._stand, watch.dynamic), None
        try:
            while session.phase in (Phase.TAP, Phase.LOOK):
                happening = await self._stand.inbox.take(session.due_ns())
                now_ns = time.monotonic_ns()
                if happening is None:
                    session = session.expired(now_ns)
                elif isinstance(happening, Cancelled):
                    session = session.refused(happening.reason)
                elif isinstance(happening, OutOfService):
                    session = session.refused("out_of_service")
                elif isinstance(happening, CameraGone):
                    session = session.refused("camera_lost") if session.phase is Phase.LOOK else session
                elif isinstance(happening, Tapped):
                    if session.phase is not Phase.TAP:
                        continue  # tapped twice
                    problem = await watch.begin()
                    if problem:
                        session = session.refused(problem)
                    else:
                        session = session.tapped(time.monotonic_ns(), watch.look_s)
                        self._stand.say("prompt", "look", "Please look at the terminal.")
                elif isinstance(happening, FrameReady):
                    seen = await watch.look(happening)
                    if seen is None:
                        continue
                    finding = seen
                    attempt.saw(finding.reason)
                    session = session.looked(finding.reason, time.monotonic_ns())
                    self._stand.show(finding)
                    if session.phase is Phase.LOOK:
                        asking.after(finding.reason)
                        asking.mend(finding.reason)
        finally:
            await watch.end()
        return session, finding
