"""What the backend remembers, as statements inside one transaction; the rules of the tables are in `tables`.

Rules kept here:
- The answer to a message is stored in the transaction that has its effect, so a resend gets the same word.
- Whoever judges a message of a terminal holds that terminal's row, then the intent's: two workers take turns.
- No state but the database's: a store may die, and as many run beside each other as like.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from firmware.payment import cose, schema
from firmware.payment.messages import NO_ID, Authorization, Intent, Mandate
from hil.backend import allowances, fleet_store, statements
from hil.backend.database import Database
from hil.backend.tables import (
    INTENTS,
    MANDATES,
    PAYERS,
    PAYMENTS,
    TERMINALS,
)
from hil.backend.verify import Held, Issued, Spent, Standing

T = TypeVar("T")


class Payment(msgspec.Struct, frozen=True):
    """An effect: this payer was charged, for this intent."""

    intent: bytes
    authorization: bytes
    payer: str
    amount_minor: int
    currency: str


class Store:
    """A database with the backend's tables, which `make` makes. Raises StoreError where it cannot be opened."""

    def __init__(self, database: str | Path, *, make: bool = True) -> None:
        self._database = Database(str(database), make=make)

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def transact(self, work: "Callable[[Transaction], T]") -> T:
        """Do `work` all or nothing, on disk when it returns; it may be called again. Raises StoreError."""
        return self._database.transact(lambda connection: work(Transaction(connection)))

    def answers(self) -> bool:
        """Whether the database is there now, and takes what is written."""
        return self._database.answers()


