"""Which receipts this terminal believes: *approved* exists only where one of these verifies."""

from firmware.payment import schema
from firmware.payment.errors import CODES, PaymentError
from firmware.payment.messages import NO_ID, Receipt
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
