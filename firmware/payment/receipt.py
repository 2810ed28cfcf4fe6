"""Which receipts this terminal believes, and which it settles by: *approved* exists only where one verifies."""

from firmware.payment import cose, schema
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import CODES, PaymentError
from firmware.payment.messages import NO_ID, Authorization, Receipt
from firmware.payment.trust import Trust


def verify_receipt(envelope: bytes, trust: Trust, terminal: str) -> Receipt:
    """Check signature, terminal and outcome of a receipt; what it settles is for `check_binds`.

    Raises:
        PaymentError: an envelope code, or `receipt`.
    """
    _, receipt = schema.verify(envelope, Receipt, trust.resolve)
    if receipt.terminal != terminal:
        raise PaymentError("receipt", f"the receipt is for {receipt.terminal}")
    if receipt.code not in (CODES if receipt.outcome == "rejected" else {""}):
        raise PaymentError("receipt", f"{receipt.outcome} with code {receipt.code!r} is not a known outcome")
    return receipt


def check_binds(receipt: Receipt, kind: str, intent: bytes) -> None:
    """Check that the receipt answers the envelope that was found by its digest.

    Args:
        receipt: from `verify_receipt`.
        kind: `authorization` or `decline`; a decline is never approved, nor an authorization declined.
        intent: the intent it answers.

    Raises:
        PaymentError: `receipt`.
    """
    if receipt.intent != intent and not (receipt.outcome == "rejected" and receipt.intent == NO_ID):
        raise PaymentError("receipt", "the receipt names another intent")
    if receipt.outcome not in ("rejected", "approved" if kind == "authorization" else "declined"):
        raise PaymentError("receipt", f"{receipt.outcome} does not answer a {kind}")


def check_final(receipt: Receipt, kind: str, envelope: bytes, expires_at: int) -> None:
    """Check that no worker of the backend can come to another judgement of the same bytes any more.

    A receipt that names no intent is a refusal from before the backend knew who spoke: it wrote nothing down, and
    another of its workers, which has been told of a registration sooner or later, may judge the same bytes otherwise.
    It is final from the end of what it refuses on, by the time the backend signed it at.

    Args:
        receipt: from `verify_receipt`.
        kind: `authorization` or `decline`.
        envelope: what was sent.
        expires_at: of the intent, whole seconds since 1970; an authorization names its own end.

    Raises:
        PaymentError: `receipt`; ask again.
    """
    if receipt.intent != NO_ID:
        return
    if kind == "authorization":
        expires_at = schema.decode(cose.peek(envelope), Authorization).expires_at
    if receipt.issued_at < expires_at + MAX_SKEW_S:
        raise PaymentError("receipt", f"refused as {receipt.code}, which another worker may see otherwise; sent again")
