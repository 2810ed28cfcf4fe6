"""A message whose sender is known, judged and answered inside one transaction.

Rules kept here:
- The same bytes get the word they were given before; whatever else comes is judged, and has its effect, once.
- A key that is suspended stays so: what it signs is refused anew each time, and fills nothing.
- What is known of the sender is read with the sender's row held, the intent with its own: workers take turns.
- The payer's allowance is judged last: it holds up everybody else who pays from that account.
"""

from collections.abc import Callable
from typing import Literal

from firmware.payment.errors import Code
from firmware.payment.messages import NO_ID, Authorization, Decline, Outcome, Receipt
from hil.backend import verify
from hil.backend.policy import Policy
from hil.backend.seal import Seal
from hil.backend.store import Transaction
from hil.backend.terminals import Terminals


class Judge:
    """Answers messages.

    Args:
        known: the terminals.
        policy: what is taken.
        now: whole seconds since 1970.
        seal: signs as the backend.
    """

    def __init__(self, known: Terminals, policy: Policy, now: Callable[[], int], seal: Seal) -> None:
        self._known, self._policy, self._now, self._seal = known, policy, now, seal

    def answer(self, ledger: Transaction, kid: bytes, message: Authorization | Decline, digest: bytes) -> bytes:
        """Return the receipt of a message whose sender is known by the key `kid`, with its effect; both once.

        `digest`: SHA-256 of its exact envelope.
        """
        number = message.id if isinstance(message, Authorization) else None
        said, standing = ledger.known(message.terminal, kid, digest, message.counter, number)
        if said is not None:
            return self._seal.again(said, Receipt)
        outcome, code = self._judge(ledger, kid, message, digest, standing)
        receipt = self.receipt(message.terminal, digest, message.intent, outcome, code)
        if code != "suspended":
            ledger.keep_answer(message.terminal, digest, receipt)
        return receipt

    def refuse(self, ledger: Transaction, terminal: str, digest: bytes, code: str) -> bytes:
        """Return the receipt of bytes whose sender is not known; no trace of them is left.

        They may have been good once: before a key was revoked, say.
        """
        said = ledger.answer(terminal, digest)
        if said is not None:
            return self._seal.again(said, Receipt)
        return self.receipt(terminal, digest, NO_ID, "rejected", code)

    def refuse_retired(
        self, ledger: Transaction, terminal: str, kid: bytes, message: Authorization | Decline, digest: bytes
    ) -> bytes:
        """Return the receipt of a message under a key that the terminal once had; who signed it is not known.

        It is final at once, so that what waits behind it goes on: the key counts on no worker from here on, not on one
        that has not heard of the new key either. Whoever made the message up has changed nothing but that.
        """
        said, standing = ledger.known(terminal, kid, digest, message.counter, None)
        if said is not None:
            return self._seal.again(said, Receipt)
        if not standing.suspended:
            ledger.suspend(terminal, kid, self._now())
        return self.receipt(terminal, digest, message.intent, "rejected", "revoked")

    def receipt(self, terminal: str, digest: bytes, intent: bytes, outcome: Outcome, code: str) -> bytes:
        """Sign what became of these bytes."""
        return self._seal(
            Receipt(digest=digest, intent=intent, terminal=terminal, outcome=outcome, code=code, issued_at=self._now())
        )

    def _judge(
        self,
        ledger: Transaction,
        kid: bytes,
        message: Authorization | Decline,
        digest: bytes,
        standing: verify.Standing,
    ) -> tuple[Outcome, Code | Literal[""]]:
        """Judge a message whose sender is known, and have its effect."""
        terminal, now = message.terminal, self._now()
        code = verify.replay(message.counter, standing)
        if code == "clone_suspected":
            ledger.suspend(terminal, kid, now)
        if code in ("suspended", "clone_suspected", "counter_rollback"):
            return "rejected", code
        ledger.advance(terminal, message.counter, digest)
        if code is not None:
            return "rejected", code
        if isinstance(message, Decline):
            issued, mandate = ledger.issued(message.intent, hold=True), None
        else:
            issued, mandate = ledger.asked(message)
        lapsed = issued is not None and issued.open and ledger.lapsed(issued, now)
        if isinstance(message, Decline):
            code, outcome, reason = verify.decline(message, issued), "declined", message.reason
        else:
            ledger.keep_authorization(message, digest)
            terms = ledger.held(message), mandate, self._known.registered(terminal), self._policy
            code = verify.authorization(message, issued, *terms, now) or ("expired" if lapsed else None)
            code = code or self._velocity(ledger, message, now)
            outcome, reason = "approved", ""
        if issued is not None and issued.open and issued.intent.terminal == terminal:
            ledger.close_intent(message.intent, *verify.ends(outcome, code or "", reason, lapsed=lapsed))
        if code is not None:
            return "rejected", code
        if isinstance(message, Authorization):
            ledger.pay(message, now)
            return "approved", ""
        return "declined", ""

    def _velocity(self, ledger: Transaction, message: Authorization, now: int) -> Code | None:
        for limit in self._policy.velocity:
            spent = ledger.spent(message.payer, message.currency, now - limit.window_s)
            code = verify.velocity(message, limit, spent)
            if code is not None:
                return code
        return None
