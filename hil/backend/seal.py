"""The backend's signature: on what it says, and on what it said before, once the key that signed that is another."""

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cose, schema
from firmware.payment.trust import key_id
from hil.backend.keys import signer


class Seal:
    """Signs as the backend.

    Args:
        key: its signing key.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._sign, self._kid = signer(key), key_id(key.public_key())

    def __call__(self, message: schema.Message) -> bytes:
        """Return the envelope of a message."""
        return schema.sign(message, self._sign, self._kid)

    def again(self, envelope: bytes, kind: type[schema.Message]) -> bytes:
        """Return what was kept as we signed it: the same bytes, or the same word by today's key.

        Nobody believes another key once it is revoked, and then what hangs on that word would never end.
        """
        if cose.peek_kid(envelope) == self._kid:
            return envelope
        return self(schema.decode(cose.peek(envelope), kind))
