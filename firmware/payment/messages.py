"""The signed messages, field by field; the order of fields is their wire format (see `schema`).

Rules kept here:
- They hold tokens, never names, and nothing of a face: the broker can read them.
- Times are whole seconds since 1970, UTC. Amounts count the currency's minor unit, and its exponent stands beside.
- Identifiers are 16 random bytes, digests SHA-256.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from firmware.payment.schema import Message

Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Seconds = Annotated[int, Meta(ge=1_577_836_800, le=4_102_444_800)]  # 2020 to 2100
Minor = Annotated[int, Meta(ge=1, le=10_000_000)]
Exponent = Annotated[int, Meta(ge=0, le=3)]
Counter = Annotated[int, Meta(ge=0, le=2**53)]
Told = Annotated[int, Meta(ge=0, le=2**48)]  # the last one, as the backend says it: far below all that can be signed
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z")]
Version = Annotated[str, Meta(max_length=14, pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}\Z")]
Reason = Annotated[str, Meta(max_length=32, pattern=r"^[a-z][a-z0-9_]*\Z")]

Sum = Annotated[int, Meta(ge=0, le=1_000_000_000)]  # of many amounts, minor units
Number = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Spki = Annotated[bytes, Meta(min_length=91, max_length=91)]  # DER SubjectPublicKeyInfo of a P-256 key
Csr = Annotated[bytes, Meta(min_length=64, max_length=512)]  # PKCS#10, DER, of a P-256 key; no template fits
Der = Annotated[bytes, Meta(min_length=64, max_length=2048)]

Assurance = Literal["geometry", "dynamic", "dynamic_pin"]
Outcome = Literal["approved", "declined", "rejected"]
Environment = Literal["demo", "production"]
Presence = Literal["online", "offline"]

ASSURANCE_RANK = {"geometry": 0, "dynamic": 1, "dynamic_pin": 2}
NO_ID = bytes(16)  # a receipt's intent when the refused bytes named none; no allowance


class Intent(Message, frozen=True):
    """The backend asks this terminal for one payment by this payer.

    Attributes:
        challenge: 32 fresh random bytes; the authorization repeats them.
        assurance: least evidence of life the backend wants.
        payer: the token of the account to be charged: whose face the terminal looks for.
        counter: the last counter the backend saw from this terminal; the terminal goes on above it, so that a
            restored backup does not fall behind.
    """

    TYP: ClassVar[str] = "application/tessera-intent+cbor"

    id: Id
    issued_at: Seconds
    expires_at: Seconds
    terminal: Name
    merchant: Name
    amount_minor: Minor
    currency: Currency
    exponent: Exponent
    challenge: Digest
    assurance: Assurance
    payer: Name
    counter: Told


class Evidence(Message, frozen=True):
    """Why the terminal says yes, in bands and in clear. Scores and images never leave the terminal.

    Attributes:
        assurance: `geometry` is static 3D only; `dynamic` adds deformation of the living face; `dynamic_pin` adds
            a secret the payer typed in.
        gates: names of the mandatory gates, all passed.
        match_band: n where the match threshold passed was set for a false match rate of 10^-n.
        record: salted commitment to the local audit record (`authorize.commit`).
    """

    assurance: Assurance
    gates: Annotated[tuple[Reason, ...], Meta(max_length=16)]
    match_band: Annotated[int, Meta(ge=1, le=9)]
    record: Digest


class Authorization(Message, frozen=True):
    """The terminal's one yes to one intent.

    Attributes:
        intent_hash: SHA-256 of the intent's exact envelope.
        counter: above every counter this terminal signed before.
        mandate: the payer mandate under which this face was bound to `payer`.
        policy, thresholds, models: SHA-256 of the profile file, the threshold file and the model manifest.
        camera: the camera's serial number.
        display_hash: SHA-256 of the text `core` asked to show; a statement by `core`, not proof of pixels.
        allowance: the allowance it was signed under while the link was down; `NO_ID` where the link was up.
    """

    TYP: ClassVar[str] = "application/tessera-authorization+cbor"

    id: Id
    intent: Id
    intent_hash: Digest
    challenge: Digest
    terminal: Name
    merchant: Name
    amount_minor: Minor
    currency: Currency
    exponent: Exponent
    counter: Counter
    issued_at: Seconds
    expires_at: Seconds
    evidence: Evidence
    payer: Name
    mandate: Id
    profile: Name
    policy: Digest
    thresholds: Digest
    models: Digest
    firmware: Version
    camera: Name
    display_hash: Digest
    allowance: Id


class Decline(Message, frozen=True):
    """The terminal's one no to one intent, with the reason's code."""

    TYP: ClassVar[str] = "application/tessera-decline+cbor"

    intent: Id
    intent_hash: Digest
    terminal: Name
    counter: Counter
    issued_at: Seconds
    reason: Reason


class Receipt(Message, frozen=True):
    """The backend's word on exact bytes: final. The signing key's id stands in the protected header.

    Attributes:
        digest: SHA-256 of the exact envelope of the authorization or decline.
        intent: whom it settles, or `NO_ID` where a rejected envelope named none.
        code: why it was rejected; empty otherwise.
    """

    TYP: ClassVar[str] = "application/tessera-receipt+cbor"

    digest: Digest
    intent: Id
    terminal: Name
    outcome: Outcome
    code: Annotated[str, Meta(max_length=32, pattern=r"^[a-z_]*\Z")]
    issued_at: Seconds


class Mandate(Message, frozen=True):
    """The backend lets this terminal bind one consenting face to one payer, once.

    Attributes:
        purpose: what the consent is for: `payment` where that is among its purposes.
        consent_hash: SHA-256 of the exact bytes of the consent record.
        method: how the backend made sure, out of band, that the account's holder wants it; `simulated` by the
            reference backend.
    """

    TYP: ClassVar[str] = "application/tessera-mandate+cbor"

    id: Id
    payer: Name
    terminal: Name
    purpose: Reason
    consent_hash: Digest
    issued_at: Seconds
    expires_at: Seconds
    method: Reason


class GuardianMandate(Message, frozen=True):
    """Somebody made sure who the guardian is that consented for a person under 14, at this terminal, once.

    Attributes:
        consent_hash: as in `Mandate`.
        verifier, method: who made sure and how, as the consent record names them.
    """

    TYP: ClassVar[str] = "application/tessera-guardian-mandate+cbor"

    id: Id
    terminal: Name
    consent_hash: Digest
    verifier: Name
    method: Reason
    issued_at: Seconds
    expires_at: Seconds


class ErasureReceipt(Message, frozen=True):
    """The terminal's proof that a person's records are gone; `person` is the opaque handle, `records` how many."""

    TYP: ClassVar[str] = "application/tessera-erasure+cbor"

    terminal: Name
    person: Name
    consent_hash: Digest
    erased_at: Seconds
    records: Annotated[int, Meta(ge=0, le=1000)]


class KeySet(Message, frozen=True):
    """The keys the backend signs with, by the root that terminals pin: these count, and no others.

    Attributes:
        version: above every set before; a terminal takes none below the highest it has seen.
        expires_at: after it the set says nothing any more.
        environment: keys of the demonstration say so, and nothing in production takes them.
        keys: public keys; a key's id is `trust.key_id`. One that is left out is revoked.
    """

    TYP: ClassVar[str] = "application/tessera-key-set+cbor"

    version: Annotated[int, Meta(ge=1, le=2**31)]
    issued_at: Seconds
    expires_at: Seconds
    environment: Environment
    keys: Annotated[tuple[Spki, ...], Meta(min_length=1, max_length=8)]


class BeaconRequest(Message, frozen=True):
    """The terminal asks what time it is.

    Attributes:
        nonce: 32 fresh random bytes; only the answer that repeats them is believed, once.
        counter: the last counter the terminal signed for.
        waiting: how many envelopes in its outbox have no receipt.
    """

    TYP: ClassVar[str] = "application/tessera-beacon-request+cbor"

    terminal: Name
    nonce: Digest
    counter: Counter
    waiting: Number


class Allowance(Message, frozen=True):
    """What may be authorized while the link is down, until the next beacon. All limits zero: nothing.

    Attributes:
        id: what an authorization names that was signed under it.
        payment_minor: most of one payment, in the currency's minor unit.
        payer_minor, terminal_minor: most of one payer, and of all together, under this allowance.
        hold_s: how long an authorization under it may wait for delivery, seconds; later it is `expired`.
        expires_at: nothing is signed under it from then on.
    """

    id: Id
    currency: Currency
    exponent: Exponent
    payment_minor: Sum
    payer_minor: Sum
    terminal_minor: Sum
    hold_s: Annotated[int, Meta(ge=0, le=7 * 86_400)]
    expires_at: Seconds


class Beacon(Message, frozen=True):
    """The backend says what time it is, to the one who asked with this nonce.

    Attributes:
        counter: the last counter the backend saw from this terminal.
        allowance: what may be done until the next one, should the link go down.
    """

    TYP: ClassVar[str] = "application/tessera-beacon+cbor"

    terminal: Name
    nonce: Digest
    time: Seconds
    counter: Told
    allowance: Allowance


class Cancellation(Message, frozen=True):
    """The backend takes an intent back that nobody has answered; what is signed for it from now on is `cancelled`."""

    TYP: ClassVar[str] = "application/tessera-cancellation+cbor"

    intent: Id
    intent_hash: Digest
    terminal: Name
    issued_at: Seconds


class Status(Message, frozen=True):
    """How a terminal is: at its birth on the broker, on every change, and, signed ahead, as its last will.

    Attributes:
        connection: 16 random bytes for each connection of `link` to `core`; a will ends only its own.
        sequence: above all before it of the same connection; the will's is 0.
        key_set: version of the keys it trusts.
        counter, waiting, people: last counter signed for, envelopes without receipt, people enrolled.
        camera: its serial, or `none`.
        tls_until: when the certificate of `link` ends; 0 where it has none or that is not known.
    """

    TYP: ClassVar[str] = "application/tessera-status+cbor"

    terminal: Name
    connection: Id
    sequence: Number
    presence: Presence
    issued_at: Seconds
    profile: Name
    firmware: Version
    models: Digest
    camera: Name
    key_set: Number
    counter: Counter
    waiting: Number
    people: Number
    tls_until: Annotated[int, Meta(ge=0, le=4_102_444_800)]


class CertificateRequest(Message, frozen=True):
    """The device identity stands for a TLS key of `link`'s own: a PKCS#10 request, DER, signed by that key."""

    TYP: ClassVar[str] = "application/tessera-certificate-request+cbor"

    terminal: Name
    request: Csr
    issued_at: Seconds


class CertificateGrant(Message, frozen=True):
    """The certificate for a request; `request` is SHA-256 of the request's exact envelope, `certificate` X.509, DER."""

    TYP: ClassVar[str] = "application/tessera-certificate+cbor"

    terminal: Name
    request: Digest
    certificate: Der


class Reconciliation(Message, frozen=True):
    """The backend's word on a reconciliation file: which days' effects it lists, all of them.

    Attributes:
        since, until: effects at or after the first and before the second.
        lines: how many effects.
        digest: SHA-256 of the file.
    """

    TYP: ClassVar[str] = "application/tessera-reconciliation+cbor"

    since: Seconds
    until: Seconds
    lines: Number
    digest: Digest
    issued_at: Seconds
