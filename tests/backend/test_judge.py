"""What the backend does with honest messages, and what is left of the refused; the attacks are in `tests/payment`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import schema
from firmware.payment.messages import NO_ID, Receipt
from firmware.payment.outbox import OpenIntent
from firmware.payment.trust import Trust, key_id
from hil.backend.policy import Policy
from hil.backend.shop import PAYER, Shop
from tests.payment.test_attacks import PRODUCTION


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


def test_a_rejected_intent_is_closed(shop: Shop) -> None:
    message = shop.till.read(shop.altered(amount_minor=1))
    assert shop.code(shop.till.sign(message)) == "amount"
    view = shop.backend.state(message.intent)
    assert (view.state, view.code) == ("rejected", "amount")
    honest = msgspec.structs.replace(message, amount_minor=1250, counter=message.counter + 1, id=bytes(16))
    assert shop.code(shop.till.sign(honest)) == "intent_used"


def test_a_decline_closes_the_intent_and_no_authorization_follows(shop: Shop) -> None:
    accepted = shop.open()
    decline = shop.till.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", shop.time)
    assert shop.code(decline) == "declined"
    view = shop.backend.state(accepted.intent.id)
    assert (view.state, view.code) == ("declined", "flat")
    late = shop.altered(intent=accepted.intent.id, intent_hash=accepted.digest)
    assert shop.code(late) == "intent_used"


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


def test_a_lost_receipt_settles_after_the_key_that_signed_it_was_revoked(shop: Shop) -> None:
    """Else an approved payment stays unknown, and the terminal pays nobody any more."""
    envelope = shop.authorized()
    first = shop.answer(envelope)
    shop.key = ec.generate_private_key(ec.SECP256R1())
    shop.restart_backend()
    shop.time += 365 * 86_400
    only_new = Trust({key_id(shop.key.public_key()): shop.key.public_key()})
    again = shop.backend.handle("till-1", envelope)
    assert schema.verify(again, Receipt, only_new.resolve)[1] == first
    assert shop.till.outbox.settle(again, only_new, "till-1").outcome == "approved"
    shop.register_again(revoked=True)
    assert schema.verify(shop.backend.handle("till-1", envelope), Receipt, only_new.resolve)[1] == first
    assert len(shop.backend.payments()) == 1


@pytest.mark.parametrize("change", [{"profiles": ["payment", "demo"]}, {"assurance": "geometry"}, {"models": []}])
def test_a_production_policy_cannot_take_demonstrations(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"are for policy demo|must be listed"):
        msgspec.convert(msgspec.to_builtins(PRODUCTION) | change, Policy)
