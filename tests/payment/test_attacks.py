"""The attacks of `docs/protocol.md`, row by row, on the real backend, database, outbox and keys in one process.

Of each: the code it gets, that nothing was paid, that no other intent was touched, and that the honest go on. A carrier
or a stranger leaves no trace at all; whoever has a terminal's key uses up a counter of it and the intent they answered.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cbor, cose, schema
from firmware.payment.counting import REACH, STEP
from firmware.payment.errors import PaymentError
from firmware.payment.intent import accept_intent
from firmware.payment.mandate import verify_mandate
from firmware.payment.messages import NO_ID, Authorization, Decline, Evidence, Intent, Mandate, Receipt
from firmware.payment.money import Amount
from firmware.payment.outbox import OpenIntent
from hil.backend.keys import signer
from hil.backend.policy import DEMO, Policy, Velocity
from hil.backend.shop import CONSENT, PAYER, START, Shop

Attack = Callable[[Shop, bytes], bytes]  # an honest authorization -> what is sent instead
DYNAMIC = Evidence(assurance="dynamic", gates=("dynamic",), match_band=4, record=bytes(32))
PRODUCTION = Policy(
    name="production", profiles=("payment",), assurance="dynamic", match_band=4, firmware="1.0.0",
    policies=("11" * 32,), thresholds=("22" * 32,), models=("33" * 32,),
)  # fmt: skip
STRANGER = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def world(shop: Shop, intent: bytes) -> tuple[object, ...]:
    """What the backend knows: who paid, how an intent stands, the last counter of till-1."""
    _, asked = shop.backend.issue_intent("till-1", Amount(1, "EUR"), PAYER)
    return shop.backend.payments(), shop.backend.state(intent), schema.decode(cose.peek(asked), Intent).counter


def leaves_no_trace(shop: Shop, honest: bytes, sent: bytes, code: str, topic: str = "till-1") -> None:
    """The refusal says why, names no intent, and changes nothing: the honest bytes are approved after it."""
    intent = shop.till.read(honest).intent
    before = world(shop, intent)
    receipt = shop.answer(sent, topic)
    assert (receipt.outcome, receipt.code, receipt.intent) == ("rejected", code, NO_ID)
    assert receipt.digest == hashlib.sha256(sent).digest()
    assert world(shop, intent) == before
    assert shop.code(honest) == "approved", "none of it used anything up"


def is_refused(shop: Shop, sent: bytes, code: str) -> None:
    """Signed by the terminal's own key: no payment, no other intent touched, and the honest one after it goes on."""
    bystander, paid = shop.open(), shop.backend.payments()
    receipt = shop.answer(sent)
    assert (receipt.outcome, receipt.code) == ("rejected", code)
    assert shop.backend.payments() == paid
    assert shop.backend.state(bystander.intent.id).state == "open"
    counter = max(shop.till.read(shop.authorized()).counter, shop.till.read(sent).counter + 1)
    assert shop.code(shop.altered(counter=counter)) == "approved"


def changed(**changes: object) -> Attack:
    """Other fields, signed by the terminal's own key."""
    return lambda shop, honest: shop.till.sign(msgspec.structs.replace(shop.till.read(honest), **changes))


# -- replay ------------------------------------------------------------------------------------------------------------


def test_exact_duplicate_gets_the_same_receipt_and_no_second_effect(shop: Shop) -> None:
    honest = shop.authorized()
    first = shop.backend.handle("till-1", honest)
    shop.restart_backend()
    shop.time += 10_000
    assert shop.backend.handle("till-1", honest) == first
    assert len(shop.backend.payments()) == 1


def test_same_id_other_body_is_id_reuse(shop: Shop) -> None:
    first = shop.authorized()
    assert shop.code(first) == "approved"
    is_refused(shop, shop.altered(id=shop.till.read(first).id), "id_reuse")


def test_new_id_same_intent_is_intent_used(shop: Shop) -> None:
    first = shop.authorized()
    assert shop.code(first) == "approved"
    again = changed(id=bytes(16), counter=shop.till.read(first).counter + 1)(shop, first)
    is_refused(shop, again, "intent_used")
    assert shop.backend.state(shop.till.read(first).intent).state == "approved"


