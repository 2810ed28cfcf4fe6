"""What `core` signs: authorizations, declines, erasure receipts; all through the secure element and the outbox."""

import math

import msgspec

from firmware.core.analysis import Finding
from firmware.core.journal import decision
from firmware.core.parts import Parts
from firmware.core.reasons import told
from firmware.gallery.consent import consent_hash
from firmware.gallery.gallery import Enrolled
from firmware.payment.authorize import (
    SALT_BYTES,
    Binding,
    Software,
    commit,
    sign_authorization,
    sign_decline,
)
from firmware.payment.intent import AcceptedIntent
from firmware.payment.mandate import sign_erasure
from firmware.payment.messages import Allowance, Evidence


class Signer:
    """Signs with the parts of one terminal."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def authorize(
        self,
        accepted: AcceptedIntent,
        enrolled: Enrolled,
        camera: str,
        shown: str,
        finding: Finding,
        allowance: Allowance | None,
    ) -> None:
        """Sign and store the one authorization of an intent.

        Values and limits of `finding`, the deciding frame's, stay here as the audit record; the authorization names
        the gates and commits to the rest. `allowance`: what may be done while the link is down; None while it is up.

        Raises:
            AuditError, PaymentError, SecureElementError: nothing was stored.
        """
        parts = self._parts
        salt = parts.element.random(SALT_BYTES)
        audit = _record("", finding)
        evidence = Evidence(
            assurance=finding.assurance,
            gates=tuple(gate.name for gate in finding.gates if gate.passed),
            match_band=_band(parts.judge.bound),
            record=commit(audit, salt),
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
        parts.journal.must(decision("payment", "", accepted.intent.id, evidence.record))

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
                allowance=allowance,
            )

        if allowance is None:
            parts.outbox.authorize(accepted.intent.id, make, audit=salt + audit)
        else:
            parts.outbox.authorize_offline(accepted.intent, allowance, now, make, audit=salt + audit)

    def decline(self, intent: bytes, digest: bytes, reason: str, finding: Finding | None = None) -> None:
        """Sign and store the decline of an open intent.

        It carries the reason as it is told (`reasons.told`); the precise one stays here as the audit record, with
        values and limits of `finding`, the last frame's.

        Raises:
            PaymentError, SecureElementError: nothing was stored.
        """
        parts, now = self._parts, self._parts.now_or_floor()

        def make(counter: int) -> bytes:
            return sign_decline(
                intent,
                digest,
                terminal=parts.config.terminal,
                reason=told(reason),
                now=now,
                counter=counter,
                element=parts.element,
            )

        parts.outbox.decline(intent, make, _record(reason, finding))

    def erasure(self, enrolled: Enrolled) -> bytes:
        """Sign the receipt for a person about to be erased: template, consent and key."""
        parts = self._parts
        return sign_erasure(
            terminal=parts.config.terminal,
            person=enrolled.person,
            consent_hash=consent_hash(enrolled.consent),
            erased_at=self._parts.now_or_floor(),
            records=1,
            element=parts.element,
        )


def _record(reason: str, finding: Finding | None) -> bytes:
    """The audit record: why, and everything that was measured."""
    seen = {} if finding is None else {name: getattr(finding, name) for name in ("gates", "cues", "llr", "match")}
    return msgspec.json.encode({"reason": reason, **seen})


def _band(fmr_upper: float) -> int:
    """The n of a false match rate below 10^-n, claimed from the upper end of its interval, never from the estimate."""
    return max(1, math.floor(-math.log10(fmr_upper)))
