"""Enrolling somebody at the stand: consent, mandate, five poses, sealed templates.

Rules kept here:
- Consent and mandates are checked before the camera starts, and nothing is kept of an enrolment that did not end well.
- Nobody can do it alone: an operator asks for it, and the backend has issued a mandate for this very consent.
- Nobody is claimed here: signs of an attack count for the terminal (`attempts.NOBODY`), and slow the next look down.
- A face that is enrolled for another account is not enrolled again (`duplicates`).
- It is in the audit log before it is done.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from drivers.camera import FAULTS
from drivers.secure_element.interface import SecureElementError
from firmware.audit import events
from firmware.audit.errors import AuditError
from firmware.audit.events import keyed, who
from firmware.core.asking import Asking
from firmware.core.attempts import NOBODY, Attempt, AttemptsError
from firmware.core.consents import Papers, check_papers
from firmware.core.duplicates import enrolled_elsewhere
from firmware.core.enrolment import Enrolment, EnrolmentError
from firmware.core.inbox import CameraGone, Cancelled, OutOfService
from firmware.core.journal import decision, note_streak
from firmware.core.parts import Parts
from firmware.core.reasons import ANOTHER
from firmware.core.roles import RolesError
from firmware.core.stand import Stand
from firmware.core.watch import Watch
from firmware.gallery.consent import ConsentError, consent_hash
from firmware.gallery.gallery import Enrolled, GalleryError
from firmware.payment.errors import PaymentError
from firmware.runtime.messages import Enrol, FrameReady

MANDATE_BYTES = 16
REFUSED = (AuditError, ConsentError, EnrolmentError, GalleryError, PaymentError, RolesError, SecureElementError)

_log = logging.getLogger("tessera.core")


async def enrol(parts: Parts, stand: Stand, request: Enrol, by: str, still: Callable[[], None]) -> str:
    """Enrol whoever stands in front, as the operator `by` asks; returns the person's id.

    `still` raises where they no longer may: it takes a minute, and somebody may have been removed in it.

    Raises:
        AuditError, BusyError, ConsentError, EnrolmentError, PaymentError, GalleryError: with nothing enrolled.
    """
    try:
        papers = check_papers(parts, request.consent, request.mandate, request.guardian)
    except (ConsentError, GalleryError, PaymentError) as error:
        parts.journal.note(decision("enrolment", error.code))
        raise
    result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def poses() -> None:
        try:
            result.set_result(await _enrolled(parts, stand, papers, by, still))
        except REFUSED as error:
            code = str(getattr(error, "code", "") or getattr(error, "reason", "") or "secure_element")
            parts.journal.note(decision("enrolment", code))
            result.set_exception(error)
        parts.journal.rest()

    stand.begin(poses(), "enrolment")
    return await result


async def _enrolled(parts: Parts, stand: Stand, papers: Papers, by: str, still: Callable[[], None]) -> str:
    """Five poses, and what comes of them. Raises as `enrol`."""
    enrolment = await _attempt(parts, stand)
    try:
        if enrolment.reason:
            raise EnrolmentError(enrolment.reason)
        return await _stored(parts, stand, papers, enrolment, by, still)
    finally:
        enrolment.forget()


async def _stored(
    parts: Parts, stand: Stand, papers: Papers, enrolment: Enrolment, by: str, still: Callable[[], None]
) -> str:
    others = [templates for payer, templates in parts.gallery.templates() if payer != papers.payer]
    if await asyncio.to_thread(enrolled_elsewhere, enrolment.seen, others, parts.judge):
        raise EnrolmentError("face_enrolled_elsewhere")
    if await stand.cancelled():
        raise EnrolmentError("cancelled")
    still()
    return parts.gallery.enrol(
        consent=papers.envelope,
        purposes=papers.record.purposes,
        payer=papers.payer,
        mandate=papers.mandate,
        templates=enrolment.templates,
        retain_until=papers.record.retain_until,
        now=parts.clock.now(),
        used=papers.used,
        announce=_announcing(parts, papers, by),
    )


def _announcing(parts: Parts, papers: Papers, by: str) -> Callable[[Enrolled], None]:
    """What is written down before somebody is enrolled: whose papers are used up, and who it is from now on."""

    def announce(enrolled: Enrolled) -> None:
        them = enrolled.audit_key
        used = keyed(them, papers.mandate)[:MANDATE_BYTES]
        parts.journal.must(events.MandateUsed(mandate=used, kind="payer"))
        if papers.guardian is not None:
            used = keyed(them, papers.guardian)[:MANDATE_BYTES]
            parts.journal.must(events.MandateUsed(mandate=used, kind="guardian"))
        parts.journal.must(
            events.Enrolment(
                who=who(them, enrolled.person),
                purposes=enrolled.purposes,
                consent=keyed(them, consent_hash(papers.envelope)),
                by=by,
            )
        )

    return announce


async def _attempt(parts: Parts, stand: Stand) -> Enrolment:
    """Five poses, as an attempt of nobody claimed. Raises EnrolmentError."""
    try:
        if reason := parts.attempts.admit(NOBODY):
            raise EnrolmentError(reason)
        attempt, complete = Attempt(parts.attempts, NOBODY), False
        try:
            enrolment = await _pose(parts, stand, attempt)
            attempt.saw(enrolment.reason)
            complete = enrolment.complete
        finally:
            attempt.ended(confirmed=complete)
        note_streak(parts.journal, attempt, enrolment.reason)
    except AttemptsError as error:
        _log.error("%s", error)
        raise EnrolmentError("store") from error
    return enrolment


async def _pose(parts: Parts, stand: Stand, attempt: Attempt) -> Enrolment:
    watch = Watch(stand.camera, parts, None, parts.profile.require_assurance)
    asking, asked = Asking(stand, watch.dynamic), ""
    try:
        problem = await watch.begin()
        if problem:
            raise EnrolmentError(problem, _why(stand))
        enrolment = Enrolment.begin(time.monotonic_ns())
        while (pose := enrolment.pose) is not None:
            if pose.prompt != asked:
                asked = pose.prompt
                stand.say("prompt", pose.name, asked)
            happening = await stand.inbox.take(enrolment.deadline_ns)
            if happening is None:
                raise EnrolmentError("pose_timeout")
            if isinstance(happening, Cancelled):
                raise EnrolmentError("cancelled")
            if isinstance(happening, OutOfService):
                raise EnrolmentError("out_of_service")
            if isinstance(happening, CameraGone):
                raise EnrolmentError("camera_lost", _why(stand))
            if isinstance(happening, FrameReady):
                finding = await watch.look(happening)
                if finding is not None:
                    # of another only what ends it is an attempt: one frame may be of a head that turned too far
                    attempt.saw("" if finding.reason in ANOTHER else finding.reason)
                    enrolment = enrolment.looked(finding, time.monotonic_ns())
                    if (claimed := enrolment.claimed) is not None:
                        watch.claim(claimed)
                    stand.show(finding)
                    if enrolment.pose is not None and asking.after(finding.reason):
                        asked = ""
    finally:
        await watch.end()
    return enrolment


def _why(stand: Stand) -> str:
    """What ended the capture, in plain words."""
    fault = stand.camera.ended_by
    return FAULTS[fault.cause][0] if fault is not None else ""