class Transaction:
    """What may be read and written in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    @property
    def connection(self) -> Connection:
        """For statements of other modules, in this transaction."""
        return self._db

    def answer(self, terminal: str, digest: bytes) -> bytes | None:
        """Return the receipt these bytes were given before."""
        row = self._one(statements.ANSWER, terminal=terminal, digest=digest)
        return None if row is None else bytes(row[0])

    def keep_answer(self, terminal: str, digest: bytes, receipt: bytes) -> None:
        """Remember the receipt of these bytes."""
        self._db.execute(statements.KEEP_ANSWER, {"terminal": terminal, "digest": digest, "receipt": receipt})

    def hold_terminal(self, terminal: str) -> None:
        """Wait until no other worker judges a message of this terminal; from then on none does but this one."""
        self._hold(TERMINALS, terminal)

    def known(
        self, terminal: str, kid: bytes, digest: bytes, counter: int, authorization: bytes | None
    ) -> tuple[bytes | None, Standing]:
        """Hold a terminal; return the receipt these bytes were given before, and what is known of the terminal.

        `kid`: of the key that signed them; `authorization`: the message's id, where it is one.
        """
        self.hold_terminal(terminal)
        # a statement of its own: what another worker wrote while this one waited is seen by one that begins now
        values = {"terminal": terminal, "digest": digest, "counter": counter, "authorization": authorization}
        said, counter_seen, id_seen, of_key, of_terminal, last = self._one(statements.KNOWN, kid=kid, **values)
        standing = Standing(bool(of_key or of_terminal), last, bool(counter_seen), bool(id_seen))
        return None if said is None else bytes(said), standing

    def advance(self, terminal: str, counter: int, digest: bytes) -> None:
        """Note a counter above all before it."""
        self._db.execute(statements.KEEP_COUNTER, {"terminal": terminal, "counter": counter, "digest": digest})
        self._db.execute(statements.ADVANCE, {"terminal": terminal, "reached": counter})

    def suspend(self, terminal: str, kid: bytes, now: int) -> None:
        """Take nothing more that is signed by this key of a terminal."""
        fleet_store.suspend(self._db, kid, terminal, now)

    def last_counter(self, terminal: str) -> int:
        """Return the highest counter seen, 0 for none."""
        row = self._one(select(TERMINALS.c.counter).where(TERMINALS.c.id == terminal))
        return 0 if row is None else int(row[0])

    def keep_intent(self, intent: Intent, digest: bytes, envelope: bytes, reference: str) -> None:
        """Remember an intent as open, and what the register calls it."""
        self._db.execute(insert(INTENTS).values(id=intent.id, digest=digest, envelope=envelope, reference=reference))

    def envelope(self, intent: bytes) -> bytes:
        """Return the envelope of an intent of ours."""
        return bytes(self._db.execute(select(INTENTS.c.envelope).where(INTENTS.c.id == intent)).scalar_one())

    def referred(self, reference: str, most: int) -> list[bytes]:
        """Return the intents that a register calls so, at most so many."""
        rows = self._db.execute(select(INTENTS.c.id).where(INTENTS.c.reference == reference).limit(most))
        return [bytes(row[0]) for row in rows]

    def issued(self, intent: bytes, *, hold: bool = False) -> Issued | None:
        """Return an intent of ours; with `hold` nobody else closes it before this transaction ends."""
        row = self._one(statements.ISSUED_HELD if hold else statements.ISSUED, intent=intent)
        return None if row is None else _issued(*row)

    def asked(self, message: Authorization) -> tuple[Issued | None, Mandate | None]:
        """Return the intent that is answered, held, and the mandate that is named; None for what is not ours."""
        row = self._one(statements.ASKED_HELD, intent=message.intent, mandate=message.mandate)
        if row is None:
            return None, None
        return _issued(*row[1:]), None if row[0] is None else _payload(bytes(row[0]), Mandate)

    def lapsed(self, issued: Issued, now: int) -> bool:
        """Whether nothing that comes from `now` on, in seconds, can be a yes to an open intent.

        That is later than its end where its terminal could have signed offline before.
        """
        asked = issued.intent
        return now >= asked.expires_at and now >= asked.expires_at + allowances.hold_s(self._db, asked)

    def held(self, message: Authorization) -> Held | None:
        """Return the allowance that an authorization names, and what was taken of it; None where there is none."""
        return None if message.allowance == NO_ID else allowances.held(self._db, message)

    def close_intent(self, intent: bytes, state: str, code: str) -> None:
        """Close an open intent, once."""
        self._db.execute(statements.CLOSE, {"intent": intent, "how": state, "why": code})

    def keep_authorization(self, message: Authorization, digest: bytes) -> None:
        """Note the id of an authorization that is no replay."""
        self._db.execute(statements.KEEP_AUTHORIZATION, {"id": message.id, "digest": digest})

    def pay(self, message: Authorization, now: int) -> None:
        """Have the effect at `now`, in seconds. The table refuses a second one for the same intent."""
        effect = Payment(message.intent, message.id, message.payer, message.amount_minor, message.currency)
        self._db.execute(statements.PAY, msgspec.structs.asdict(effect) | {"now": now})
        if message.allowance != NO_ID:
            allowances.note(self._db, message)

    def spent(self, payer: str, currency: str, since: int) -> Spent:
        """What this payer paid after `since`, in seconds; nobody else adds to it before this transaction ends."""
        self._hold(PAYERS, payer)
        recent = [PAYMENTS.c.payer == payer, PAYMENTS.c.approved_at > since]
        times = self._one(select(func.count()).where(*recent))
        minor = self._one(select(func.sum(PAYMENTS.c.amount_minor)).where(*recent, PAYMENTS.c.currency == currency))
        assert times is not None
        assert minor is not None
        return Spent(int(times[0]), int(minor[0] or 0))

    def payments(self) -> list[Payment]:
        """Return every effect, oldest first."""
        columns = [PAYMENTS.c[name] for name in Payment.__struct_fields__]
        rows = self._db.execute(select(*columns).order_by(PAYMENTS.c.approved_at, PAYMENTS.c.intent))
        return [Payment(bytes(row[0]), bytes(row[1]), *row[2:]) for row in rows]

    def keep_mandate(self, mandate: Mandate, envelope: bytes) -> None:
        """Remember a mandate."""
        self._db.execute(insert(MANDATES).values(id=mandate.id, envelope=envelope))

    def _one(self, query: Select[Any], **values: Any) -> Any:
        return self._db.execute(query, values).first()

    def _hold(self, table: Any, name: str) -> None:
        """Lock the row of `name` in `table`, made where there is none."""
        if self._one(statements.HOLD[table], id=name) is None:
            upsert = postgresql.insert if self._db.dialect.name == "postgresql" else sqlite.insert
            self._db.execute(upsert(table).values(id=name).on_conflict_do_nothing())
            self._one(statements.HOLD[table], id=name)


def _issued(envelope: bytes, digest: bytes, state: str, code: str, reference: str) -> Issued:
    return Issued(_payload(bytes(envelope), Intent), bytes(digest), state, code, reference)


@lru_cache(maxsize=1024)  # a mandate is read for every payment under it
def _payload(envelope: bytes, kind: type[schema.M]) -> schema.M:
    """Read an envelope of our own making, which the store kept."""
    return schema.decode(cose.peek(envelope), kind)
