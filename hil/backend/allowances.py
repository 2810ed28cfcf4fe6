"""What was given to terminals to do offline, and what they have taken of it: statements inside one transaction.

Rules kept here:
- Whoever judges holds the terminal's row, so that what is taken under one allowance is summed by one at a time.
"""

from sqlalchemy import Connection, func, insert, select

from firmware.payment.messages import Allowance, Authorization, Intent
from hil.backend.tables import ALLOWANCES, HELD
from hil.backend.verify import Held

_FIELDS = [ALLOWANCES.c[name] for name in Allowance.__struct_fields__]


def hold_s(db: Connection, intent: Intent) -> int:
    """How long after its end an intent may still be answered by what was signed offline before it; 0 where it may not.

    The longest of the allowances that its terminal had then and that would cover it.
    """
    covers = (
        ALLOWANCES.c.terminal == intent.terminal,
        ALLOWANCES.c.given_at < intent.expires_at,
        ALLOWANCES.c.expires_at > intent.issued_at,
        ALLOWANCES.c.currency == intent.currency,
        ALLOWANCES.c.payment_minor >= intent.amount_minor,
    )
    return int(db.execute(select(func.max(ALLOWANCES.c.hold_s)).where(*covers)).scalar_one() or 0)


def held(db: Connection, message: Authorization) -> Held | None:
    """The allowance that an authorization names, and what was taken of it; None where it was never given."""
    row = db.execute(select(ALLOWANCES.c.terminal, *_FIELDS).where(ALLOWANCES.c.id == message.allowance)).first()
    if row is None:
        return None
    allowance = Allowance(**dict(zip(Allowance.__struct_fields__, (bytes(row[1]), *row[2:]), strict=True)))
    taken = select(func.sum(HELD.c.amount_minor)).where(HELD.c.allowance == message.allowance)
    all_minor, payer_minor = (db.execute(q).scalar_one() for q in (taken, taken.where(HELD.c.payer == message.payer)))
    return Held(str(row[0]), allowance, int(payer_minor or 0), int(all_minor or 0))


def note(db: Connection, message: Authorization) -> None:
    """Note what was taken: the payment is in the ledger already."""
    values = {"intent": message.intent, "allowance": message.allowance, "payer": message.payer}
    db.execute(insert(HELD).values(**values, amount_minor=message.amount_minor))
