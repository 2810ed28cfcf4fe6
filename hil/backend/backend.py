"""The backend as one object: no network, no clock of its own.

Rules kept here:
- `handle` always answers with a signed receipt over the exact bytes it was given, and the answer is final. Given
  again it is the same, byte for byte while our key is: under another it is the same word, signed anew.
- Judgement, effect and answer are one transaction. A receipt exists only after it is on disk.
- It keeps nothing between two calls: any number run beside each other on one database, and each gives the same answer.
- What is refused before its sender is known leaves no trace: strangers cannot fill the store, use up a counter or
  close an intent. Such an answer is signed anew each time and always says the same. Of a retired key one trace is left,
  that it counts nothing any more: a worker that has not heard of the new key approves nothing under it either.
"""

import datetime
import hashlib
import secrets
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cose, money, schema
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import SIMULATED
from firmware.payment.messages import (
    ASSURANCE_RANK,
    Assurance,
    Authorization,
    Cancellation,
    Decline,
    GuardianMandate,
    Intent,
    Mandate,
)
from hil.backend import books, orders, reconcile, verify
from hil.backend.books import Closing
from hil.backend.calls import Call, once
from hil.backend.judge import Judge
from hil.backend.orders import Refund, RegisterView
from hil.backend.policy import DEMO, Policy
from hil.backend.seal import Seal
from hil.backend.store import Payment, Store, Transaction
from hil.backend.terminals import Terminals

INTENT_TTL_S = 120
MANDATE_TTL_S = 600
MOST_REFERRED = 100
ANSWERS: dict[str, type[Authorization] | type[Decline]] = {kind.TYP: kind for kind in (Authorization, Decline)}


