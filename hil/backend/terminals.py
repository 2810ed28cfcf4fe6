"""Who speaks: the terminals a backend knows, and which of them signed an envelope.

Rules kept here:
- The topic, the key and the message must name one terminal, and its key must count.
- Nothing is written and nothing is believed before that is sure.
- Who is known is decided when they are made. After that a key can only be taken away, at any moment and for good.
"""

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import BeaconRequest, CertificateRequest, Status
from firmware.payment.trust import key_id, load_pem
from hil.backend.policy import Registration

Said = TypeVar("Said", BeaconRequest, CertificateRequest, Status)


class Terminals:
    """The registered terminals. Raises PaymentError `trust`: two have one name or one key, or a key cannot be read."""

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self._known: dict[str, Registration] = {}
        for known in registrations:
            if self._known.setdefault(known.terminal, known) is not known:
                raise PaymentError("trust", f"two terminals are registered as {known.terminal}")
        keys = {name: load_pem(known.public_key.encode(), name) for name, known in self._known.items()}
        self._signers = {key_id(public): (public, self._known[name]) for name, public in keys.items()}
        if len(self._signers) != len(keys):
            raise PaymentError("trust", "two terminals are registered under one key")
        self._gone = frozenset[bytes]()
        self._retired = {(known.terminal, kid) for known in self._known.values() for kid in known.retired}

    @property
    def names(self) -> tuple[str, ...]:
        """All their names, in order."""
        return tuple(sorted(self._known))

    def registered(self, terminal: str) -> Registration:
        """Return a terminal's registration. Raises PaymentError `topic_identity`."""
        if terminal not in self._known:
            raise PaymentError("topic_identity", f"no terminal {terminal} is registered")
        return self._known[terminal]

    @property
    def registrations(self) -> list[Registration]:
        """All of them, in the list's order; one whose key was taken away is revoked."""
        signers = self._signers.items()
        return [msgspec.structs.replace(known, revoked=not self._counts(kid, known)) for kid, (_, known) in signers]

    @property
    def kids(self) -> frozenset[bytes]:
        """The ids of all their keys."""
        return frozenset(self._signers)

    def of_key(self, kid: bytes) -> Registration:
        """Return the terminal whose key has this id, one that `resolve` returned."""
        return self._signers[kid][1]

    def take_away(self, newer: "Terminals") -> tuple[str, ...]:
        """Let no key count any longer that does not count in `newer`; whatever else it says adds and changes nothing.

        Any thread may ask meanwhile. Returns the names of those whose key counted until now.
        """
        counted = {kid: known for kid, (_, known) in self._signers.items() if self._counts(kid, known)}
        went = {kid: known.terminal for kid, known in counted.items() if not newer._counts(kid, known)}
        self._gone |= went.keys()
        return tuple(sorted(went.values()))

    def retired(self, terminal: str, kid: bytes) -> bool:
        """Whether this key was the terminal's once, and is nobody's now."""
        return kid not in self._signers and (terminal, kid.hex()) in self._retired

    def open(self, topic: str, envelope: bytes, kind: type[Said]) -> tuple[bytes, Said]:
        """Return (key id, message) of what terminal `topic` signed.

        Raises:
            PaymentError: it did not, or its key does not count.
        """
        known = self.registered(topic)
        kid, message = schema.verify(envelope, kind, self.resolve)
        if self.of_key(kid) is not known:
            raise PaymentError("kid_topic_mismatch", f"the key is not {topic}'s")
        if message.terminal != topic:
            raise PaymentError("terminal_mismatch", f"the message is not {topic}'s")
        return kid, message

    def resolve(self, kid: bytes) -> ec.EllipticCurvePublicKey:
        """Return a terminal's key by its id. Raises PaymentError `unknown_key` or `revoked`."""
        if kid not in self._signers:
            raise PaymentError("unknown_key", f"no terminal has the key {kid.hex()}")
        public, registration = self._signers[kid]
        if not self._counts(kid, registration):
            raise PaymentError("revoked", f"the key of {registration.terminal} is revoked")
        return public

    def _counts(self, kid: bytes, whose: Registration) -> bool:
        """Whether this key is that terminal's here, and counts."""
        if kid not in self._signers or kid in self._gone:
            return False
        known = self._signers[kid][1]
        return known.terminal == whose.terminal and not known.revoked
