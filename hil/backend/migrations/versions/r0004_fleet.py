"""What terminals may do offline and did, keys of suspected clones, what terminals say of themselves, certificates."""

from alembic import op

revision = "0004"
down_revision = "0003"

WHOLE = {"sqlite": "INTEGER", "postgresql": "BIGINT"}
BYTES = {"sqlite": "BLOB", "postgresql": "BYTEA"}
STRICT = {"sqlite": "STRICT", "postgresql": ""}
TABLES = """
CREATE TABLE allowances (
    id {bytes} PRIMARY KEY, terminal TEXT NOT NULL, currency TEXT NOT NULL, exponent {whole} NOT NULL,
    payment_minor {whole} NOT NULL, payer_minor {whole} NOT NULL, terminal_minor {whole} NOT NULL,
    hold_s {whole} NOT NULL, given_at {whole} NOT NULL, expires_at {whole} NOT NULL
) {strict};
CREATE TABLE held (
    intent {bytes} PRIMARY KEY REFERENCES payments (intent),
    allowance {bytes} NOT NULL REFERENCES allowances (id), payer TEXT NOT NULL, amount_minor {whole} NOT NULL
) {strict};
CREATE TABLE suspensions (kid {bytes} PRIMARY KEY, terminal TEXT NOT NULL, at {whole} NOT NULL) {strict};
CREATE TABLE statuses (
    terminal TEXT PRIMARY KEY, connection {bytes} NOT NULL, sequence {whole} NOT NULL, issued_at {whole} NOT NULL,
    presence TEXT NOT NULL, heard_at {whole} NOT NULL, envelope {bytes} NOT NULL,
    CONSTRAINT presence_is_known CHECK (presence IN ('online', 'offline'))
) {strict};
CREATE TABLE certificates (
    request {bytes} PRIMARY KEY, terminal TEXT NOT NULL, serial TEXT NOT NULL UNIQUE, granted_at {whole} NOT NULL,
    ends_at {whole} NOT NULL, "grant" {bytes} NOT NULL
) {strict}
"""


def upgrade() -> None:
    """Make them. Who was suspended before stays so, whatever its key."""
    kind = op.get_bind().dialect.name
    for statement in TABLES.format(whole=WHOLE[kind], bytes=BYTES[kind], strict=STRICT[kind]).split(";"):
        op.execute(statement)
    op.create_index("allowances_of_terminal", "allowances", ["terminal", "given_at"])
    op.create_index("held_of_payer", "held", ["allowance", "payer"])
    op.create_index("certificates_of_terminal", "certificates", ["terminal", "granted_at"])
