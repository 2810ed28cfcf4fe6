"""What the backend does with honest messages, and what is left of the refused; the attacks are in `tests/payment`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from firmware.payment import schema
from firmware.payment.messages import NO_ID, Receipt
from firmware.payment.outbox import OpenIntent
from firmware.payment.trust import Trust, key_id
from hil.backend.keys import signer
from hil.backend.policy import Policy
from hil.backend.shop import PAYER, Shop
from tests.backend.rekeyed import rekeyed
from tests.payment.test_attacks import PRODUCTION


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def rows(shop: Shop, table: str) -> int:
    """How many rows a table has."""
    count = text(f"SELECT count(*) FROM {table}")
    return int(shop.store.transact(lambda ledger: ledger.connection.execute(count).scalar_one()))


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


def test_what_a_retired_key_signed_and_never_delivered_is_refused_for_good_at_once(shop: Shop) -> None:
    """Or nothing behind it would be sent until its time is over; a worker that knows nothing yet takes it no more."""
    envelope, not_yet_told = shop.authorized(), shop.worker(shop.store)
    rekeyed(shop)
    receipt = shop.backend.handle("till-1", envelope)
    assert (shop.read(receipt).code, shop.read(receipt).intent) == ("revoked", shop.till.read(envelope).intent)
    assert shop.till.outbox.settle(receipt, shop.trust, "till-1").outcome == "rejected"
    assert shop.read(not_yet_told.handle("till-1", envelope)).code == "suspended"
    assert shop.answer(envelope).code == "revoked"
    assert shop.backend.payments() == []
    assert shop.code(shop.authorized()) == "approved", "by the new key"


def test_what_was_approved_before_a_worker_heard_of_the_new_key_stays_approved(shop: Shop) -> None:
    envelope, not_yet_told = shop.authorized(), shop.worker(shop.store)
    rekeyed(shop)
    receipt = not_yet_told.handle("till-1", envelope)
    assert shop.read(receipt).outcome == "approved"
    assert shop.backend.handle("till-1", envelope) == receipt
    assert rows(shop, "suspensions") == 0


def test_made_up_in_the_name_of_a_retired_key_it_leaves_one_row_and_closes_nothing(shop: Shop) -> None:
    honest = shop.till.read(shop.authorized())
    retired, stranger = shop.till.kid, signer(ec.generate_private_key(ec.SECP256R1()))
    rekeyed(shop)
    made_up = [schema.sign(msgspec.structs.replace(honest, counter=n), stranger, retired) for n in range(9)]
    kept = rows(shop, "answers"), rows(shop, "counters")
    for envelope in made_up:
        assert shop.code(envelope) == "revoked"
        elsewhere = shop.answer(envelope, "till-2")
        assert (elsewhere.code, elsewhere.intent) == ("unknown_key", NO_ID)
    unknown = shop.answer(schema.sign(honest, stranger, b"stranger"))
    assert (unknown.code, unknown.intent) == ("unknown_key", NO_ID)
    assert (rows(shop, "answers"), rows(shop, "counters")) == kept
    assert rows(shop, "suspensions") == 1
    assert shop.backend.state(honest.intent).state == "open"


def test_what_a_suspended_key_signs_fills_nothing(shop: Shop) -> None:
    honest = shop.till.read(shop.authorized())
    shop.code(shop.till.sign(honest))
    assert shop.code(shop.till.sign(msgspec.structs.replace(honest, amount_minor=1))) == "clone_suspected"
    kept = rows(shop, "answers")
    for counter in range(2, 11):
        envelope = shop.till.sign(msgspec.structs.replace(honest, counter=counter))
        assert [shop.code(envelope), shop.code(envelope)] == ["suspended"] * 2
    assert rows(shop, "answers") == kept


@pytest.mark.parametrize("change", [{"profiles": ["payment", "demo"]}, {"assurance": "geometry"}, {"models": []}])
def test_a_production_policy_cannot_take_demonstrations(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"are for policy demo|must be listed"):
        msgspec.convert(msgspec.to_builtins(PRODUCTION) | change, Policy)
