"""The backend's tables, the same on SQLite and on PostgreSQL. `migrations` makes them; a test holds the two together.

Rules kept here:
- Exactly once is a constraint of these tables, whoever runs beside whom: one effect per intent, one body per counter
  and per authorization id, one answer per envelope.
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
    CheckConstraint("state IN ('open', 'approved', 'declined', 'rejected')", name="state_is_known"),
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
