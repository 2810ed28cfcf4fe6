"""What reads the bytes of payments, and what must hold of whatever it says."""

from collections.abc import Callable

from firmware.payment import cbor, cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.intent import accept_intent
from firmware.payment.messages import Intent, Receipt
from firmware.payment.trust import Trust
from hil.backend import vectors
from hil.backend.shop import START, Shop
from hil.backend.vector_messages import examples

EXAMPLES = examples(lambda name, message: vectors.envelope(name, schema.encode(message), message.TYP))
PAYLOADS = {name: schema.encode(message) for name, message in EXAMPLES.items()}
GOOD = {vectors.envelope(name, schema.encode(message), message.TYP) for name, message in EXAMPLES.items()}
TRUST = Trust({key.kid: key.public for key in vectors.KEYS.values()})


def code_of(read: Callable[[], object]) -> str:
    """How it ended: a code, or `read`."""
    try:
        read()
    except PaymentError as error:
        return error.code
    return "read"


def read_cbor(data: bytes) -> str:
    """One value has one encoding."""
    try:
        item = cbor.decode(data)
    except PaymentError as error:
        return _one_of(error.code, "malformed", "non_canonical")
    assert cbor.encode(item) == data
    return "read"


def read_envelope(data: bytes) -> str:
    """No signature holds but those that were made."""
    code_of(lambda: cose.peek(data))
    try:
        typ = cose.peek_type(data)
        cose.verify(data, TRUST.resolve, typ)
    except PaymentError as error:
        return _one_of(error.code, "malformed", "non_canonical", "bad_signature", "unknown_key")
    assert data in GOOD, "a signature holds over bytes that were never signed"
    return "read"


def reader(kind: type[schema.Message]) -> Callable[[bytes], str]:
    """What is read as this message says the same when written again."""

    def read(data: bytes) -> str:
        try:
            message = schema.decode(data, kind)
        except PaymentError as error:
            return _one_of(error.code, "malformed", "non_canonical", "schema")
        assert schema.encode(message) == data
        return "read"

    return read


def _one_of(code: str, *allowed: str) -> str:
    assert code in allowed
    return code


class Acceptance:
    """What the terminal does with messages that are rightly signed, whatever they say."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        accepted = shop.open()
        authorization = shop.till.authorize(accepted, shop.mandate, shop.time)
        self.payload, self.paid = schema.encode(accepted.intent), accepted.intent.id
        self.receipt = cose.peek(shop.backend.handle("till-1", authorization))

    def feed(self, payload: bytes) -> str:
        """As an intent."""
        envelope = vectors.envelope("intent", payload, Intent.TYP)

        def accept() -> None:
            accepted = accept_intent(
                envelope, TRUST, terminal="till-1", merchant="CORNER-SHOP", now=START, profile=self.shop.till.profile
            )
            assert accepted.intent.terminal == "till-1"
            assert accepted.intent.issued_at < accepted.intent.expires_at <= accepted.intent.issued_at + 300

        return code_of(accept)

    def settle(self, payload: bytes) -> str:
        """As a receipt, at an outbox with one envelope that waits: only its own answer settles it."""
        envelope = vectors.envelope("receipt", payload, Receipt.TYP)
        return code_of(lambda: self.shop.till.outbox.settle(envelope, TRUST, "till-1"))


def judge(shop: Shop, honest: bytes) -> Callable[[bytes], str]:
    """The whole backend, with its database: nothing but the honest bytes is ever approved."""

    def handle(data: bytes) -> str:
        receipt = shop.answer(data)
        assert receipt.outcome != "approved" or data == honest
        return receipt.code or receipt.outcome

    return handle
