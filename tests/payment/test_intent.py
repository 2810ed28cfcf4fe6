"""Which intents, mandates and signing requests a terminal refuses, and why."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.payment import cose, schema
from firmware.payment.authorize import Binding, commit, display_text, sign_authorization
from firmware.payment.errors import PaymentError
from firmware.payment.intent import AcceptedIntent, accept_intent
from firmware.payment.mandate import sign_erasure, verify_erasure, verify_guardian_mandate, verify_mandate
from firmware.payment.messages import Intent, Mandate
from firmware.payment.trust import Trust, key_id, load_trust
from firmware.runtime.config import load_profile
from hil.backend.keys import create_backend_key, load_backend_key, signer
from hil.backend.shop import CONSENT, START, Shop
from hil.backend.simulator import EVIDENCE, new_element

CHALLENGE = bytes(range(32))
BOUND: dict[str, Any] = {"environment": "demo", "terminal": "till-1", "consent_hash": CONSENT, "now": START}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def accept(shop: Shop, trust: Trust | None = None, profile: str = "demo", **changes: object) -> AcceptedIntent:
    """Have till-1 judge an intent of the backend's, with these fields changed before signing."""
    intent = Intent(
        id=bytes(16), issued_at=START, expires_at=START + 120, terminal="till-1", merchant="CORNER-SHOP",
        amount_minor=1250, currency="EUR", exponent=2, challenge=CHALLENGE, assurance="geometry", payer="payer-7",
        counter=0,
    )  # fmt: skip
    payload = schema.encode(msgspec.structs.replace(intent, **changes))
    envelope = cose.sign(payload, signer(shop.key), shop.kid, Intent.TYP)
    return accept_intent(
        envelope, trust or shop.trust, terminal="till-1", merchant="CORNER-SHOP", now=shop.time,
        profile=load_profile(profile),
    )  # fmt: skip


def test_an_honest_intent_is_accepted_with_the_stronger_assurance(shop: Shop) -> None:
    assert accept(shop).assurance == "geometry"
    assert accept(shop, assurance="dynamic").assurance == "dynamic"
    assert accept(shop, profile="payment").assurance == "dynamic"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"terminal": "till-2"}, "intent_other_terminal"),
        ({"merchant": "THIEF"}, "merchant"),
        ({"expires_at": START + 301}, "ttl"),
        ({"expires_at": START}, "ttl"),
        ({"issued_at": START - 120, "expires_at": START}, "expired"),
        ({"issued_at": START + 31}, "future"),
        ({"exponent": 0}, "currency"),
        ({"currency": "XAU"}, "currency"),
        ({"currency": "eur"}, "schema"),
        ({"amount_minor": 0}, "schema"),
        ({"challenge": bytes(31)}, "schema"),
        ({"counter": -1}, "schema"),
        ({"counter": 2**48 + 1}, "schema"),
    ],
)
def test_an_intent_not_for_here_and_now_is_refused(shop: Shop, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(PaymentError) as error:
        accept(shop, **changes)
    assert error.value.code == code


def test_an_intent_by_a_key_that_is_not_pinned_is_refused(shop: Shop) -> None:
    with pytest.raises(PaymentError, match="unknown_key"):
        accept(shop, Trust({}))


def test_what_was_shown_and_what_the_profile_demands_is_checked_before_signing(shop: Shop) -> None:
    accepted = accept(shop)
    element, software = shop.till.element, shop.till.software
    shown = display_text(1250, "EUR", "CORNER-SHOP")
    assert shown == "Pay 12.50 EUR to CORNER-SHOP"
    dynamic = msgspec.structs.replace(accepted, assurance="dynamic")
    binding = Binding("payer-7", bytes(16))
    for wanted, text, bound, now, code in (
        (accepted, "Pay 1.25 EUR to CORNER-SHOP", binding, START, "display"),
        (dynamic, shown, binding, START, "evidence"),
        (accepted, shown, Binding("payer-8", bytes(16)), START, "mandate"),
        (accepted, shown, binding, START + 120, "expired"),
        (accepted, shown, Binding("payer-7", b"short"), START, "schema"),
    ):
        with pytest.raises(PaymentError) as error:
            sign_authorization(
                wanted, software=software, evidence=EVIDENCE, binding=bound, shown=text, now=now, counter=1,
                element=element,
            )  # fmt: skip
        assert error.value.code == code


def test_the_commitment_hides_the_record_behind_its_salt() -> None:
    assert commit(b"record", bytes(32)) != commit(b"record", b"\1" * 32)
    assert commit(b"record", bytes(32)) != hashlib.sha256(b"record").digest()
    with pytest.raises(ValueError, match="salt"):
        commit(b"record", b"")


@pytest.mark.parametrize(
    ("terminal", "purpose", "consent_hash", "late_s"),
    [
        ("till-2", "payment", CONSENT, 0),
        ("till-1", "door", CONSENT, 0),
        ("till-1", "payment", bytes(32), 0),
        ("till-1", "payment", CONSENT, 600),
    ],
)
def test_a_mandate_for_another_terminal_purpose_consent_or_time_is_refused(
    shop: Shop, terminal: str, purpose: str, consent_hash: bytes, late_s: int
) -> None:
    envelope = shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT)

    def check(terminal: str, purpose: str, consent_hash: bytes, now: int) -> Mandate:
        return verify_mandate(
            envelope,
            shop.trust,
            environment="demo",
            terminal=terminal,
            purpose=purpose,
            consent_hash=consent_hash,
            now=now,
        )

    assert check("till-1", "payment", CONSENT, START).payer == "payer-7"
    with pytest.raises(PaymentError) as error:
        check(terminal, purpose, consent_hash, START + late_s)
    assert error.value.code == "mandate"


