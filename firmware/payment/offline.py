"""What may be authorized while the link is down: the last beacon's allowance, less what was taken of it.

Rules kept here:
- Only where the secure element counts in hardware, and never from a file that was put back from a copy: what such a
  copy had taken since, it does not know.
- Of the first allowance that a new file hears nothing is taken: it may be the one under which a file that was deleted
  took all it could. Another was given later, and of that none but this file has taken. So it is with one that finds a
  count made which it only booked.
- The amount is booked, with the hardware's next count, before anything is signed. What was booked stays booked: a
  crash in between costs the allowance an amount, never the backend.
- Limits are of one payment, of one payer and of the terminal. What an earlier allowance covered counts as long as it
  waits for its receipt.
"""

import sqlite3

from firmware.payment import money
from firmware.payment.counting import ALL_MINOR, BOOK_ALL, Counting
from firmware.payment.errors import PaymentError
from firmware.payment.messages import NO_ID, Allowance, Intent

TAKEN = """
SELECT total(amount_minor), total(amount_minor * (payer = ?)) FROM reserved
WHERE allowance IN (?, zeroblob(16)) OR intent IN (SELECT intent FROM outbox WHERE outcome IS NULL)
"""
FORGET = """
DELETE FROM reserved WHERE allowance <> ? AND intent NOT IN (SELECT intent FROM outbox WHERE outcome IS NULL)
"""
# what is booked as taken before any allowance was heard
UNHEARD = "DELETE FROM reserved WHERE intent = ? AND allowance = ?"


def covers(allowance: Allowance, intent: Intent, now: int) -> None:
    """Check that this allowance is for a payment like this at `now`. Raises PaymentError `offline`."""
    if now >= allowance.expires_at or not allowance.payment_minor:
        raise PaymentError("offline", "nothing may be authorized without a connection")
    if (intent.currency, intent.exponent) != (allowance.currency, allowance.exponent):
        raise PaymentError("offline", f"without a connection only {allowance.currency} is taken")


def reserve(db: sqlite3.Connection, counting: Counting, allowance: Allowance, intent: Intent) -> None:
    """In a transaction: book the amount of an intent. Raises PaymentError `offline`: it is not covered."""
    if counting.put_back:
        raise PaymentError("offline", "the outbox was put back from a copy; nothing is authorized without a connection")
    terminal, payer = db.execute(TAKEN, (intent.payer, allowance.id)).fetchone()
    if terminal >= ALL_MINOR:
        raise PaymentError("offline", "what was taken of this allowance before is not known here; the next is taken")
    amount = intent.amount_minor
    limits = (
        ("one payment", amount, allowance.payment_minor),
        ("this payer", int(payer) + amount, allowance.payer_minor),
        ("this terminal", int(terminal) + amount, allowance.terminal_minor),
    )
    for whose, minor, most in limits:
        if minor > most:
            said, limit = (money.format_amount(value, intent.currency) for value in (minor, most))
            raise PaymentError("offline", f"without a connection {whose} may come to {limit}, not {said}")
    db.execute("INSERT INTO reserved VALUES (?, ?, ?, ?)", (intent.id, allowance.id, intent.payer, amount))


def forget(db: sqlite3.Connection, allowance: Allowance) -> None:
    """In the transaction of a beacon: what was taken under other allowances and is settled no longer counts.

    Where it is not known what was taken of it, all of it is. To be allowed nothing changes nothing.
    """
    if allowance.id == NO_ID:
        return
    if db.execute(UNHEARD, (NO_ID, NO_ID)).rowcount:
        db.execute(BOOK_ALL, (NO_ID, allowance.id, ALL_MINOR))
    db.execute(FORGET, (allowance.id,))


def withheld(db: sqlite3.Connection, allowance: Allowance) -> bool:
    """Whether nothing is taken of this allowance because what was taken of it before is not known here."""
    booked = db.execute("SELECT 1 FROM reserved WHERE intent = ? AND allowance IN (?, ?)", (NO_ID, NO_ID, allowance.id))
    return booked.fetchone() is not None
