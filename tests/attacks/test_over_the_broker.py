"""The attacks of `docs/protocol.md`, row by row, over mosquitto with mutual TLS, on the backend as a process.

Of each: the code it gets, and what the backend knows before and after, every row of every table. A carrier or a
stranger leaves nothing at all; whoever has a terminal's key uses up a counter of it and the intent they answered, never
pays, and touches nobody else's. `tests/payment/test_attacks.py` has the same on a scripted clock in one process.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cbor, cose, schema
from firmware.payment.messages import (
    NO_ID,
    Authorization,
    Cancellation,
    CertificateGrant,
    CertificateRequest,
    Decline,
    Evidence,
    Mandate,
    Receipt,
)
from firmware.payment.outbox import OpenIntent
from hil.backend.keys import signer
from tests.attacks.site import LATE, REVOKED, STRANGER, UNCOUNTED, Site, Terminal, Wire, World, difference
from tests.backend.fleet import requested

CORPUS = Path(__file__).parents[1] / "corpus"
Attack = Callable[[Terminal, bytes], bytes]  # an honest authorization -> what is sent instead
DYNAMIC = Evidence(assurance="dynamic", gates=("dynamic",), match_band=4, record=bytes(32))
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def now() -> int:
    return int(time.time())


def leaves_no_trace(till: Terminal, honest: bytes, sent: bytes, code: str, carrier: Terminal | None = None) -> None:
    """`sent`, on the carrier's topic: refused, nothing in the backend changed, the honest bytes approved after it."""
    before = till.site.world()
    receipt, _ = (carrier or till).send(sent)
    assert (receipt.outcome, receipt.code, receipt.intent) == ("rejected", code, NO_ID)
    assert difference(before, till.site.world()) == {}
    assert till.code(honest) == "approved", "none of it used anything up"


def is_refused(till: Terminal, sent: bytes, code: str) -> None:
    """Signed by the terminal's own key: nothing paid, its own rows alone touched, the honest one after it goes on."""
    before = till.site.world()
    receipt, _ = till.send(sent)
    assert (receipt.outcome, receipt.code) == ("rejected", code)
    touches_only(till, sent, difference(before, till.site.world()))
    honest = till.read(till.authorized())
    assert till.code(till.sign(honest)) == "approved"


def touches_only(till: Terminal, sent: bytes, changed: World) -> None:
    """What changed is its counter, its answer, its authorization's id, and its own intent where it answered one."""
    message = till.read(sent) if cose.peek_type(sent) == Authorization.TYP else schema.decode(cose.peek(sent), Decline)
    own = {till.name, message.intent, getattr(message, "id", None)}
    assert set(changed) <= {"answers", "authorizations", "counters", "intents", "terminals"}
    for table, rows in changed.items():
        assert all(own & set(row) for row in rows), (table, rows)
    states = {row[3] for row in changed.get("intents", ())}
    assert states in (set(), {"open", "rejected"}, {"open", "expired"})


def changed(**changes: object) -> Attack:
    """Other fields, signed by the terminal's own key."""
    return lambda till, honest: till.sign(msgspec.structs.replace(till.read(honest), **changes))


# -- replay ------------------------------------------------------------------------------------------------------------


def test_exact_duplicate_gets_the_same_receipt_and_no_second_effect(till: Terminal) -> None:
    honest = till.authorized()
    first = till.send(honest)[1]
    before = till.site.world()
    assert [till.send(honest, kind)[1] for kind in ("authorization", "decline", "authorization")] == [first] * 3
    assert difference(before, till.site.world()) == {}


def test_same_id_other_body_is_id_reuse(till: Terminal) -> None:
    first = till.authorized()
    assert till.code(first) == "approved"
    is_refused(till, till.altered(id=till.read(first).id), "id_reuse")


def test_new_id_same_intent_is_intent_used(till: Terminal) -> None:
    first = till.authorized()
    assert till.code(first) == "approved"
    is_refused(till, changed(id=bytes(16), counter=till.read(first).counter + 1)(till, first), "intent_used")
    assert till.state(till.read(first).intent) == "approved"


def test_an_authorization_after_a_decline_is_intent_used(till: Terminal) -> None:
    accepted = till.opened()
    decline = till.device.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", now())
    assert till.code(decline, "decline") == "declined"
    is_refused(till, till.altered(intent=accepted.intent.id, intent_hash=accepted.digest), "intent_used")
    assert till.state(accepted.intent.id) == "declined"