def test_an_authorization_after_a_decline_is_intent_used(shop: Shop) -> None:
    accepted = shop.open()
    shop.code(shop.till.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", shop.time))
    is_refused(shop, shop.altered(intent=accepted.intent.id, intent_hash=accepted.digest), "intent_used")
    assert shop.backend.state(accepted.intent.id).state == "declined"


def test_a_decline_after_an_approval_is_intent_used(shop: Shop) -> None:
    honest = shop.till.read(shop.authorized())
    assert shop.code(shop.till.sign(honest)) == "approved"
    decline = Decline(
        intent=honest.intent, intent_hash=honest.intent_hash, terminal="till-1", counter=honest.counter + 1,
        issued_at=START, reason="flat",
    )  # fmt: skip
    assert shop.code(shop.till.sign(decline)) == "intent_used"
    assert shop.backend.state(honest.intent).state == "approved"


@pytest.mark.parametrize("counter", [2**53, 2**48, REACH + STEP + 1])
def test_one_message_far_ahead_does_not_end_a_terminals_counters(shop: Shop, counter: int) -> None:
    nothing = Decline(
        intent=bytes(16), intent_hash=bytes(32), terminal="till-1", counter=counter, issued_at=START, reason="flat",
    )  # fmt: skip
    assert shop.code(shop.till.sign(nothing)) == "counter_rollback"
    assert shop.code(shop.authorized()) == "approved"


def test_a_counter_driven_as_far_as_it_goes_is_gone_on_above(shop: Shop) -> None:
    for counter in (REACH + STEP, REACH + 2 * STEP, REACH + 3 * STEP):
        assert shop.code(shop.altered(counter=counter)) == "approved"
    assert shop.code(shop.authorized()) == "approved"
    shop.till.outbox.close()
    for path in shop.folder.glob("till-1.db*"):
        path.unlink()
    shop.restart_terminal()
    assert shop.code(shop.authorized()) == "approved", "and by a new outbox too"


def test_a_terminal_told_of_a_counter_far_ahead_goes_on_with_a_new_outbox(shop: Shop) -> None:
    forged = msgspec.structs.replace(shop.open().intent, id=b"by a stolen key.", counter=2**48)
    shop.till.open(schema.sign(forged, signer(shop.key), shop.kid), START)
    assert shop.code(shop.authorized()) == "counter_rollback"
    shop.till.outbox.close()
    for path in shop.folder.glob("till-1.db*"):
        path.unlink()
    shop.restart_terminal()
    assert shop.code(shop.authorized()) == "approved"


def test_counter_rollback(shop: Shop) -> None:
    assert shop.code(shop.altered(counter=9)) == "approved"
    late = shop.altered(counter=8)
    bystander, paid = shop.open(), shop.backend.payments()
    assert shop.code(late) == "counter_rollback"
    assert shop.backend.payments() == paid
    assert {shop.backend.state(each).state for each in (bystander.intent.id, shop.till.read(late).intent)} == {"open"}


def test_same_counter_other_body_is_a_suspected_clone_and_suspends(shop: Shop) -> None:
    first = shop.authorized()
    assert shop.code(first) == "approved"
    assert shop.code(shop.altered(counter=shop.till.read(first).counter)) == "clone_suspected"
    shop.restart_backend()
    later = shop.authorized()
    assert shop.code(later) == "suspended"
    assert shop.backend.state(shop.till.read(later).intent).state == "open"
    assert shop.code(first) == "approved", "the same bytes still get their old receipt"
    assert len(shop.backend.payments()) == 1


def test_a_mirrored_signature_cannot_make_an_honest_terminal_look_cloned(shop: Shop) -> None:
    honest = shop.authorized()
    s = int.from_bytes(honest[-32:], "big")
    leaves_no_trace(shop, honest, honest[:-32] + (cose.P256_ORDER - s).to_bytes(32, "big"), "bad_signature")


# -- what is bound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount_minor": 1}, "amount"),
        ({"amount_minor": 125_000}, "amount"),
        ({"currency": "JPY"}, "currency"),
        ({"exponent": 0}, "currency"),
        ({"currency": "KWD", "exponent": 3}, "currency"),
        ({"merchant": "THIEF"}, "merchant"),
    ],
)
def test_amount_currency_or_merchant_swapped(shop: Shop, changes: dict[str, object], code: str) -> None:
    is_refused(shop, shop.altered(**changes), code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"challenge": bytes(32)}, "challenge"),
        ({"intent_hash": bytes(32)}, "challenge"),
        ({"intent": NO_ID}, "unknown_intent"),
    ],
)
def test_stale_challenge_or_unknown_intent(shop: Shop, changes: dict[str, object], code: str) -> None:
    is_refused(shop, shop.altered(**changes), code)


