"""What terminals ask of the backend besides payments, and say of themselves: time, certificates, how they are.

Rules kept here:
- Only a registered terminal whose key counts is answered, on its own topic; to others not a word.
- A beacon says the time of its signing and repeats the nonce it was asked with: it is good for one question.
- An allowance is repeated until half of its time has passed. A terminal in strange hands has two at once and no more,
  however often it asks and however many policies its workers go by: where two have not ended there is no third.
- A suspended terminal, or one that does not count in hardware, is allowed nothing.
- The same request for a certificate gets the same one, and a terminal gets a few a day.
- What a terminal says of itself is signed, so that nobody can leave a lie at the broker.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable

from sqlalchemy import Connection

from firmware.payment import money
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import PaymentError
from firmware.payment.messages import (
    NO_ID,
    Allowance,
    Beacon,
    BeaconRequest,
    CertificateGrant,
    CertificateRequest,
    Status,
)
from hil.backend import fleet_store
from hil.backend.fleet_store import Certified
from hil.backend.fleet_view import FleetView, look
from hil.backend.installation import Installation
from hil.backend.policy import Offline
from hil.backend.seal import Seal
from hil.backend.store import Store, Transaction

log = logging.getLogger(__name__)

# of one terminal, that have not ended
MOST_ALLOWANCES = 2
NO_CURRENCY = "XXX"  # ISO 4217: no currency
# older requests were not meant for today's key
REQUEST_AGE_S = 600
DAY_S = 86_400
# one for each of a day's renewals, and as many again for links that begin anew
CERTIFICATES_A_DAY = 12


class Fleet:
    """Answers terminals.

    Args:
        store: what the backend remembers.
        installation: its keys, terminals and policy.
        now: whole seconds since 1970.
    """

    def __init__(self, store: Store, installation: Installation, now: Callable[[], int]) -> None:
        self._store, self._installation, self._now = store, installation, now
        self._known = installation.terminals
        self._seal = Seal(installation.key)

    @property
    def terminals(self) -> tuple[str, ...]:
        """The names of all that are registered."""
        return self._known.names

    @property
    def key_set(self) -> bytes:
        """The key set's envelope, for terminals."""
        return self._installation.key_set

    @property
    def group(self) -> str:
        """The name under which workers share their subscriptions: the same for all, and known to nobody else."""
        private = self._installation.key.private_numbers().private_value.to_bytes(32, "big")
        return hashlib.sha256(b"tessera: workers' subscription" + private).hexdigest()[:32]

    def beacon(self, topic: str, envelope: bytes) -> bytes:
        """Answer a request for the time that came on a topic of terminal `topic`. Returns the signed beacon.

        Raises:
            StoreError: the database is away.
            PaymentError: it is not this terminal's request, or its key does not count.
        """
        kid, request = self._known.open(topic, envelope, BeaconRequest)

        def answer(ledger: Transaction) -> bytes:
            ledger.hold_terminal(topic)
            now, db = self._now(), ledger.connection
            allowance = self._allowance(db, topic, kid, now)
            counter = ledger.last_counter(topic)
            return self._seal(
                Beacon(terminal=topic, nonce=request.nonce, time=now, counter=counter, allowance=allowance)
            )

        return self._store.transact(answer)

    def take_status(self, topic: str, envelope: bytes) -> bool:
        """Take what terminal `topic` says of itself; whether it was newer than what is known.

        Raises:
            StoreError: the database is away.
            PaymentError: it is not this terminal's, or from the future.
        """
        _, status = self._known.open(topic, envelope, Status)
        now = self._now()
        if status.issued_at > now + MAX_SKEW_S:
            raise PaymentError("future", f"a status of {topic}, {status.issued_at - now} s ahead")
        said, ours = status.key_set, self._installation.version
        if said > ours:
            # either it lies, or the set here was lost or put back from a copy: no revocation would reach it
            log.error("%s says it has key set %d, takes none of %d: if so, `keys renew --version`", topic, said, ours)

        def take(ledger: Transaction) -> bool:
            ledger.hold_terminal(topic)
            return fleet_store.take_status(ledger.connection, status, envelope, now)

        return self._store.transact(take)

    def certificate(self, topic: str, envelope: bytes, *, age_s: int = REQUEST_AGE_S) -> bytes:
        """Answer a request for a certificate that came on a topic of terminal `topic`. Returns the signed grant.

        Args:
            topic: the terminal.
            envelope: its request.
            age_s: how old a request may be; where a person hands it over it may be weeks.

        Raises:
            StoreError: the database is away.
            PaymentError: it is not this terminal's, too old, for another name or another kind of key; too many came;
                or this backend certifies nobody.
        """
        certifier = self._installation.certifier
        if certifier is None:
            raise PaymentError("trust", "certifier: missing in the configuration; no link is certified here")
        kid, request = self._known.open(topic, envelope, CertificateRequest)
        digest, now = hashlib.sha256(envelope).digest(), self._now()

        def grant(ledger: Transaction) -> bytes:
            ledger.hold_terminal(topic)
            db = ledger.connection
            if fleet_store.is_suspended(db, kid, topic):
                raise PaymentError("suspended", f"a clone of {topic} was suspected; it gets no certificate")
            said = fleet_store.granted(db, digest)
            if said is not None:
                return self._seal.again(said, CertificateGrant)
            if request.issued_at > now + MAX_SKEW_S:
                raise PaymentError("future", f"a request of {topic}, {request.issued_at - now} s ahead")
            if request.issued_at < now - age_s:
                raise PaymentError("expired", f"a request of {topic}, {now - request.issued_at} s old")
            if fleet_store.granted_since(db, topic, now - DAY_S) >= CERTIFICATES_A_DAY:
                raise PaymentError("velocity", f"{topic} was given {CERTIFICATES_A_DAY} certificates within a day")
            made, der = certifier.issue(topic, request.request, self._known.kids, now)
            sealed = self._seal(CertificateGrant(terminal=topic, request=digest, certificate=der))
            ends_at = int(made.not_valid_after_utc.timestamp())
            fleet_store.keep_grant(db, digest, Certified(topic, f"{made.serial_number:x}", now, ends_at), sealed)
            log.info("certified the link of %s until %s", topic, made.not_valid_after_utc)
            return sealed

        return self._store.transact(grant)

    def view(self) -> FleetView:
        """How the fleet is now. Raises StoreError."""
        known, version = self._known.registrations, self._installation.version
        return self._store.transact(lambda ledger: look(ledger, known, version, self._now()))

    def _allowance(self, db: Connection, terminal: str, kid: bytes, now: int) -> Allowance:
        offline, registration = self._installation.policy.offline, self._known.registered(terminal)
        if offline is None or not registration.counter or fleet_store.is_suspended(db, kid, terminal):
            return nothing(now)
        running = fleet_store.running_allowances(db, terminal, now)
        full, at = len(running) >= MOST_ALLOWANCES, now
        if running:
            newest, given_at = running[0]
            fresh = now - given_at < offline.allowance_s // 2
            if (fresh or full) and newest == _allowed(offline, newest.id, given_at):
                return newest
            # the last given is known as the last, also where two are given in one second
            at = max(now, given_at + 1)
        if full:
            return nothing(now)
        allowance = _allowed(offline, secrets.token_bytes(16), at)
        fleet_store.keep_allowance(db, terminal, allowance, at)
        return allowance


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


def _allowed(offline: Offline, number: bytes, given_at: int) -> Allowance:
    return Allowance(
        id=number,
        currency=offline.currency,
        exponent=money.exponent(offline.currency),
        payment_minor=offline.payment_minor,
        payer_minor=offline.payer_minor,
        terminal_minor=offline.terminal_minor,
        hold_s=offline.hold_s,
        expires_at=given_at + offline.allowance_s,
    )
