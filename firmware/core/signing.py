"""What `core` signs: authorizations, declines, erasure receipts; all through the secure element and the outbox."""

import json
import math

from firmware.core.parts import Parts
from firmware.gallery.gallery import Enrolled
from firmware.payment.authorize import (
    SALT_BYTES,
    Binding,
    Software,
    commit,
    sign_authorization,
    sign_decline,
)
from firmware.payment.errors import PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.mandate import sign_erasure
from firmware.payment.messages import Evidence

GATES = ("fresh", "depth_coverage", "relief", "eye_distance")


class Signer:
    """Signs with the parts of one terminal."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def authorize(
        self, accepted: AcceptedIntent, enrolled: Enrolled, camera: str, shown: str, values: dict[str, float]
    ) -> None:
        """Sign and store the one authorization of an intent.

        `values` are the deciding frame's gate values and score: they stay here as the audit record, and the
        authorization only commits to them.

        Raises:
            PaymentError, SecureElementError: nothing was stored.
        """
        parts = self._parts
        salt = parts.element.random(SALT_BYTES)
        audit = json.dumps(values, sort_keys=True).encode()
        evidence = Evidence(
            assurance="geometry", gates=GATES, match_band=_band(parts.calibration.fmr_upper), record=commit(audit, salt)
        )
        software = Software(
            terminal=parts.config.terminal,
            profile=parts.profile.name,
            policy=parts.profile.digest,
            thresholds=parts.thresholds_digest,
            models=parts.models_digest,
            firmware=parts.firmware_version,
            camera=camera,
        )
        now = parts.clock.now()

        def make(counter: int) -> bytes:
            return sign_authorization(
                accepted,
                software=software,
                evidence=evidence,
                binding=Binding(enrolled.payer, enrolled.mandate),
                shown=shown,
                now=now,
                counter=counter,
                element=parts.element,
            )

        parts.outbox.authorize(accepted.intent.id, make, audit=salt + audit)

    def decline(self, intent: bytes, digest: bytes, reason: str) -> None:
        """Sign and store the decline of an open intent. Raises PaymentError, SecureElementError."""
        parts = self._parts
        try:
            now = parts.clock.now()
        except PaymentError:
            now = parts.outbox.time_floor  # a no must not wait for the clock; the backend signed this time itself

        def make(counter: int) -> bytes:
            return sign_decline(
                intent,
                digest,
                terminal=parts.config.terminal,
                reason=reason,
                now=now,
                counter=counter,
                element=parts.element,
            )

        parts.outbox.decline(intent, make)

    def erasure(self, enrolled: Enrolled) -> bytes:
        """Sign the receipt for a person about to be erased: template, consent and key."""
        parts = self._parts
        return sign_erasure(
            terminal=parts.config.terminal,
            person=enrolled.person,
            consent_hash=enrolled.consent.sha256,
            erased_at=parts.clock.now(),
            records=1,
            element=parts.element,
        )


def _band(fmr_upper: float) -> int:
    """The n of a false match rate below 10^-n, claimed from the upper end of its interval, never from the estimate."""
    return max(1, math.floor(-math.log10(fmr_upper)))