def test_the_challenge_of_an_earlier_intent_is_stale(shop: Shop) -> None:
    is_refused(shop, shop.altered(challenge=shop.open().intent.challenge), "challenge")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"issued_at": START - 200, "expires_at": START - 100}, "expired"),
        ({"issued_at": START - 120, "expires_at": START}, "expired"),
        ({"issued_at": START + 31, "expires_at": START + 100}, "future"),
        ({"expires_at": START}, "ttl"),
        ({"expires_at": START - 1}, "ttl"),
        ({"issued_at": START - 1, "expires_at": START + 120}, "ttl"),
        ({"issued_at": START + 10, "expires_at": START + 121}, "ttl"),
    ],
)
def test_expired_from_the_future_or_too_long_lived(shop: Shop, changes: dict[str, object], code: str) -> None:
    is_refused(shop, shop.altered(**changes), code)


def test_an_honest_authorization_that_comes_too_late_is_expired(shop: Shop) -> None:
    honest = shop.authorized()
    shop.time += 120
    is_refused(shop, honest, "expired")


@pytest.mark.parametrize(
    "evidence",
    [
        msgspec.structs.replace(DYNAMIC, gates=()),
        msgspec.structs.replace(DYNAMIC, gates=("fresh",), assurance="geometry"),
    ],
    ids=["gates missing", "one gate alone"],
)
def test_evidence_below_what_is_required(shop: Shop, evidence: Evidence) -> None:
    is_refused(shop, shop.altered(evidence=evidence), "evidence")


def test_dynamic_evidence_asked_for_and_not_given(shop: Shop) -> None:
    _, envelope = shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER, "dynamic")
    accepted = msgspec.structs.replace(shop.till.open(envelope, shop.time), assurance="geometry")
    is_refused(shop, shop.till.authorize(accepted, shop.mandate, shop.time), "evidence")


def test_display_altered(shop: Shop) -> None:
    cheaper = hashlib.sha256(b"Pay 1.25 EUR to CORNER-SHOP").digest()
    is_refused(shop, shop.altered(display_hash=cheaper), "display")


# -- who speaks --------------------------------------------------------------------------------------------------------


def test_another_terminals_name_in_the_message(shop: Shop) -> None:
    honest = shop.authorized()
    leaves_no_trace(shop, honest, changed(terminal="till-2")(shop, honest), "terminal_mismatch")


def test_another_terminals_intent_is_refused_and_stays_open(shop: Shop) -> None:
    other = shop.open(terminal="till-2")
    is_refused(shop, shop.altered(intent=other.intent.id, intent_hash=other.digest), "intent_other_terminal")
    assert shop.backend.state(other.intent.id).state == "open"


@pytest.mark.parametrize(("topic", "code"), [("till-2", "kid_topic_mismatch"), ("till-9", "topic_identity")])
def test_another_topic(shop: Shop, topic: str, code: str) -> None:
    honest = shop.authorized()
    leaves_no_trace(shop, honest, honest, code, topic)


def test_a_topic_that_names_no_terminal_gets_no_answer(shop: Shop) -> None:
    with pytest.raises(PaymentError, match="schema"):
        shop.backend.handle("#", shop.authorized())


def test_another_terminals_key_id(shop: Shop) -> None:
    honest, other = shop.authorized(), shop.terminals["till-2"]
    leaves_no_trace(shop, honest, other.sign(shop.till.read(honest)), "kid_topic_mismatch")


