"""The seven signed messages, field by field; the order of fields is their wire format (see `schema`).

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
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*\Z")]
Version = Annotated[str, Meta(max_length=14, pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}\Z")]
Reason = Annotated[str, Meta(max_length=32, pattern=r"^[a-z][a-z0-9_]*\Z")]

Assurance = Literal["geometry", "dynamic"]
Outcome = Literal["approved", "declined", "rejected"]

ASSURANCE_RANK = {"geometry": 0, "dynamic": 1}
NO_ID = bytes(16)  # a receipt's intent when the refused bytes named none


class Intent(Message, frozen=True):
    """The backend asks this terminal for one payment by this payer.

    Attributes:
        challenge: 32 fresh random bytes; the authorization repeats them.
        assurance: least evidence of life the backend wants.
        payer: the token of the account to be charged: whose face the terminal looks for.
        counter: the last counter the backend saw from this terminal; the terminal goes on above it, so that a
            restored backup does not fall behind. Nothing is signed offline, so every signature is re-anchored.
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
    counter: Counter


class Evidence(Message, frozen=True):
    """Why the terminal says yes, in bands and in clear. Scores and images never leave the terminal.

    Attributes:
        assurance: `geometry` is static 3D only; `dynamic` adds deformation of the living face.
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
