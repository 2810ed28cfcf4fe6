"""Every attack of the backend's table, through the real backend on real SQLite: the code it gets, and no effect."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cbor, cose, schema
from firmware.payment.messages import NO_ID, Decline, Evidence
from firmware.payment.outbox import OpenIntent
from hil.backend.keys import signer
from hil.backend.policy import Policy
from hil.backend.shop import PAYER, START, Shop

PRODUCTION = Policy(
    name="production",
    profiles=("payment",),
    assurance="dynamic",
    match_band=4,
    firmware="1.0.0",
    policies=("11" * 32,),
    thresholds=("22" * 32,),
    models=("33" * 32,),
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def test_an_honest_authorization_is_approved_and_has_one_effect(shop: Shop) -> None:
    accepted = shop.open()
    envelope = shop.till.authorize(accepted, shop.mandate, shop.time)
    receipt = shop.answer(envelope)
    assert (receipt.outcome, receipt.code) == ("approved", "")
    assert receipt.digest == hashlib.sha256(envelope).digest()
    (payment,) = shop.backend.payments()
    assert (payment.intent, payment.payer, payment.amount_minor) == (accepted.intent.id, PAYER, 1250)
    assert shop.backend.state(accepted.intent.id).state == "approved"


def test_exact_duplicate_gets_the_same_receipt_and_no_second_effect(shop: Shop) -> None:
    envelope = shop.authorized()
    first = shop.backend.handle("till-1", envelope)
    shop.restart_backend()
    shop.time += 10_000
    assert shop.backend.handle("till-1", envelope) == first
    assert len(shop.backend.payments()) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount_minor": 1}, "amount"),
        ({"currency": "JPY"}, "currency"),
        ({"exponent": 0}, "currency"),
        ({"merchant": "THIEF"}, "merchant"),
        ({"terminal": "till-2"}, "terminal_mismatch"),
        ({"challenge": bytes(32)}, "challenge"),
        ({"intent_hash": bytes(32)}, "challenge"),
        ({"intent": bytes(16)}, "unknown_intent"),
        ({"display_hash": bytes(32)}, "display"),
        ({"issued_at": START - 200, "expires_at": START - 100}, "expired"),
        ({"expires_at": START}, "ttl"),
        ({"expires_at": START + 121}, "ttl"),
        ({"issued_at": START + 10, "expires_at": START + 125}, "ttl"),
        ({"issued_at": START + 31, "expires_at": START + 100}, "future"),
        ({"payer": "payer-8"}, "mandate"),
        ({"mandate": bytes(16)}, "mandate"),
        ({"profile": "payment"}, "profile"),
        ({"profile": "rig"}, "profile"),
        ({"firmware": "0.0.9"}, "version_floor"),
        ({"evidence": Evidence(assurance="geometry", gates=("fresh",), match_band=4, record=bytes(32))}, "evidence"),
    ],
)
def test_a_swapped_field_under_the_terminals_own_key_is_refused(
    shop: Shop, changes: dict[str, object], code: str
) -> None:
    assert shop.code(shop.altered(**changes)) == code
    assert shop.backend.payments() == []


def test_an_authorization_that_comes_after_it_expired_is_refused(shop: Shop) -> None:
    envelope = shop.authorized()
    shop.time += 120
    assert shop.code(envelope) == "expired"


def test_same_id_other_body(shop: Shop) -> None:
    first = shop.till.read(shop.authorized())
    assert shop.code(shop.till.sign(first)) == "approved"
    assert shop.code(shop.altered(id=first.id)) == "id_reuse"


def test_new_id_same_intent(shop: Shop) -> None:
    first = shop.till.read(shop.authorized())
    assert shop.code(shop.till.sign(first)) == "approved"
    again = msgspec.structs.replace(first, id=bytes(16), counter=first.counter + 1)
    assert shop.code(shop.till.sign(again)) == "intent_used"
    assert len(shop.backend.payments()) == 1


def test_counter_rollback(shop: Shop) -> None:
    first = shop.till.read(shop.authorized())
    assert shop.code(shop.till.sign(msgspec.structs.replace(first, counter=9))) == "approved"
    assert shop.code(shop.altered(counter=8)) == "counter_rollback"


def test_same_counter_other_body_suspends_the_terminal(shop: Shop) -> None:
    first = shop.till.read(shop.authorized())
    approved = shop.till.sign(first)
    assert shop.code(approved) == "approved"
    assert shop.code(shop.altered(counter=first.counter)) == "clone_suspected"
    shop.restart_backend()
    assert shop.code(shop.authorized()) == "suspended"
    assert shop.code(approved) == "approved", "the same bytes still get their old receipt"
    assert shop.code(shop.terminals["till-2"].sign(first), "till-2") == "terminal_mismatch", "others go on"


def test_intent_of_another_terminal_is_refused_and_stays_open(shop: Shop) -> None:
    other = shop.open(terminal="till-2")
    assert shop.code(shop.altered(intent=other.intent.id, intent_hash=other.digest)) == "intent_other_terminal"
    assert shop.backend.state(other.intent.id).state == "open"


def test_envelope_carried_to_another_topic_is_refused_there_and_still_good_at_home(shop: Shop) -> None:
    envelope = shop.authorized()
    assert shop.code(envelope, "till-2") == "kid_topic_mismatch"
    assert shop.code(envelope, "till-9") == "topic_identity"
    assert shop.code(envelope) == "approved"


def test_unknown_key(shop: Shop) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    message = shop.till.read(shop.authorized())
    assert shop.code(schema.sign(message, signer(key), b"stranger")) == "unknown_key"


def test_what_was_signed_before_registration_does_not_become_good_by_it(shop: Shop) -> None:
    envelope = shop.authorized()
    shop.register_again(since=START + 1)
    assert shop.code(envelope) == "unknown_key"


def test_revoked_key(shop: Shop) -> None:
    envelope = shop.authorized()
    shop.register_again(revoked=True)
    assert shop.code(envelope) == "revoked"


def test_flipped_bit_and_other_key(shop: Shop) -> None:
    envelope = shop.authorized()
    assert shop.code(envelope[:-1] + bytes([envelope[-1] ^ 1])) == "bad_signature"
    tag, parts = envelope[:1], cbor.decode(envelope[1:])
    assert isinstance(parts, list)
    assert isinstance(parts[2], bytes)
    swapped = parts[2].replace(b"CORNER-SHOP", b"CORNER-SHOQ")
    assert shop.code(tag + cbor.encode([parts[0], {}, swapped, parts[3]])) == "bad_signature"
    key = signer(ec.generate_private_key(ec.SECP256R1()))
    kid = shop.till.kid
    assert shop.code(schema.sign(shop.till.read(envelope), key, kid)) == "bad_signature"
    assert shop.code(envelope) == "approved", "none of it used anything up"


def test_mirrored_signature_cannot_make_an_honest_terminal_look_cloned(shop: Shop) -> None:
    envelope = shop.authorized()
    s = int.from_bytes(envelope[-32:], "big")
    mirrored = envelope[:-32] + (cose.P256_ORDER - s).to_bytes(32, "big")
    assert shop.code(envelope) == "approved"
    assert shop.code(mirrored) == "bad_signature"
    assert shop.code(shop.authorized()) == "approved"


@pytest.mark.parametrize("mandate", [{"terminal": "till-2"}, {"payer": "payer-8"}, {"purpose": "door"}])
def test_mandate_for_another_terminal_payer_or_purpose(shop: Shop, mandate: dict[str, str]) -> None:
    assert shop.code(shop.altered(mandate=shop.new_mandate(**mandate).id)) == "mandate"


def test_a_rejected_intent_is_closed(shop: Shop) -> None:
    message = shop.till.read(shop.altered(amount_minor=1))
    assert shop.code(shop.till.sign(message)) == "amount"
    view = shop.backend.state(message.intent)
    assert (view.state, view.code) == ("rejected", "amount")
    honest = msgspec.structs.replace(message, amount_minor=1250, counter=message.counter + 1, id=bytes(16))
    assert shop.code(shop.till.sign(honest)) == "intent_used"


def payload_of(envelope: bytes) -> dict[int, object]:
    found: dict[int, object] = cbor2.loads(cose.peek(envelope))
    return found


def signed(shop: Shop, payload: bytes, typ: str = "application/tessera-authorization+cbor") -> bytes:
    return cose.sign(payload, shop.till.element.sign, shop.till.kid, typ)


def test_type_confusion_and_rough_bytes_are_malformed(shop: Shop) -> None:
    envelope = shop.authorized()
    other_type = signed(shop, cose.peek(envelope), "application/tessera-mandate+cbor")
    protected = {4: shop.till.kid, 16: "application/tessera-authorization+cbor"}
    unprotected_alg = cbor2.dumps(
        cbor2.CBORTag(18, [cbor2.dumps(protected), {1: -7}, cose.peek(envelope), bytes(64)]), canonical=True
    )
    for rough in (other_type, envelope[:-1], envelope + b"\0", bytes(5000), b"", unprotected_alg):
        assert shop.code(rough) == "malformed"


def test_decline_under_the_type_of_an_authorization_is_schema(shop: Shop) -> None:
    decline = Decline(intent=NO_ID, intent_hash=bytes(32), terminal="till-1", counter=9, issued_at=START, reason="flat")
    assert shop.code(signed(shop, cose.peek(shop.till.sign(decline)))) == "schema"


def test_missing_extra_and_mistyped_fields_are_schema(shop: Shop) -> None:
    honest = payload_of(shop.authorized())
    rough = [
        {key: value for key, value in honest.items() if key != 20},
        honest | {22: 0},
        honest | {9: True},
        honest | {0: "0123456789abcdef"},
        honest | {4: b"till-1"},
        honest | {6: -1250},
        honest | {6: 2**63},
        honest | {4: "till-1\n"},
        honest | {12: {0: "geometry", 1: [], 2: 4}},
    ]
    for payload in rough:
        assert shop.code(signed(shop, cbor2.dumps(payload, canonical=True))) == "schema", payload


def test_map_order_and_long_integers_are_non_canonical(shop: Shop) -> None:
    honest = payload_of(shop.authorized())
    backwards = cbor2.dumps(dict(reversed(honest.items())))
    long_zero = cbor2.dumps(honest, canonical=True).replace(b"\x09\x01", b"\x09\x18\x01", 1)
    for payload in (backwards, long_zero):
        assert shop.code(signed(shop, payload)) == "non_canonical"


def test_a_decline_closes_the_intent_and_no_authorization_follows(shop: Shop) -> None:
    accepted = shop.open()
    decline = shop.till.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", shop.time)
    assert shop.code(decline) == "declined"
    view = shop.backend.state(accepted.intent.id)
    assert (view.state, view.code) == ("declined", "flat")
    late = shop.altered(intent=accepted.intent.id, intent_hash=accepted.digest)
    assert shop.code(late) == "intent_used"


def test_a_decline_after_approval_changes_nothing(shop: Shop) -> None:
    message = shop.till.read(shop.authorized())
    assert shop.code(shop.till.sign(message)) == "approved"
    decline = Decline(
        intent=message.intent, intent_hash=message.intent_hash, terminal="till-1", counter=message.counter + 1,
        issued_at=START, reason="flat",
    )  # fmt: skip
    assert shop.code(shop.till.sign(decline)) == "intent_used"
    assert shop.backend.state(message.intent).state == "approved"


def test_an_unanswered_intent_expires(shop: Shop) -> None:
    accepted = shop.open()
    assert shop.backend.state(accepted.intent.id).state == "open"
    shop.time += 120
    assert shop.backend.state(accepted.intent.id).state == "expired"
    assert shop.backend.state(NO_ID).state == "unknown"


def test_a_restored_backup_goes_on_above_the_backends_counter(shop: Shop) -> None:
    shop.code(shop.altered(counter=41))
    accepted = shop.open()
    message = shop.till.read(shop.till.authorize(accepted, shop.mandate, shop.time))
    assert message.counter == 42
    assert shop.code(shop.till.sign(message)) == "approved"


def dynamic(**changes: object) -> dict[str, object]:
    """What a production backend wants to see, changed."""
    evidence = Evidence(assurance="dynamic", gates=("dynamic",), match_band=4, record=bytes(32))
    good: dict[str, object] = {
        "evidence": evidence, "profile": "payment", "firmware": "1.2.0",
        "policy": b"\x11" * 32, "thresholds": b"\x22" * 32, "models": b"\x33" * 32,
    }  # fmt: skip
    return good | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "approved"),
        ({"profile": "demo"}, "profile"),
        ({"profile": "rig"}, "profile"),
        ({"policy": bytes(32)}, "profile"),
        ({"thresholds": bytes(32)}, "profile"),
        ({"models": bytes(32)}, "version_floor"),
        ({"firmware": "0.9.9"}, "version_floor"),
        ({"evidence": Evidence(assurance="geometry", gates=(), match_band=9, record=bytes(32))}, "evidence"),
        ({"evidence": Evidence(assurance="dynamic", gates=("dynamic",), match_band=3, record=bytes(32))}, "evidence"),
    ],
)
def test_production_refuses_demonstrations_and_what_it_does_not_know(
    tmp_path: Path, changes: dict[str, object], code: str
) -> None:
    shop = Shop(tmp_path, PRODUCTION, profile="payment")
    accepted = shop.open()
    honest = shop.till.read(
        shop.till.authorize(msgspec.structs.replace(accepted, assurance="geometry"), shop.mandate, START)
    )
    assert shop.code(shop.till.sign(msgspec.structs.replace(honest, **dynamic(**changes)))) == code
    shop.close()


@pytest.mark.parametrize("change", [{"profiles": ["payment", "demo"]}, {"assurance": "geometry"}, {"models": []}])
def test_a_production_policy_cannot_take_demonstrations(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"are for policy demo|must be listed"):
        msgspec.convert(msgspec.to_builtins(PRODUCTION) | change, Policy)


def test_authorization_repeated_on_the_decline_topic_gets_the_same_receipt(shop: Shop) -> None:
    """A carrier that delivers an authorization on another topic first must not turn a yes into a no."""
    envelope = shop.authorized()
    assert shop.answer(envelope).outcome == "approved"
    assert shop.backend.handle("till-1", envelope) == shop.backend.handle("till-1", envelope)