def test_a_decline_after_an_approval_is_intent_used(till: Terminal) -> None:
    honest = till.authorized()
    assert till.code(honest) == "approved"
    paid = till.read(honest)
    decline = Decline(
        intent=paid.intent, intent_hash=paid.intent_hash, terminal=till.name, counter=paid.counter + 1,
        issued_at=now(), reason="flat",
    )  # fmt: skip
    before = till.site.world()
    assert till.code(till.sign(decline), "decline") == "intent_used"
    assert "payments" not in difference(before, till.site.world())
    assert till.state(paid.intent) == "approved"


def test_counter_rollback(till: Terminal) -> None:
    assert till.code(till.altered(counter=9)) == "approved"
    late = till.altered(counter=8)
    before = till.site.world()
    assert till.code(late) == "counter_rollback"
    assert set(difference(before, till.site.world())) == {"answers"}
    assert till.state(till.read(late).intent) == "open"


def test_same_counter_other_body_is_a_suspected_clone_and_suspends(till: Terminal) -> None:
    first = till.authorized()
    assert till.code(first) == "approved"
    assert till.code(till.altered(counter=till.read(first).counter)) == "clone_suspected"
    later = till.authorized()
    before = till.site.world()
    assert till.code(later) == "suspended"
    assert difference(before, till.site.world()) == {}, "nothing is kept of what is said anew each time"
    assert till.code(first) == "approved", "the same bytes still get their old receipt"


def test_a_mirrored_signature_cannot_make_an_honest_terminal_look_cloned(till: Terminal) -> None:
    honest = till.authorized()
    mirrored = cose.P256_ORDER - int.from_bytes(honest[-32:], "big")
    leaves_no_trace(till, honest, honest[:-32] + mirrored.to_bytes(32, "big"), "bad_signature")


def test_an_authorization_of_what_the_register_took_back_is_cancelled(till: Terminal) -> None:
    honest = till.authorized()
    intent = till.read(honest).intent
    assert till.cancel(intent) == "cancelled"
    cancelled = schema.verify(till.wire.hear("cancellation"), Cancellation, till.site.trust.resolve)[1]
    assert (cancelled.intent, cancelled.terminal) == (intent, till.name)
    is_refused(till, honest, "cancelled")
    assert till.state(intent) == "cancelled"


def test_what_was_paid_cannot_be_taken_back_as_if_it_were_open(till: Terminal) -> None:
    honest = till.authorized()
    assert till.code(honest) == "approved"
    before = till.site.world()
    assert till.cancel(till.read(honest).intent) == "approved"
    assert difference(before, till.site.world()) == {}


# -- while the link was down -------------------------------------------------------------------------------------------


def offline(till: Terminal, allowance: bytes, amount: str = "4000", currency: str = "JPY", hold_s: int = 3600) -> bytes:
    """What a terminal signs under an allowance, or says so."""
    honest = till.read(till.authorized(amount, currency))
    return till.sign(msgspec.structs.replace(honest, allowance=allowance, expires_at=honest.issued_at + hold_s))


def test_offline_under_an_allowance_of_ones_own_is_taken_up_to_its_limits(till: Terminal) -> None:
    allowance = till.allowance()
    assert (allowance.currency, allowance.payment_minor) == ("JPY", 5000)
    assert till.code(offline(till, allowance.id)) == "approved"
    assert till.code(offline(till, allowance.id)) == "approved"
    is_refused(till, offline(till, allowance.id, "1"), "offline")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "5001"}, "offline"),
        ({"amount": "12.50", "currency": "EUR"}, "offline"),
        ({"allowance": bytes([1]) * 16}, "offline"),
        ({"hold_s": 7200}, "ttl"),
    ],
    ids=["above the limit", "another currency", "no such allowance", "held too long"],
)
def test_offline_beyond_what_was_allowed(till: Terminal, changes: dict[str, Any], code: str) -> None:
    is_refused(till, offline(till, **({"allowance": till.allowance().id} | changes)), code)


def test_offline_under_another_terminals_allowance(till: Terminal, terminals: Callable[..., Terminal]) -> None:
    is_refused(till, offline(till, terminals().allowance().id), "offline")


