"""Intents end cancelled or expired too; what is given back of payments, closed days, calls by the register's key."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

WHOLE = {"sqlite": "INTEGER", "postgresql": "BIGINT"}
BYTES = {"sqlite": "BLOB", "postgresql": "BYTEA"}
STRICT = {"sqlite": "STRICT", "postgresql": ""}
STATES = "state IN ('open', 'approved', 'declined', 'rejected', 'cancelled', 'expired')"
# SQLite cannot change a check: both tables are made again, the payments because they point to the intents
INTENTS_AGAIN = """
ALTER TABLE intents RENAME TO intents_before;
CREATE TABLE intents (
    id BLOB PRIMARY KEY, digest BLOB NOT NULL UNIQUE, envelope BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CONSTRAINT state_is_known CHECK ({states}),
    code TEXT NOT NULL DEFAULT '', reference TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO intents (id, digest, envelope, state, code) SELECT id, digest, envelope, state, code FROM intents_before;
CREATE TABLE payments_again (
    intent BLOB PRIMARY KEY REFERENCES intents (id), "authorization" BLOB NOT NULL UNIQUE, payer TEXT NOT NULL,
    amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, approved_at INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO payments_again (intent, "authorization", payer, amount_minor, currency, approved_at)
    SELECT intent, "authorization", payer, amount_minor, currency, approved_at FROM payments;
DROP TABLE payments;
ALTER TABLE payments_again RENAME TO payments;
CREATE INDEX payments_of_payer ON payments (payer, approved_at);
DROP TABLE intents_before
"""
CLOSED_ONCE = (
    "CREATE TRIGGER closed_once BEFORE UPDATE ON intents WHEN OLD.state <> 'open' "
    "BEGIN SELECT RAISE(ABORT, 'an intent is closed once'); END"
)
TABLES = """
CREATE TABLE effects (
    intent {bytes} NOT NULL REFERENCES payments (intent), number {whole} NOT NULL, kind TEXT NOT NULL,
    amount_minor {whole} NOT NULL, left_minor {whole} NOT NULL, at {whole} NOT NULL, PRIMARY KEY (intent, number),
    CONSTRAINT kind_is_known CHECK (kind IN ('reversal', 'refund')),
    CONSTRAINT never_above_the_payment CHECK (amount_minor > 0 AND left_minor >= 0),
    CONSTRAINT reversed_whole_and_alone CHECK (kind <> 'reversal' OR (number = 1 AND left_minor = 0))
) {strict};
CREATE TABLE reconciliations (
    until {whole} NOT NULL PRIMARY KEY, since {whole} NOT NULL UNIQUE, lines {whole} NOT NULL, digest {bytes} NOT NULL,
    envelope {bytes} NOT NULL
) {strict};
CREATE TABLE calls (
    "key" TEXT PRIMARY KEY, request {bytes} NOT NULL, answer TEXT NOT NULL, at {whole} NOT NULL
) {strict}
"""
# what is booked is neither changed nor taken away: a correction is one more line
APPEND_ONLY = ("payments", "effects", "reconciliations")


def upgrade() -> None:
    """Make them. An intent of before has no reference of the register's."""
    kind = op.get_bind().dialect.name
    if kind == "sqlite":
        for statement in INTENTS_AGAIN.format(states=STATES).split(";"):
            op.execute(statement)
        op.execute(CLOSED_ONCE)
    else:
        op.drop_constraint("intents_state_check", "intents")
        op.create_check_constraint("state_is_known", "intents", STATES)
        op.add_column("intents", sa.Column("reference", sa.Text, nullable=False, server_default=""))
        op.execute(
            "CREATE FUNCTION ledger_stays() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE integrity_constraint_violation USING MESSAGE = 'what is booked stays'; END $$"
        )
    for statement in TABLES.format(whole=WHOLE[kind], bytes=BYTES[kind], strict=STRICT[kind]).split(";"):
        op.execute(statement)
    op.create_index("intents_of_reference", "intents", ["reference"])
    op.create_index("payments_in_time", "payments", ["approved_at"])
    op.create_index("effects_in_time", "effects", ["at"])
    for table in APPEND_ONLY:
        _append_only(kind, table)


def _append_only(kind: str, table: str) -> None:
    if kind == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_stay BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION ledger_stays()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_stay_{change.lower()} BEFORE {change} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'what is booked stays'); END"
        )
