"""Enrolling somebody at the stand: consent, mandate, five poses, sealed templates.

Rules kept here:
- Consent and mandate are checked before the camera starts, and nothing is kept of an enrolment that did not end well.
- Nobody is claimed here: signs of an attack count for the terminal (`attempts.NOBODY`), and slow the next look down.
"""

import asyncio
import logging
import time

from drivers.camera import FAULTS
from drivers.secure_element.interface import SecureElementError
from firmware.core.asking import Asking
from firmware.core.attempts import NOBODY, Attempt, AttemptsError
from firmware.core.enrolment import Enrolment, EnrolmentError
from firmware.core.inbox import CameraGone, Cancelled, OutOfService, Settled, Tapped
from firmware.core.parts import Parts
from firmware.core.reasons import ANOTHER
from firmware.core.stand import Stand
from firmware.core.watch import Watch
from firmware.gallery.consent import check_consent, parse_consent
from firmware.gallery.gallery import GalleryError
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import verify_mandate

_log = logging.getLogger("tessera.core")


async def enrol(parts: Parts, stand: Stand, consent_bytes: bytes, mandate_envelope: bytes) -> str:
    """Enrol whoever stands in front; returns the person's id.

    Raises:
        BusyError, ConsentError, EnrolmentError, PaymentError, GalleryError: with nothing enrolled.
    """
    now = parts.clock.now()
    consent = parse_consent(consent_bytes)
    check_consent(consent, "payment", now)
    mandate = verify_mandate(
        mandate_envelope,
        parts.trust,
        terminal=parts.config.terminal,
        purpose=consent.purpose,
        consent_hash=consent.sha256,
        now=now,
    )
    if parts.gallery.mandate_used(mandate.id):
        raise GalleryError("mandate", "This mandate was used before; ask for a new one.")
    result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def poses() -> None:
        try:
            enrolment = await _attempt(parts, stand)
            if enrolment.reason:
                raise EnrolmentError(enrolment.reason)
            if not await stand.past_cancelling():
                raise EnrolmentError("cancelled")
            result.set_result(
                parts.gallery.enrol(
                    consent=consent.encoded,
                    purposes=(consent.purpose,),
                    payer=mandate.payer,
                    mandate=mandate.id,
                    templates=enrolment.templates,
                    retain_until=consent.retain_until,
                    now=parts.clock.now(),
                )
            )
        except (EnrolmentError, GalleryError, PaymentError, SecureElementError) as error:
            result.set_exception(error)

    stand.begin(poses(), "enrolment")
    return await result


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
            if not isinstance(happening, (Settled, Tapped)):
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