def test_a_mandate_says_how_the_accounts_holder_was_authenticated(shop: Shop) -> None:
    for method in ("simulated", "bank_app"):
        envelope = shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT, method)
        _, mandate = schema.verify(envelope, Mandate, shop.trust.resolve)
        assert mandate.method == method


@pytest.mark.parametrize(
    ("issued_at", "lives_s", "told"),
    [
        (START + 31, 600, "issued in the future"),
        (START, 24 * 3600 + 1, "does not live for"),
        (START, 0, "does not live for"),
        (START - 600, 600, "has expired"),
    ],
)
def test_a_mandate_lives_a_day_at_most_and_begins_now(shop: Shop, issued_at: int, lives_s: int, told: str) -> None:
    mandate = Mandate(
        id=bytes(16), payer="payer-7", terminal="till-1", purpose="door", consent_hash=CONSENT, issued_at=issued_at,
        expires_at=issued_at + lives_s, method="simulated",
    )  # fmt: skip
    envelope = schema.sign(mandate, signer(shop.key), shop.kid)
    with pytest.raises(PaymentError, match=told) as error:
        verify_mandate(envelope, shop.trust, purpose="door", **BOUND)
    assert error.value.code == "mandate"


def test_a_mandate_of_any_other_key_binds_nobody(shop: Shop) -> None:
    envelope = shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT)
    with pytest.raises(PaymentError, match="unknown_key"):
        verify_mandate(envelope, Trust({}), purpose="payment", **BOUND)


def test_in_production_a_mandate_binds_nobody_where_nobody_was_authenticated(shop: Shop) -> None:
    payers = shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT, "simulated")
    guardians = shop.backend.issue_guardian_mandate("till-1", CONSENT, "school-office", "simulated")
    guardian: dict[str, Any] = {"verifier": "school-office", "method": "simulated"}
    verify_mandate(payers, shop.trust, purpose="payment", **BOUND)
    verify_guardian_mandate(guardians, shop.trust, **guardian, **BOUND)
    production = BOUND | {"environment": "production"}
    with pytest.raises(PaymentError, match="simulated"):
        verify_mandate(payers, shop.trust, purpose="payment", **production)
    with pytest.raises(PaymentError, match="simulated"):
        verify_guardian_mandate(guardians, shop.trust, **guardian, **production)
    theirs = shop.backend.issue_mandate("till-1", "payer-7", "payment", CONSENT, "bank_app")
    assert verify_mandate(theirs, shop.trust, purpose="payment", **production).method == "bank_app"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"terminal": "till-2"}, "till-1"),
        ({"consent_hash": bytes(32)}, "another consent"),
        ({"verifier": "anybody"}, "school-office by document"),
        ({"method": "account"}, "school-office by document"),
        ({"now": START + 600}, "expired"),
    ],
)
def test_a_guardians_mandate_stands_for_one_guardian_in_one_consent(
    shop: Shop, changes: dict[str, Any], told: str
) -> None:
    envelope = shop.backend.issue_guardian_mandate("till-1", CONSENT, "school-office", "document")
    right: dict[str, Any] = BOUND | {"verifier": "school-office", "method": "document"}
    assert len(verify_guardian_mandate(envelope, shop.trust, **right).id) == 16
    with pytest.raises(PaymentError, match=told) as error:
        verify_guardian_mandate(envelope, shop.trust, **{**right, **changes})
    assert error.value.code == "mandate"


def test_a_payers_mandate_is_no_guardians_and_the_other_way_round(shop: Shop) -> None:
    payers = shop.backend.issue_mandate("till-1", "payer-7", "door", CONSENT)
    guardians = shop.backend.issue_guardian_mandate("till-1", CONSENT, "school-office", "document")
    with pytest.raises(PaymentError, match="malformed"):
        verify_guardian_mandate(payers, shop.trust, verifier="school-office", method="document", **BOUND)
    with pytest.raises(PaymentError, match="malformed"):
        verify_mandate(guardians, shop.trust, purpose="door", **BOUND)


def test_an_erasure_receipt_is_the_terminals_own() -> None:
    element = new_element()
    envelope = sign_erasure(
        terminal="till-1", person="p-1", consent_hash=CONSENT, erased_at=START, records=1, element=element
    )
    assert verify_erasure(envelope, element.public_key).person == "p-1"
    with pytest.raises(PaymentError, match="unknown_key"):
        verify_erasure(envelope, new_element().public_key)


def test_pinned_keys_are_read_and_a_wrong_file_names_itself(tmp_path: Path) -> None:
    pinned, private = tmp_path / "keys.json", tmp_path / "backend.pem"
    key = create_backend_key(private, pinned)
    assert private.stat().st_mode & 0o777 == 0o600
    assert load_backend_key(private).private_numbers() == key.private_numbers()
    (kid,) = json.loads(pinned.read_text())
    assert load_trust(pinned).resolve(bytes.fromhex(kid)) == key.public_key()
    good = pinned.read_text()
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    pinned.write_text(json.dumps({key_id(other).hex(): pem}))
    with pytest.raises(PaymentError, match="not a P-256 key"):
        load_trust(pinned)
    for text in (
        "",
        "[]",
        "{}",
        "{",
        '{"aa": "x"}',
        json.dumps({kid: pem}),
        good.replace(kid, "00" * 8),
        good + 70_000 * " ",
    ):
        pinned.write_text(text)
        with pytest.raises(PaymentError, match=r"trust: .*keys\.json"):
            load_trust(pinned)
    pinned.unlink()
    with pytest.raises(PaymentError, match="No such file"):
        load_trust(pinned)
