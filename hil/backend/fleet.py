"""What terminals ask of the backend besides payments: what time it is.

Rules kept here:
- Only a registered terminal whose key counts is answered, on its own topic; to others not a word.
- A beacon says the time of its signing and repeats the nonce it was asked with: it is good for one question.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import schema
from firmware.payment.messages import NO_ID, Allowance, Beacon, BeaconRequest
from firmware.payment.trust import key_id
from hil.backend.keys import signer
from hil.backend.store import Store
from hil.backend.terminals import Terminals

NO_CURRENCY = "XXX"  # ISO 4217: no currency


class Fleet:
    """Answers terminals.

    Args:
        store: what the backend remembers.
        key: its signing key.
        terminals: those it knows.
        now: whole seconds since 1970.
    """

    def __init__(
        self, store: Store, key: ec.EllipticCurvePrivateKey, terminals: Terminals, now: Callable[[], int]
    ) -> None:
        self._store, self._terminals, self._now = store, terminals, now
        self._sign, self._kid = signer(key), key_id(key.public_key())

    def beacon(self, topic: str, envelope: bytes) -> bytes:
        """Answer a request for the time that came on a topic of terminal `topic`. Returns the signed beacon.

        Raises:
            StoreError: the database is away.
            PaymentError: it is not this terminal's request, or its key does not count.
        """
        request = self._terminals.open(topic, envelope, BeaconRequest)
        counter = self._store.transact(lambda ledger: ledger.last_counter(topic))
        now = self._now()
        beacon = Beacon(terminal=topic, nonce=request.nonce, time=now, counter=counter, allowance=nothing(now))
        return schema.sign(beacon, self._sign, self._kid)


def nothing(now: int) -> Allowance:
    """The allowance that allows nothing."""
    return Allowance(
        id=NO_ID,
        currency=NO_CURRENCY,
        exponent=0,
        payment_minor=0,
        payer_minor=0,
        terminal_minor=0,
        hold_s=0,
        expires_at=now,
    )