def test_offline_where_nothing_counts_in_hardware(till: Terminal, terminals: Callable[..., Terminal]) -> None:
    plain = terminals(UNCOUNTED)
    assert plain.allowance().payment_minor == 0
    is_refused(plain, offline(plain, till.allowance().id), "offline")


# -- what is bound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount_minor": 1}, "amount"),
        ({"amount_minor": 125_000}, "amount"),
        ({"currency": "JPY"}, "currency"),
        ({"exponent": 0}, "currency"),
        ({"merchant": "THIEF"}, "merchant"),
        ({"challenge": bytes(32)}, "challenge"),
        ({"intent_hash": bytes(32)}, "challenge"),
        ({"intent": NO_ID}, "unknown_intent"),
        ({"display_hash": hashlib.sha256(b"Pay 1.25 EUR to CORNER-SHOP").digest()}, "display"),
    ],
    ids=["cheaper", "dearer", "currency", "exponent", "merchant", "challenge", "hash", "unknown intent", "display"],
)
def test_amount_currency_merchant_challenge_or_display_swapped(
    till: Terminal, changes: dict[str, object], code: str
) -> None:
    is_refused(till, till.altered(**changes), code)


def test_the_challenge_of_an_earlier_intent_is_stale(till: Terminal) -> None:
    is_refused(till, till.altered(challenge=till.opened().intent.challenge), "challenge")


@pytest.mark.parametrize(
    ("issued_s", "expires_s", "code"),
    [(-200, -100, "expired"), (-119, -1, "expired"), (60, 100, "future"), (0, 0, "ttl"), (-60, 90, "ttl"),
     (10, 600, "ttl")],
    ids=["expired", "just expired", "from the future", "lives not at all", "lives too long", "beyond its intent"],
)  # fmt: skip
def test_expired_from_the_future_or_too_long_lived(till: Terminal, issued_s: int, expires_s: int, code: str) -> None:
    is_refused(till, till.altered(issued_at=now() + issued_s, expires_at=now() + expires_s), code)


# -- who speaks --------------------------------------------------------------------------------------------------------


def test_another_terminals_name_in_the_message(till: Terminal) -> None:
    honest = till.authorized()
    leaves_no_trace(till, honest, changed(terminal=REVOKED)(till, honest), "terminal_mismatch")


def test_another_terminals_intent_is_refused_and_stays_open(till: Terminal, terminals: Callable[..., Terminal]) -> None:
    other = terminals().opened()
    is_refused(till, till.altered(intent=other.intent.id, intent_hash=other.digest), "intent_other_terminal")
    assert till.state(other.intent.id) == "open"


def test_another_terminals_topic(till: Terminal, terminals: Callable[..., Terminal]) -> None:
    honest = till.authorized()
    leaves_no_trace(till, honest, honest, "kid_topic_mismatch", terminals())


def test_the_topic_of_a_terminal_that_is_not_registered(till: Terminal, terminals: Callable[..., Terminal]) -> None:
    honest = till.authorized()
    leaves_no_trace(till, honest, honest, "topic_identity", terminals(STRANGER))


def test_a_topic_that_names_no_terminal_gets_no_answer(site: Site, till: Terminal) -> None:
    nameless = Wire(site.broker, site.authority, "-till", "tessera/v1/-till/receipt")
    before = site.world()
    honest = till.authorized()
    nameless.say("tessera/v1/-till/authorization", honest)
    assert till.code(honest) == "approved", "what came before it is done with"
    assert nameless.came.empty()
    assert all("-till" not in row for rows in difference(before, site.world()).values() for row in rows)
    nameless.close()


def test_another_terminals_key(till: Terminal, terminals: Callable[..., Terminal]) -> None:
    honest = till.authorized()
    leaves_no_trace(till, honest, terminals().sign(till.read(honest)), "kid_topic_mismatch")


@pytest.mark.parametrize(("name", "code"), [(REVOKED, "revoked"), (LATE, "unknown_key")])
def test_a_revoked_key_and_what_was_signed_before_its_key_was_registered(
    site: Site, terminals: Callable[..., Terminal], name: str, code: str
) -> None:
    till = terminals(name)
    honest = till.authorized()
    before = site.world()
    assert till.code(honest) == code
    assert difference(before, site.world()) == {}
    assert till.state(till.read(honest).intent) == "open"


def test_unknown_key(till: Terminal) -> None:
    honest = till.authorized()
    leaves_no_trace(till, honest, schema.sign(till.read(honest), signer(OTHER_KEY), b"stranger"), "unknown_key")