def test_revoked_key(shop: Shop) -> None:
    honest = shop.authorized()
    shop.register_again(revoked=True)
    assert shop.code(honest) == "revoked"
    assert shop.backend.payments() == []
    assert shop.backend.state(shop.till.read(honest).intent).state == "open"


def test_unknown_key(shop: Shop) -> None:
    honest = shop.authorized()
    leaves_no_trace(shop, honest, schema.sign(shop.till.read(honest), signer(STRANGER), b"stranger"), "unknown_key")


def test_what_was_signed_before_its_key_was_registered(shop: Shop) -> None:
    honest = shop.authorized()
    shop.register_again(since=START + 1)
    assert shop.code(honest) == "unknown_key"
    assert shop.backend.payments() == []


def _swapped(_: Shop, honest: bytes) -> bytes:
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
            lambda shop, honest: schema.sign(shop.till.read(honest), signer(STRANGER), shop.till.kid), id="another key"
        ),
        pytest.param(lambda _, honest: honest[:-64] + bytes(64), id="zeros"),
    ],
)
def test_flipped_bit_or_other_key(shop: Shop, attack: Attack) -> None:
    honest = shop.authorized()
    leaves_no_trace(shop, honest, attack(shop, honest), "bad_signature")


# -- profile, policy, mandate ------------------------------------------------------------------------------------------


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
    tmp_path: Path, changes: dict[str, object], code: str
) -> None:
    shop = Shop(tmp_path, PRODUCTION, profile="payment")
    accepted = msgspec.structs.replace(shop.open(), assurance="geometry")
    honest: dict[str, object] = {
        "evidence": DYNAMIC, "profile": "payment", "firmware": "1.0.0", "policy": b"\x11" * 32,
        "thresholds": b"\x22" * 32, "models": b"\x33" * 32,
    }  # fmt: skip
    receipt = shop.answer(changed(**honest | changes)(shop, shop.till.authorize(accepted, shop.mandate, START)))
    assert (receipt.outcome, receipt.code) == ("rejected" if code else "approved", code)
    assert len(shop.backend.payments()) == (0 if code else 1)
    shop.close()


def test_firmware_downgrade(shop: Shop) -> None:
    is_refused(shop, shop.altered(firmware="0.0.9"), "version_floor")


@pytest.mark.parametrize("profile", ["payment", "rig", "door"])
def test_another_profile_than_registered(shop: Shop, profile: str) -> None:
    is_refused(shop, shop.altered(profile=profile), "profile")


def test_mandate_missing_or_another_payer(shop: Shop) -> None:
    is_refused(shop, shop.altered(mandate=bytes(16)), "mandate")
    is_refused(shop, shop.altered(payer="payer-8"), "mandate")


@pytest.mark.parametrize("other", [{"terminal": "till-2"}, {"payer": "payer-8"}, {"purpose": "door"}])
def test_mandate_for_another_terminal_payer_or_purpose(shop: Shop, other: dict[str, str]) -> None:
    is_refused(shop, shop.altered(mandate=shop.new_mandate(**other).id), "mandate")


