"""The tables of the first backend, to the letter."""

from alembic import op

revision = "0001"
down_revision = None

WHOLE = {"sqlite": "INTEGER", "postgresql": "BIGINT"}
FLAG = {"sqlite": "INTEGER", "postgresql": "SMALLINT"}
BYTES = {"sqlite": "BLOB", "postgresql": "BYTEA"}
STRICT = {"sqlite": "STRICT", "postgresql": ""}
TABLES = """
CREATE TABLE terminals (
    id TEXT PRIMARY KEY, counter {whole} NOT NULL DEFAULT 0, suspended {flag} NOT NULL DEFAULT 0
) {strict};
CREATE TABLE intents (
    id {bytes} PRIMARY KEY, digest {bytes} NOT NULL UNIQUE, envelope {bytes} NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'declined', 'rejected')),
    code TEXT NOT NULL DEFAULT ''
) {strict};
CREATE TABLE mandates (id {bytes} PRIMARY KEY, envelope {bytes} NOT NULL) {strict};
CREATE TABLE counters (
    terminal TEXT NOT NULL, counter {whole} NOT NULL, digest {bytes} NOT NULL, PRIMARY KEY (terminal, counter)
) {strict};
CREATE TABLE authorizations (id {bytes} PRIMARY KEY, digest {bytes} NOT NULL) {strict};
CREATE TABLE payments (
    intent {bytes} PRIMARY KEY REFERENCES intents (id), "authorization" {bytes} NOT NULL UNIQUE,
    payer TEXT NOT NULL, amount_minor {whole} NOT NULL, currency TEXT NOT NULL
) {strict};
CREATE TABLE answers (
    terminal TEXT NOT NULL, digest {bytes} NOT NULL, receipt {bytes} NOT NULL, PRIMARY KEY (terminal, digest)
) {strict}
"""
CLOSED_ONCE = {
    "sqlite": [
        "CREATE TRIGGER closed_once BEFORE UPDATE ON intents WHEN OLD.state <> 'open' "
        "BEGIN SELECT RAISE(ABORT, 'an intent is closed once'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION intent_is_closed() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE integrity_constraint_violation USING MESSAGE = 'an intent is closed once'; END $$",
        "CREATE TRIGGER closed_once BEFORE UPDATE ON intents FOR EACH ROW WHEN (OLD.state <> 'open') "
        "EXECUTE FUNCTION intent_is_closed()",
    ],
}


def upgrade() -> None:
    """Make them."""
    kind = op.get_bind().dialect.name
    tables = TABLES.format(whole=WHOLE[kind], flag=FLAG[kind], bytes=BYTES[kind], strict=STRICT[kind])
    for statement in tables.split(";"):
        op.execute(statement)
    for statement in CLOSED_ONCE[kind]:
        op.execute(statement)