def _swapped(_: Terminal, honest: bytes) -> bytes:
    parts = cbor.decode(honest[1:])
    assert isinstance(parts, list)
    assert isinstance(parts[2], bytes)
    return honest[:1] + cbor.encode([parts[0], {}, parts[2].replace(b"CORNER-SHOP", b"CORNER-SHOQ"), parts[3]])


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda _, honest: honest[:-1] + bytes([honest[-1] ^ 1]), id="a bit flipped"),
        pytest.param(_swapped, id="another payload"),
        pytest.param(
            lambda till, honest: schema.sign(till.read(honest), signer(OTHER_KEY), till.device.kid), id="another key"
        ),
        pytest.param(lambda _, honest: honest[:-64] + bytes(64), id="zeros"),
    ],
)
def test_flipped_bit_or_other_key(till: Terminal, attack: Attack) -> None:
    honest = till.authorized()
    leaves_no_trace(till, honest, attack(till, honest), "bad_signature")


def asks_for_a_certificate(till: Terminal, csr: bytes, age_s: int = 0) -> None:
    message = CertificateRequest(terminal=till.name, request=csr, issued_at=now() - age_s)
    sealed = schema.sign(message, till.device.element.sign, till.device.kid)
    till.wire.say(till.topic("certificate-request"), sealed)


def test_a_certificate_in_another_name_or_for_rough_bytes_is_not_given_and_ends_no_worker(till: Terminal) -> None:
    """A request of another version once ended the worker that read it, and the next one it came to."""
    before = till.site.world()
    asks_for_a_certificate(till, requested("backend"))
    asks_for_a_certificate(till, (CORPUS / "csr" / "version-2.der").read_bytes())
    asks_for_a_certificate(till, b"\x30" * 200)
    asks_for_a_certificate(till, requested(till.name), age_s=3600)
    assert till.code(till.authorized()) == "approved", "what came before it is done with"
    assert "certificates" not in difference(before, till.site.world())
    asks_for_a_certificate(till, requested(till.name))
    grant = schema.verify(till.wire.hear("certificate"), CertificateGrant, till.site.trust.resolve)[1]
    granted = x509.load_der_x509_certificate(grant.certificate)
    assert granted.subject.rfc4514_string() == f"CN={till.name}"


# -- evidence, mandate, software ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "evidence",
    [
        msgspec.structs.replace(DYNAMIC, gates=()),
        msgspec.structs.replace(DYNAMIC, gates=("fresh",), assurance="geometry"),
    ],
    ids=["gates missing", "one gate alone"],
)
def test_evidence_below_what_is_required(till: Terminal, evidence: Evidence) -> None:
    is_refused(till, till.altered(evidence=evidence), "evidence")


def test_dynamic_evidence_asked_for_and_not_given(till: Terminal) -> None:
    accepted = msgspec.structs.replace(till.opened(assurance="dynamic"), assurance="geometry")
    is_refused(till, till.device.authorize(accepted, till.mandate, now()), "evidence")


def test_mandate_missing_or_another_payer(till: Terminal) -> None:
    is_refused(till, till.altered(mandate=bytes(16)), "mandate")
    is_refused(till, till.altered(payer="payer-8"), "mandate")


@pytest.mark.parametrize("other", [{"terminal": LATE}, {"payer": "payer-8"}, {"purpose": "door"}])
def test_mandate_for_another_terminal_payer_or_purpose(till: Terminal, other: dict[str, str]) -> None:
    is_refused(till, till.altered(mandate=till.new_mandate(**other)), "mandate")


def test_firmware_downgrade(till: Terminal) -> None:
    is_refused(till, till.altered(firmware="0.0.9"), "version_floor")


@pytest.mark.parametrize("profile", ["payment", "rig", "door"])
def test_another_profile_than_registered(till: Terminal, profile: str) -> None:
    is_refused(till, till.altered(profile=profile), "profile")