@pytest.mark.parametrize(
    "other",
    [
        {"consent_hash": bytes(32)}, {"terminal": "till-2"}, {"purpose": "door"}, {"now": START + 600},
        {"now": START - 31},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_mandate_for_another_consent_terminal_purpose_or_time_enrols_nobody(
    shop: Shop, other: dict[str, object]
) -> None:
    envelope = shop.backend.issue_mandate("till-1", PAYER, "payment", CONSENT)
    asked: dict[str, object] = {
        "environment": "demo", "terminal": "till-1", "purpose": "payment", "consent_hash": CONSENT, "now": START
    }  # fmt: skip
    assert verify_mandate(envelope, shop.trust, **asked).payer == PAYER  # type: ignore[arg-type]
    with pytest.raises(PaymentError) as caught:
        verify_mandate(envelope, shop.trust, **asked | other)  # type: ignore[arg-type]
    assert caught.value.code == "mandate"


@pytest.mark.parametrize("limit", [{"payments": 1}, {"payments": 9, "amount_minor": {"EUR": 2499}}], ids=str)
def test_a_payers_allowance_overrun(tmp_path: Path, limit: dict[str, object]) -> None:
    limits = (msgspec.convert({"window_s": 3600} | limit, Velocity),)
    shop = Shop(tmp_path, msgspec.structs.replace(DEMO, velocity=limits))
    assert shop.code(shop.authorized()) == "approved"
    second = shop.authorized()
    assert shop.code(second) == "velocity"
    assert shop.backend.state(shop.till.read(second).intent).state == "rejected"
    assert len(shop.backend.payments()) == 1
    shop.close()


# -- rough bytes ------------------------------------------------------------------------------------------------------


def signed(shop: Shop, payload: bytes, typ: str = Authorization.TYP) -> bytes:
    return cose.sign(payload, shop.till.element.sign, shop.till.kid, typ)


def _unprotected_algorithm(shop: Shop, honest: bytes) -> bytes:
    protected = cbor2.dumps({4: shop.till.kid, 16: Authorization.TYP}, canonical=True)
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {1: -7}, cose.peek(honest), bytes(64)]), canonical=True)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(lambda shop, honest: signed(shop, cose.peek(honest), Mandate.TYP), id="another type"),
        pytest.param(lambda shop, honest: signed(shop, cose.peek(honest), Receipt.TYP), id="a receipt's type"),
        pytest.param(lambda _, honest: honest[:-1], id="truncated"),
        pytest.param(lambda _, honest: honest + b"\0", id="trailing bytes"),
        pytest.param(lambda _, honest: honest + honest, id="twice"),
        pytest.param(lambda _, honest: bytes(5000), id="oversize"),
        pytest.param(lambda _, honest: b"", id="nothing"),
        pytest.param(_unprotected_algorithm, id="algorithm unprotected"),
    ],
)
def test_type_confusion_and_rough_bytes_are_malformed(shop: Shop, attack: Attack) -> None:
    honest = shop.authorized()
    leaves_no_trace(shop, honest, attack(shop, honest), "malformed")


@pytest.mark.parametrize(
    "change",
    [
        {20: None}, {22: 0}, {9: True}, {0: "0123456789abcdef"}, {4: b"till-1"}, {6: -1250}, {6: 0}, {6: 2**63},
        {4: "till-1\n"}, {12: {0: "geometry", 1: [], 2: 4}}, {7: "eur"}, {19: "1.0"},
    ],
    ids=str,
)  # fmt: skip
def test_missing_extra_and_mistyped_fields_are_schema(shop: Shop, change: dict[int, object]) -> None:
    honest = shop.authorized()
    rough = {key: value for key, value in (cbor2.loads(cose.peek(honest)) | change).items() if value is not None}
    leaves_no_trace(shop, honest, signed(shop, cbor2.dumps(rough, canonical=True)), "schema")


def test_a_decline_under_the_type_of_an_authorization_is_schema(shop: Shop) -> None:
    honest = shop.authorized()
    decline = Decline(intent=NO_ID, intent_hash=bytes(32), terminal="till-1", counter=9, issued_at=START, reason="flat")
    leaves_no_trace(shop, honest, signed(shop, cose.peek(shop.till.sign(decline))), "schema")


def test_map_order_and_long_integers_are_non_canonical(shop: Shop) -> None:
    honest = shop.authorized()
    fields = cbor2.loads(cose.peek(honest))
    long_one = cose.peek(honest).replace(b"\x09\x01", b"\x09\x18\x01", 1)
    assert long_one != cose.peek(honest)
    for payload in (cbor2.dumps(dict(reversed(fields.items()))), long_one):
        receipt = shop.answer(signed(shop, payload))
        assert (receipt.code, receipt.intent) == ("non_canonical", NO_ID)
    assert shop.code(honest) == "approved"


