"""The backend's tables, the same on SQLite and on PostgreSQL. `migrations` makes them; a test holds the two together.

Rules kept here:
- Exactly once is a constraint of these tables, whoever runs beside whom: one payment per intent, one body per counter
  and per authorization id, one answer per envelope, one effect per register's key; of a payment no more is given back
  than was paid. What is booked (payments, effects, reconciliations) is never changed.
- Only types that mean the same on both: whole numbers, text, bytes. Times are whole seconds since 1970.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

METADATA = MetaData()
# SQLite's strict tables know one kind of whole number, of up to 64 bits
Whole = BigInteger().with_variant(Integer, "sqlite")
Flag = SmallInteger().with_variant(Integer, "sqlite")

TERMINALS = Table(
    "terminals",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("counter", Whole, nullable=False, server_default=text("0")),
    Column("suspended", Flag, nullable=False, server_default=text("0")),
    sqlite_strict=True,
)
INTENTS = Table(
    "intents",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("code", Text, nullable=False, server_default=text("''")),
    Column("reference", Text, nullable=False, server_default=text("''")),
    CheckConstraint(
        "state IN ('open', 'approved', 'declined', 'rejected', 'cancelled', 'expired')", name="state_is_known"
    ),
    Index("intents_of_reference", "reference"),
    sqlite_strict=True,
)
MANDATES = Table(
    "mandates",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
    sqlite_strict=True,
)
COUNTERS = Table(
    "counters",
    METADATA,
    Column("terminal", Text, primary_key=True),
    Column("counter", Whole, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    sqlite_strict=True,
)
AUTHORIZATIONS = Table(
    "authorizations",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    sqlite_strict=True,
)
PAYMENTS = Table(
    "payments",
    METADATA,
    Column("intent", LargeBinary, ForeignKey("intents.id"), primary_key=True),
    Column("authorization", LargeBinary, nullable=False, unique=True),
    Column("payer", Text, nullable=False),
    Column("amount_minor", Whole, nullable=False),
    Column("currency", Text, nullable=False),
    Column("approved_at", Whole, nullable=False, server_default=text("0")),
    Index("payments_of_payer", "payer", "approved_at"),
    Index("payments_in_time", "approved_at"),
    sqlite_strict=True,
)
# what was taken back or given back of a payment, numbered from 1; `left_minor` is what remains paid afterwards. A
# trigger holds each row to the one before it: the next number, and what was left less what is given back
EFFECTS = Table(
    "effects",
    METADATA,
    Column("intent", LargeBinary, ForeignKey("payments.intent"), primary_key=True),
    Column("number", Whole, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("amount_minor", Whole, nullable=False),
    Column("left_minor", Whole, nullable=False),
    Column("at", Whole, nullable=False),
    CheckConstraint("kind IN ('reversal', 'refund')", name="kind_is_known"),
    CheckConstraint("amount_minor > 0 AND left_minor >= 0", name="never_above_the_payment"),
    CheckConstraint("kind <> 'reversal' OR (number = 1 AND left_minor = 0)", name="reversed_whole_and_alone"),
    Index("effects_in_time", "at"),
    sqlite_strict=True,
)
# the days that are closed: nothing is booked before the last `until` any more
RECONCILIATIONS = Table(
    "reconciliations",
    METADATA,
    Column("until", Whole, primary_key=True, autoincrement=False),
    Column("since", Whole, nullable=False, unique=True),
    Column("lines", Whole, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    sqlite_strict=True,
)
# a register's calls by the key it gave them, and what they were answered
CALLS = Table(
    "calls",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", Whole, nullable=False),
    sqlite_strict=True,
)
ANSWERS = Table(
    "answers",
    METADATA,
    Column("terminal", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("receipt", LargeBinary, nullable=False),
    sqlite_strict=True,
)
# a row to hold on to while a payer's allowance is counted
PAYERS = Table("payers", METADATA, Column("id", Text, primary_key=True), sqlite_strict=True)
# what a terminal may authorize while its link is down, as it was told
ALLOWANCES = Table(
    "allowances",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("terminal", Text, nullable=False),
    Column("currency", Text, nullable=False),
    *(
        Column(name, Whole, nullable=False)
        for name in (
            "exponent", "payment_minor", "payer_minor", "terminal_minor", "hold_s", "given_at", "expires_at",
        )
    ),
    Index("allowances_of_terminal", "terminal", "given_at"),
    sqlite_strict=True,
)  # fmt: skip
# the payments that were authorized under one
HELD = Table(
    "held",
    METADATA,
    Column("intent", LargeBinary, ForeignKey("payments.intent"), primary_key=True),
    Column("allowance", LargeBinary, ForeignKey("allowances.id"), nullable=False),
    Column("payer", Text, nullable=False),
    Column("amount_minor", Whole, nullable=False),
    Index("held_of_payer", "allowance", "payer"),
    sqlite_strict=True,
)
# keys of which a clone was suspected, and retired ones that spoke again: for good; a terminal goes on with a new key
SUSPENSIONS = Table(
    "suspensions",
    METADATA,
    Column("kid", LargeBinary, primary_key=True),
    Column("terminal", Text, nullable=False),
    Column("at", Whole, nullable=False),
    sqlite_strict=True,
)
# the last each terminal said of itself
STATUSES = Table(
    "statuses",
    METADATA,
    Column("terminal", Text, primary_key=True),
    Column("connection", LargeBinary, nullable=False),
    Column("sequence", Whole, nullable=False),
    Column("issued_at", Whole, nullable=False),
    Column("presence", Text, nullable=False),
    Column("heard_at", Whole, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    CheckConstraint("presence IN ('online', 'offline')", name="presence_is_known"),
    sqlite_strict=True,
)
# certificates given to links, by the request's SHA-256: the same request gets the same one
CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("request", LargeBinary, primary_key=True),
    Column("terminal", Text, nullable=False),
    Column("serial", Text, nullable=False, unique=True),
    Column("granted_at", Whole, nullable=False),
    Column("ends_at", Whole, nullable=False),
    Column("grant", LargeBinary, nullable=False),
    Index("certificates_of_terminal", "terminal", "granted_at"),
    sqlite_strict=True,
)
