"""The plain messages of the test vectors: one payment and one enrolment, from consent to receipt."""

import hashlib
from collections.abc import Callable

from firmware.gallery.consent import ConsentRecord
from firmware.payment import schema
from firmware.payment.authorize import display_hash, display_text
from firmware.payment.messages import (
    NO_ID,
    Allowance,
    Authorization,
    Beacon,
    BeaconRequest,
    Cancellation,
    CertificateGrant,
    CertificateRequest,
    Decline,
    ErasureReceipt,
    Evidence,
    GuardianMandate,
    Intent,
    KeySet,
    Mandate,
    Receipt,
    Reconciliation,
    Status,
)

NOW = 1_800_000_000


def examples(seal: Callable[[str, schema.Message], bytes]) -> dict[str, schema.Message]:
    """One plain message of each kind. They fit each other: `seal` returns the exact envelope of one of them."""
    fresh = iter(hashlib.sha256(b"%d" % number).digest() for number in range(40))
    consent = ConsentRecord(
        who="Kim", purposes=("payment", "door"), notice_version="1", notice_sha256=next(fresh), language="de",
        retention_days=365, date_of_birth="1990-02-28", age_source="document", given_at=NOW - 900, guardian="",
        guardian_verifier="", guardian_method="", guardian_given_at=0, terminal="till-1", recorded_by="op",
        recorded_at=NOW - 840,
    )  # fmt: skip
    consent_hash = _sha256(seal("consent-record", consent))
    mandate = Mandate(
        id=next(fresh)[:16], payer="payer-7", terminal="till-1", purpose="payment", consent_hash=consent_hash,
        issued_at=NOW - 800, expires_at=NOW - 200, method="simulated",
    )  # fmt: skip
    intent = Intent(
        id=next(fresh)[:16], issued_at=NOW, expires_at=NOW + 120, terminal="till-1", merchant="CORNER-SHOP",
        amount_minor=1250, currency="EUR", exponent=2, challenge=next(fresh), assurance="dynamic", payer="payer-7",
        counter=41,
    )  # fmt: skip
    intent_hash = _sha256(seal("intent", intent))
    authorization = Authorization(
        id=next(fresh)[:16], intent=intent.id, intent_hash=intent_hash, challenge=intent.challenge, terminal="till-1",
        merchant=intent.merchant, amount_minor=1250, currency="EUR", exponent=2, counter=42, issued_at=NOW + 9,
        expires_at=NOW + 120, payer="payer-7", mandate=mandate.id, profile="payment", policy=next(fresh),
        evidence=Evidence(assurance="dynamic", gates=("fresh", "dynamic"), match_band=4, record=next(fresh)),
        thresholds=next(fresh), models=next(fresh), firmware="0.1.0", camera="camera-0",
        display_hash=display_hash(display_text(1250, "EUR", intent.merchant)), allowance=NO_ID,
    )  # fmt: skip
    beacon_request = BeaconRequest(terminal="till-1", nonce=next(fresh), counter=42, waiting=0)
    request = CertificateRequest(terminal="till-1", request=2 * next(fresh) + next(fresh), issued_at=NOW - 3600)
    status = Status(
        terminal="till-1", connection=next(fresh)[:16], sequence=1, presence="online", issued_at=NOW - 60,
        profile="payment", firmware="0.1.0", models=authorization.models, camera="camera-0", key_set=3, counter=41,
        waiting=0, people=12, tls_until=NOW + 86_400,
    )  # fmt: skip
    return {
        "intent": intent,
        "authorization": authorization,
        "decline": Decline(
            intent=intent.id, intent_hash=intent_hash, terminal="till-1", counter=42, issued_at=NOW + 9, reason="no_tap"
        ),
        "receipt": Receipt(
            digest=_sha256(seal("authorization", authorization)), intent=intent.id, terminal="till-1",
            outcome="approved", code="", issued_at=NOW + 10,
        ),
        "mandate": mandate,
        "guardian-mandate": GuardianMandate(
            id=next(fresh)[:16], terminal="till-1", consent_hash=next(fresh), verifier="school-office",
            method="document", issued_at=NOW - 800, expires_at=NOW - 200,
        ),
        "erasure-receipt": ErasureReceipt(
            terminal="till-1", person="p-1", consent_hash=consent_hash, erased_at=NOW + 99, records=1
        ),
        "consent-record": consent,
        "key-set": KeySet(
            version=3, issued_at=NOW - 3600, expires_at=NOW + 30 * 86_400, environment="production",
            keys=tuple(2 * next(fresh) + next(fresh)[:27] for _ in range(2)),
        ),
        "beacon-request": beacon_request,
        "beacon": Beacon(
            terminal="till-1", nonce=beacon_request.nonce, time=NOW, counter=42,
            allowance=Allowance(
                id=next(fresh)[:16], currency="EUR", exponent=2, payment_minor=2500, payer_minor=5000,
                terminal_minor=50_000, hold_s=86_400, expires_at=NOW + 8 * 3600,
            ),
        ),
        "cancellation": Cancellation(
            intent=intent.id, intent_hash=intent_hash, terminal="till-1", issued_at=NOW + 5
        ),
        "status": status,
        "certificate-request": request,
        "certificate": CertificateGrant(
            terminal="till-1", request=_sha256(seal("certificate-request", request)), certificate=5 * next(fresh)
        ),
        "reconciliation": Reconciliation(
            since=NOW - 86_400, until=NOW, lines=1, digest=next(fresh), issued_at=NOW + 60
        ),
    }  # fmt: skip


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