# -- at the terminal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"digest": bytes(32)}, "receipt"),
        ({"intent": bytes([1]) * 16}, "receipt"),
        ({"terminal": "till-2"}, "receipt"),
        ({"outcome": "declined"}, "receipt"),
        ({"outcome": "rejected", "code": ""}, "receipt"),
        ({"outcome": "rejected", "code": "no_such_code"}, "receipt"),
        ({"outcome": "approved", "code": "amount"}, "receipt"),
    ],
)
def test_receipt_for_other_bytes_or_another_outcome_settles_nothing(
    shop: Shop, changes: dict[str, object], code: str
) -> None:
    honest = shop.authorized()
    genuine = shop.backend.handle("till-1", honest)
    forged = msgspec.structs.replace(schema.decode(cose.peek(genuine), Receipt), **changes)
    refuses_to_settle(shop, schema.sign(forged, signer(shop.key), shop.kid), code)
    assert shop.till.outbox.settle(genuine, shop.trust, "till-1").outcome == "approved"


def test_receipt_by_another_key_settles_nothing(shop: Shop) -> None:
    genuine = shop.backend.handle("till-1", shop.authorized())
    receipt = schema.decode(cose.peek(genuine), Receipt)
    refuses_to_settle(shop, schema.sign(receipt, signer(STRANGER), shop.kid), "bad_signature")
    refuses_to_settle(shop, schema.sign(receipt, signer(STRANGER), b"stranger"), "unknown_key")
    refuses_to_settle(shop, schema.sign(receipt, shop.till.element.sign, shop.till.kid), "unknown_key")


def test_a_settled_payment_cannot_be_unsettled_by_another_receipt(shop: Shop) -> None:
    honest = shop.authorized()
    genuine = shop.backend.handle("till-1", honest)
    shop.till.outbox.settle(genuine, shop.trust, "till-1")
    other = msgspec.structs.replace(schema.decode(cose.peek(genuine), Receipt), outcome="rejected", code="amount")
    with pytest.raises(PaymentError, match="receipt"):
        shop.till.outbox.settle(schema.sign(other, signer(shop.key), shop.kid), shop.trust, "till-1")


def refuses_to_settle(shop: Shop, receipt: bytes, code: str) -> None:
    with pytest.raises(PaymentError) as caught:
        shop.till.outbox.settle(receipt, shop.trust, "till-1")
    assert caught.value.code == code
    assert shop.till.outbox.waiting() == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"terminal": "till-2"}, "intent_other_terminal"),
        ({"merchant": "THIEF"}, "merchant"),
        ({"exponent": 0}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"expires_at": START + 301}, "ttl"),
        ({"expires_at": START}, "ttl"),
        ({"issued_at": START + 31, "expires_at": START + 100}, "future"),
        ({"issued_at": START - 100, "expires_at": START}, "expired"),
    ],
)
def test_intent_for_another_terminal_merchant_or_time_is_not_served(
    shop: Shop, changes: dict[str, object], code: str
) -> None:
    _, envelope = shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)
    forged = msgspec.structs.replace(schema.decode(cose.peek(envelope), Intent), **changes)
    with pytest.raises(PaymentError) as caught:
        shop.till.open(schema.sign(forged, signer(shop.key), shop.kid), START)
    assert caught.value.code == code


def test_intent_by_another_key_is_not_served(shop: Shop) -> None:
    _, envelope = shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)
    intent = schema.decode(cose.peek(envelope), Intent)
    for key, kid, code in ((STRANGER, shop.kid, "bad_signature"), (STRANGER, b"stranger", "unknown_key")):
        with pytest.raises(PaymentError) as caught:
            shop.till.open(schema.sign(intent, signer(key), kid), START)
        assert caught.value.code == code


def test_intent_replayed_is_served_once(shop: Shop) -> None:
    _, envelope = shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)
    shop.till.open(envelope, START)
    for _ in range(2):
        with pytest.raises(PaymentError) as caught:
            shop.till.open(envelope, START)
        assert caught.value.code == "intent_used"
        shop.restart_terminal()


def test_intent_as_a_receipt_and_receipt_as_an_intent_are_malformed(shop: Shop) -> None:
    _, intent = shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)
    receipt = shop.backend.handle("till-1", shop.authorized())
    refuses_to_settle(shop, intent, "malformed")
    with pytest.raises(PaymentError, match="malformed"):
        accept_intent(
            receipt, shop.trust, terminal="till-1", merchant="CORNER-SHOP", now=START, profile=shop.till.profile
        )