class Backend:
    """Issues intents and mandates, answers authorizations and declines.

    Args:
        store: what it remembers.
        key: its signing key.
        terminals: those it knows.
        policy: what it takes.
        now: whole seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        key: ec.EllipticCurvePrivateKey,
        terminals: Terminals,
        policy: Policy,
        now: Callable[[], int],
    ) -> None:
        self._store, self._policy, self._now = store, policy, now
        self._seal = Seal(key)
        self._known = terminals
        self._judge = Judge(self._known, policy, now, self._seal)

    def issue_intent(
        self,
        terminal: str,
        amount: money.Amount,
        payer: str,
        assurance: Assurance = "geometry",
        *,
        reference: str = "",
        call: Call | None = None,
    ) -> tuple[bytes, bytes]:
        """Ask a terminal for a payment. Returns (intent id, signed envelope); publish the envelope.

        The stronger of `assurance` and what the policy demands is asked for. The same `call` again gets the same two.

        Raises:
            PaymentError: `topic_identity`, `currency` or `schema`.
            CallError: `key_reuse`.
        """
        registration, now = self._known.registered(terminal), self._now()

        def ask(ledger: Transaction) -> str:
            intent = Intent(
                id=secrets.token_bytes(16),
                issued_at=now,
                expires_at=now + INTENT_TTL_S,
                terminal=terminal,
                merchant=registration.merchant,
                amount_minor=amount.minor,
                currency=amount.currency,
                exponent=money.exponent(amount.currency),
                challenge=secrets.token_bytes(32),
                assurance=max(assurance, self._policy.assurance, key=ASSURANCE_RANK.__getitem__),
                payer=payer,
                counter=ledger.last_counter(terminal),
            )
            envelope = self._seal(intent)
            ledger.keep_intent(intent, hashlib.sha256(envelope).digest(), envelope, reference)
            return intent.id.hex()

        def ask_once(ledger: Transaction) -> tuple[bytes, bytes]:
            intent = bytes.fromhex(once(ledger, call, now, lambda: ask(ledger), str))
            return intent, ledger.envelope(intent)

        return self._store.transact(ask_once)

    def issue_mandate(
        self, terminal: str, payer: str, purpose: str, consent_hash: bytes, method: str = SIMULATED
    ) -> bytes:
        """Let a terminal bind one face to `payer`, under this consent. Returns the signed envelope.

        Called once the holder of the account has been authenticated by another way than the terminal's, `method`;
        this reference backend has no such way, and says so, which is for a demonstration.

        Raises:
            PaymentError: `mandate`, `topic_identity` or `schema`.
        """
        self._check_authenticated(method)
        now = self._now()
        mandate = Mandate(
            id=secrets.token_bytes(16),
            payer=payer,
            terminal=self._known.registered(terminal).terminal,
            purpose=purpose,
            consent_hash=consent_hash,
            issued_at=now,
            expires_at=now + MANDATE_TTL_S,
            method=method,
        )
        envelope = self._seal(mandate)
        self._store.transact(lambda ledger: ledger.keep_mandate(mandate, envelope))
        return envelope

    def issue_guardian_mandate(self, terminal: str, consent_hash: bytes, verifier: str, method: str) -> bytes:
        """State that `verifier` made sure, by `method`, who the guardian in this consent is. Returns the envelope.

        Raises:
            PaymentError: `mandate`, `topic_identity` or `schema`.
        """
        self._check_authenticated(method)
        now = self._now()
        return self._seal(
            GuardianMandate(
                id=secrets.token_bytes(16),
                terminal=self._known.registered(terminal).terminal,
                consent_hash=consent_hash,
                verifier=verifier,
                method=method,
                issued_at=now,
                expires_at=now + MANDATE_TTL_S,
            )
        )

    def _check_authenticated(self, method: str) -> None:
        if method == SIMULATED and self._policy.name != DEMO.name:
            raise PaymentError("mandate", f"method {SIMULATED}: nobody was authenticated; that is for policy demo")

    def state(self, intent: bytes) -> RegisterView:
        """Return how an intent stands: the truth about a payment. What is past its time is closed by looking."""
        now = self._now()
        return self._store.transact(lambda ledger: orders.look(ledger, intent, now))

    def cancel(self, intent: bytes) -> tuple[RegisterView, bytes | None]:
        """Take back an intent that nobody has answered.

        Returns:
            How it stands then, and where it is cancelled, now or before, the envelope that tells its terminal.
        """
        now = self._now()

        def take_back(ledger: Transaction) -> tuple[RegisterView, bytes | None]:
            view, issued = orders.cancel(ledger, intent, now), ledger.issued(intent)
            if issued is None or view.state != "cancelled":
                return view, None
            return view, self._seal(
                Cancellation(intent=intent, intent_hash=issued.digest, terminal=issued.intent.terminal, issued_at=now)
            )

        return self._store.transact(take_back)

    def referred(self, reference: str) -> list[RegisterView]:
        """Return how the intents stand that the register calls so, at most `MOST_REFERRED`, in no order."""
        now = self._now()
        return self._store.transact(
            lambda ledger: [orders.look(ledger, intent, now) for intent in ledger.referred(reference, MOST_REFERRED)]
        )

    def reverse(self, intent: bytes) -> RegisterView:
        """Take a payment back as a whole while its day is open. Raises CallError as `orders.reverse`."""
        return self._store.transact(lambda ledger: orders.reverse(ledger, intent, self._now()))

    def refund(self, intent: bytes, amount: money.Amount, call: Call) -> Refund:
        """Give a part of a payment back; the same `call` again gives nothing more and gets the same answer.

        Raises:
            CallError: as `orders.refund`, or `key_reuse`.
            PaymentError: `currency`.
        """
        now = self._now()
        return self._store.transact(
            lambda ledger: once(ledger, call, now, lambda: orders.refund(ledger, intent, amount, now), Refund)
        )

    def close_day(self, day: datetime.date) -> Closing:
        """Close the books up to the end of `day`, UTC. Raises CallError as `reconcile.close`."""
        until = reconcile.end_of(day)
        return self._store.transact(lambda ledger: reconcile.close(ledger, until, self._now(), self._seal))

    def file_of(self, day: datetime.date) -> bytes | None:
        """Return the reconciliation file that `day` was closed with, or None where it has none."""

        def write(ledger: Transaction) -> bytes | None:
            closed = books.closing(ledger, reconcile.end_of(day))
            return None if closed is None else reconcile.write(ledger, closed.since, closed.until)[0]

        return self._store.transact(write)

    def payments(self) -> list[Payment]:
        """Return every effect so far: the ledger."""
        return self._store.transact(lambda ledger: ledger.payments())

    def ready(self) -> bool:
        """Whether the database is there now, and takes what is written."""
        return self._store.answers()

    def handle(self, topic: str, envelope: bytes) -> bytes:
        """Answer what came on a topic of terminal `topic`.

        What it is, an authorization or a decline, is read from the signed header and not from the topic: whoever
        carries an envelope could otherwise get it rejected on one topic and approved on the other.

        Returns:
            The signed receipt, already on disk.

        Raises:
            StoreError: the database is away; nothing was done.
            PaymentError: `schema`, no terminal can have this name.
        """
        digest = hashlib.sha256(envelope).digest()
        try:
            kid, message = self._open(topic, envelope)
        except PaymentError as refusal:
            code, retired = refusal.code, self._under_a_retired_key(topic, envelope)
            if retired is not None:
                key, read = retired
                return self._store.transact(lambda ledger: self._judge.refuse_retired(ledger, topic, key, read, digest))
            return self._store.transact(lambda ledger: self._judge.refuse(ledger, topic, digest, code))
        return self._store.transact(lambda ledger: self._judge.answer(ledger, kid, message, digest))

    def _open(self, topic: str, envelope: bytes) -> tuple[bytes, Authorization | Decline]:
        """Establish who speaks, and with which key, or raise PaymentError."""
        self._known.registered(topic)
        kind = ANSWERS.get(cose.peek_type(envelope))
        if kind is None:
            raise PaymentError("malformed", "neither an authorization nor a decline")
        kid, message = schema.verify(envelope, kind, self._known.resolve)
        assert isinstance(message, Authorization | Decline)
        code = verify.sender(message, topic, self._known.of_key(kid))
        if code is not None:
            raise PaymentError(code, "the topic, the key and the message do not name one terminal")
        return kid, message

    def _under_a_retired_key(self, topic: str, envelope: bytes) -> tuple[bytes, Authorization | Decline] | None:
        """Return (key id, message) of what names a key that terminal `topic` once had; nobody can check who signed."""
        try:
            kid, kind = cose.peek_kid(envelope), ANSWERS.get(cose.peek_type(envelope))
            if kind is None or not self._known.retired(topic, kid):
                return None
            return kid, schema.decode(cose.peek(envelope), kind)
        except PaymentError:
            return None