def test_a_payers_allowance_overrun(till: Terminal) -> None:
    assert till.code(till.authorized("10.000", "KWD")) == "approved"
    is_refused(till, till.authorized("10.000", "KWD"), "velocity")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"profile": "demo"}, "profile"),
        ({"profile": "rig"}, "profile"),
        ({"policy": bytes(32)}, "profile"),
        ({"thresholds": bytes(32)}, "profile"),
        ({"models": bytes(32)}, "version_floor"),
        ({"firmware": "0.9.9"}, "version_floor"),
        ({"evidence": Evidence(assurance="geometry", gates=(), match_band=9, record=bytes(32))}, "evidence"),
        ({"evidence": msgspec.structs.replace(DYNAMIC, match_band=3)}, "evidence"),
        ({"evidence": msgspec.structs.replace(DYNAMIC, gates=())}, "evidence"),
        ({}, ""),
    ],
)
def test_demonstrations_downgrades_and_unknown_files_in_production(
    production: Site, changes: dict[str, object], code: str
) -> None:
    till = production.terminal()
    accepted = msgspec.structs.replace(till.opened(), assurance="geometry")
    fitting: dict[str, object] = {
        "evidence": DYNAMIC, "profile": "payment", "firmware": "1.0.0", "policy": b"\x11" * 32,
        "thresholds": b"\x22" * 32, "models": b"\x33" * 32,
    }  # fmt: skip
    sent = changed(**fitting | changes)(till, till.device.authorize(accepted, till.mandate, now()))
    before = production.world()
    receipt, _ = till.send(sent)
    assert (receipt.outcome, receipt.code) == ("rejected" if code else "approved", code)
    assert ("payments" in difference(before, production.world())) is not bool(code)
    till.close()


# -- rough bytes -------------------------------------------------------------------------------------------------------


def signed(till: Terminal, payload: bytes, typ: str = Authorization.TYP) -> bytes:
    return cose.sign(payload, till.device.element.sign, till.device.kid, typ)


def _unprotected_algorithm(till: Terminal, honest: bytes) -> bytes:
    protected = cbor2.dumps({4: till.device.kid, 16: Authorization.TYP}, canonical=True)
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {1: -7}, cose.peek(honest), bytes(64)]), canonical=True)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda till, honest: signed(till, cose.peek(honest), Mandate.TYP), id="another type"),
        pytest.param(lambda till, honest: signed(till, cose.peek(honest), Receipt.TYP), id="a receipt's type"),
        pytest.param(lambda _, honest: honest[:-1], id="truncated"),
        pytest.param(lambda _, honest: honest + b"\0", id="trailing bytes"),
        pytest.param(lambda _, honest: honest + honest, id="twice"),
        pytest.param(lambda _, honest: bytes(4500), id="oversize"),
        pytest.param(lambda _, honest: b"", id="nothing"),
        pytest.param(_unprotected_algorithm, id="algorithm unprotected"),
    ],
)
def test_type_confusion_and_rough_bytes_are_malformed(till: Terminal, attack: Attack) -> None:
    honest = till.authorized()
    leaves_no_trace(till, honest, attack(till, honest), "malformed")


@pytest.mark.parametrize(
    "change",
    [{20: None}, {23: 0}, {9: True}, {0: "0123456789abcdef"}, {4: b"till-1"}, {6: -1250}, {7: "eur"}, {19: "1.0"}],
    ids=str,
)
def test_missing_extra_and_mistyped_fields_are_schema(till: Terminal, change: dict[int, object]) -> None:
    honest = till.authorized()
    rough = {key: value for key, value in (cbor2.loads(cose.peek(honest)) | change).items() if value is not None}
    leaves_no_trace(till, honest, signed(till, cbor2.dumps(rough, canonical=True)), "schema")


def test_a_decline_under_the_type_of_an_authorization_is_schema(till: Terminal) -> None:
    honest = till.authorized()
    decline = Decline(
        intent=NO_ID, intent_hash=bytes(32), terminal=till.name, counter=9, issued_at=now(), reason="flat"
    )
    leaves_no_trace(till, honest, signed(till, cose.peek(till.sign(decline))), "schema")


def test_map_order_and_long_integers_are_non_canonical(till: Terminal) -> None:
    honest = till.authorized()
    fields = cbor2.loads(cose.peek(honest))
    long_one = cose.peek(honest).replace(b"\x09\x01", b"\x09\x18\x01", 1)
    assert long_one != cose.peek(honest)
    before = till.site.world()
    for payload in (cbor2.dumps(dict(reversed(fields.items()))), long_one):
        receipt, _ = till.send(signed(till, payload))
        assert (receipt.code, receipt.intent) == ("non_canonical", NO_ID)
    assert difference(before, till.site.world()) == {}
    assert till.code(honest) == "approved"
