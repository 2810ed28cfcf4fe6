"""What a broker, or who has a worker's certificate, can make a terminal believe: nothing the backend did not sign.

The impostor may publish on every topic of every terminal, and knows all that ever passed. What comes over mosquitto is
handed to what the terminal has for it: intents and receipts to its outbox, on the disk.
"""

import time
from collections.abc import Iterator

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Beacon, Intent, Receipt
from hil.backend.fleet import nothing
from hil.backend.keys import signer
from hil.rig.brokers import BACKENDS
from tests.attacks.site import Site, Terminal, Wire

OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def now() -> int:
    return int(time.time())


@pytest.fixture(scope="module")
def impostor(site: Site) -> Iterator[Wire]:
    """Somebody with the certificate of a worker that does not run, and without the backend's key."""
    wire = Wire(site.broker, site.authority, BACKENDS[-1])
    yield wire
    wire.close()


def brought(impostor: Wire, till: Terminal, kind: str, envelope: bytes) -> bytes:
    """What the impostor said to the terminal, as it came there."""
    impostor.say(till.topic(kind), envelope)
    came = till.wire.hear(kind)
    assert came == envelope
    return came


def settles_nothing(impostor: Wire, till: Terminal, receipt: bytes, code: str) -> None:
    with pytest.raises(PaymentError) as caught:
        till.device.outbox.settle(brought(impostor, till, "receipt", receipt), till.site.trust, till.name)
    assert caught.value.code == code
    assert till.device.outbox.waiting() == 1


def is_not_served(impostor: Wire, till: Terminal, intent: bytes, code: str) -> None:
    with pytest.raises(PaymentError) as caught:
        till.device.open(brought(impostor, till, "intent", intent), now())
    assert caught.value.code == code
    till.device.outbox.heard(
        Beacon(terminal=till.name, nonce=bytes(32), time=now(), counter=0, allowance=nothing(now()))
    )
    assert till.device.outbox.interrupted() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": bytes(32)}, {"intent": bytes([1]) * 16}, {"terminal": "till-x"}, {"outcome": "declined"},
        {"outcome": "rejected", "code": ""}, {"outcome": "rejected", "code": "no_such_code"},
        {"outcome": "approved", "code": "amount"},
    ],
    ids=str,
)  # fmt: skip
def test_receipt_for_other_bytes_or_another_outcome_settles_nothing(
    till: Terminal, impostor: Wire, changes: dict[str, object]
) -> None:
    genuine = till.send(till.authorized())[1]
    forged = msgspec.structs.replace(schema.decode(cose.peek(genuine), Receipt), **changes)
    settles_nothing(impostor, till, till.site.sealed(forged), "receipt")
    assert till.device.outbox.settle(genuine, till.site.trust, till.name).outcome == "approved"


def test_receipt_by_another_key_settles_nothing(till: Terminal, impostor: Wire) -> None:
    receipt = schema.decode(cose.peek(till.send(till.authorized())[1]), Receipt)
    settles_nothing(impostor, till, schema.sign(receipt, signer(OTHER_KEY), till.site.kid), "bad_signature")
    settles_nothing(impostor, till, schema.sign(receipt, signer(OTHER_KEY), b"stranger"), "unknown_key")
    settles_nothing(impostor, till, schema.sign(receipt, till.device.element.sign, till.device.kid), "unknown_key")


def test_a_settled_payment_cannot_be_unsettled_by_another_receipt(till: Terminal, impostor: Wire) -> None:
    genuine = till.send(till.authorized())[1]
    till.device.outbox.settle(genuine, till.site.trust, till.name)
    other = msgspec.structs.replace(schema.decode(cose.peek(genuine), Receipt), outcome="rejected", code="amount")
    with pytest.raises(PaymentError, match="receipt"):
        till.device.outbox.settle(
            brought(impostor, till, "receipt", till.site.sealed(other)), till.site.trust, till.name
        )


def test_another_terminals_receipt_settles_nothing(till: Terminal, impostor: Wire, site: Site) -> None:
    other = site.terminal()
    till.authorized()
    settles_nothing(impostor, till, other.send(other.authorized())[1], "receipt")
    other.close()


@pytest.mark.parametrize(
    ("changes", "life_s", "code"),
    [
        ({"terminal": "till-x"}, None, "intent_other_terminal"),
        ({"merchant": "THIEF"}, None, "merchant"),
        ({"exponent": 0}, None, "currency"),
        ({"currency": "XXX"}, None, "currency"),
        ({}, (0, 301), "ttl"),
        ({}, (0, 0), "ttl"),
        ({}, (60, 100), "future"),
        ({}, (-100, -1), "expired"),
    ],
    ids=["terminal", "merchant", "exponent", "currency", "too long", "not at all", "from the future", "expired"],
)
def test_intent_for_another_terminal_merchant_or_time_is_not_served(
    till: Terminal, impostor: Wire, changes: dict[str, object], life_s: tuple[int, int] | None, code: str
) -> None:
    intent = schema.decode(cose.peek(till.ask()[1]), Intent)
    if life_s is not None:
        changes = {"issued_at": now() + life_s[0], "expires_at": now() + life_s[1]}
    is_not_served(impostor, till, till.site.sealed(msgspec.structs.replace(intent, **changes)), code)


def test_intent_by_another_key_is_not_served(till: Terminal, impostor: Wire) -> None:
    intent = schema.decode(cose.peek(till.ask()[1]), Intent)
    is_not_served(impostor, till, schema.sign(intent, signer(OTHER_KEY), till.site.kid), "bad_signature")
    is_not_served(impostor, till, schema.sign(intent, signer(OTHER_KEY), b"stranger"), "unknown_key")
    is_not_served(impostor, till, schema.sign(intent, till.device.element.sign, till.device.kid), "unknown_key")


def test_intent_replayed_is_served_once(till: Terminal, impostor: Wire) -> None:
    envelope = till.ask()[1]
    till.device.open(envelope, now())
    with pytest.raises(PaymentError, match="intent_used"):
        till.device.open(brought(impostor, till, "intent", envelope), now())


def test_intent_as_a_receipt_and_receipt_as_an_intent_are_malformed(till: Terminal, impostor: Wire) -> None:
    intent, receipt = till.ask()[1], till.send(till.authorized())[1]
    settles_nothing(impostor, till, intent, "malformed")
    with pytest.raises(PaymentError, match="malformed"):
        till.device.open(brought(impostor, till, "intent", receipt), now())


def test_an_old_intent_that_the_broker_kept_is_not_served_to_whoever_subscribes_later(
    till: Terminal, impostor: Wire
) -> None:
    """Retained poisoning: what is signed rightly but over is expired, what was served is `intent_used`."""
    envelope = till.ask()[1]
    till.device.open(envelope, now())
    impostor.say(till.topic("intent"), envelope, retain=True)
    later = Wire(till.site.broker, till.site.authority, till.name, till.topic("intent"))
    with pytest.raises(PaymentError, match="intent_used"):
        till.device.open(later.hear("intent"), now())
    later.close()
