"""Whose signatures are the backend's today: the newest set of keys, by the root this terminal pins.

Rules kept here:
- Only the root says which keys count, and each set replaces the one before it whole: a key that is left out is revoked
  from that moment.
- Versions only rise, over a restart too: the newest is kept in a file. Two sets of one version are a fault at the root;
  the first stays.
- A set of another environment than this terminal's counts for nothing: no demonstration key in production.
- A set that has ended says nothing any more: nobody is believed until a newer one comes.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.secure_element.files import write_private
from drivers.secure_element.interface import SecureElementError
from firmware.payment import schema
from firmware.payment.clock import MAX_SKEW_S, TrustedClock
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Environment, KeySet
from firmware.payment.trust import Trust, key_id, load_public_key
from firmware.runtime.messages import MAX_ENVELOPE_BYTES

# how the id of a demonstration's root begins: nobody can take it off, and production takes no such root
DEMO_MARK = 0xDE


class BackendKeys(Trust):
    """The set in force. `resolve` is what `cose.verify` asks.

    Args:
        root: the key that signs sets, and no other.
        environment: what a set must be for.
        first: the file the terminal was installed with.
        kept: where the newest that came is kept.
        clock: by which a set has ended, or is from the future.

    Raises:
        PaymentError: neither file can be used; it says which and why.
    """

    def __init__(self, root: Trust, environment: Environment, first: Path, kept: Path, clock: TrustedClock) -> None:
        super().__init__({})
        self._root, self._environment, self._kept, self._clock = root, environment, kept, clock
        self._set = self._read(first, "put the backend's newest there")
        if kept.exists():
            newest = self._read(kept, "if this terminal got another root, remove it")
            self._set = max(self._set, newest, key=lambda found: found.version)
        self._keys = _keys_of(self._set)

    @property
    def version(self) -> int:
        """Of the set in hand, the highest ever seen."""
        return self._set.version

    @property
    def issued_at(self) -> int:
        """When the set in hand was signed: a time that has surely passed."""
        return self._set.issued_at

    @property
    def expires_at(self) -> int:
        """When the set in hand ends."""
        return self._set.expires_at

    def resolve(self, kid: bytes) -> ec.EllipticCurvePublicKey:
        """Return the key of this id. Raises PaymentError `unknown_key`, or `key_set` where the set has ended."""
        if self._clock.at_least() >= self._set.expires_at:
            raise PaymentError("key_set", f"the backend's keys, version {self.version}, have ended; newer ones are due")
        return super().resolve(kid)

    def take(self, envelope: bytes) -> bool:
        """Take a set from the wire; whether it is a new one. It is on the disk before it counts.

        Raises:
            PaymentError: an envelope code, `key_set`, or `storage`; the set in hand stays.
        """
        found = self._verified(envelope)
        if found == self._set:
            return False
        if found.version <= self.version:
            raise PaymentError("key_set", f"version {found.version} does not follow {self.version}, which is in force")
        now = self._clock.at_least()
        if now >= found.expires_at:
            raise PaymentError("key_set", f"version {found.version} ended {now - found.expires_at} s ago")
        if self._clock.known and found.issued_at > now + MAX_SKEW_S:
            raise PaymentError("key_set", f"version {found.version} is from the future")
        keys = _keys_of(found)
        try:
            write_private(self._kept, envelope, replace=True)
        except SecureElementError as error:
            raise PaymentError("storage", str(error)) from error
        self._set, self._keys = found, keys
        return True

    def _verified(self, envelope: bytes) -> KeySet:
        kid, found = schema.verify(envelope, KeySet, self._root.resolve)
        if (kid[0] == DEMO_MARK) != (self._environment == "demo"):
            raise PaymentError("key_set", f"the root {kid.hex()} is not for {self._environment}; pin that one's")
        if found.environment != self._environment:
            raise PaymentError("key_set", f"keys for {found.environment}; this terminal is for {self._environment}")
        if found.expires_at <= found.issued_at:
            raise PaymentError("key_set", f"version {found.version} ends before it begins")
        return found

    def _read(self, path: Path, advice: str) -> KeySet:
        try:
            with path.open("rb") as file:
                return self._verified(file.read(MAX_ENVELOPE_BYTES + 1))
        except OSError as error:
            raise PaymentError("key_set", f"{path}: cannot be read: {error.strerror}; {advice}") from error
        except PaymentError as error:
            raise PaymentError(error.code, f"{path}: {error.text}; {advice}") from error


def _keys_of(found: KeySet) -> dict[bytes, ec.EllipticCurvePublicKey]:
    keys = [load_public_key(der) for der in found.keys]
    return {key_id(key): key for key in keys}
