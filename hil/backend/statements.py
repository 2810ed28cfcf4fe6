"""The statements every message runs through, built once: to build one costs as much as to run it (measured).

What runs seldom is built where it is run, in `store` and its neighbours.
"""

from sqlalchemy import bindparam, case, exists, func, insert, select, update

from hil.backend.tables import (
    ANSWERS,
    AUTHORIZATIONS,
    COUNTERS,
    INTENTS,
    MANDATES,
    PAYERS,
    PAYMENTS,
    RECONCILIATIONS,
    SUSPENSIONS,
    TERMINALS,
)

ANSWER = select(ANSWERS.c.receipt).where(
    ANSWERS.c.terminal == bindparam("terminal"), ANSWERS.c.digest == bindparam("digest")
)
KNOWN = select(
    ANSWER.scalar_subquery(),
    exists().where(COUNTERS.c.terminal == bindparam("terminal"), COUNTERS.c.counter == bindparam("counter")),
    exists().where(AUTHORIZATIONS.c.id == bindparam("authorization")),
    exists().where(SUSPENSIONS.c.kid == bindparam("kid")),
    TERMINALS.c.suspended,
    TERMINALS.c.counter,
).where(TERMINALS.c.id == bindparam("terminal"))
HOLD = {
    table: select(table.c.id).where(table.c.id == bindparam("id")).with_for_update() for table in (TERMINALS, PAYERS)
}
ADVANCE = update(TERMINALS).where(TERMINALS.c.id == bindparam("terminal")).values(counter=bindparam("reached"))
_ISSUED = [INTENTS.c[name] for name in ("envelope", "digest", "state", "code", "reference")]
ISSUED = select(*_ISSUED).where(INTENTS.c.id == bindparam("intent"))
ISSUED_HELD = ISSUED.with_for_update()
# the mandate that an authorization names comes with the intent it answers
ASKED_HELD = (
    select(MANDATES.c.envelope, *_ISSUED)
    .select_from(INTENTS.outerjoin(MANDATES, MANDATES.c.id == bindparam("mandate")))
    .where(INTENTS.c.id == bindparam("intent"))
    .with_for_update(of=INTENTS)
)
CLOSE = update(INTENTS).where(INTENTS.c.id == bindparam("intent")).values(state=bindparam("how"), code=bindparam("why"))
KEEP_ANSWER, KEEP_COUNTER, KEEP_AUTHORIZATION = insert(ANSWERS), insert(COUNTERS), insert(AUTHORIZATIONS)

# `now` in seconds, or the end of the last closed time where that is later. Said by the statement that books: closing
# locks the tables, so that it is either before all of that statement or after it.
_CLOSED = select(func.coalesce(func.max(RECONCILIATIONS.c.until), 0)).scalar_subquery()
BOOKED_AT = case((bindparam("now") < _CLOSED, _CLOSED), else_=bindparam("now"))
PAY = insert(PAYMENTS).values(
    {column.name: bindparam(column.name) for column in PAYMENTS.columns if column.name != "approved_at"}
    | {"approved_at": BOOKED_AT}
)
