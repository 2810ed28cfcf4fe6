"""When a payment was approved, so that a payer's allowance can be counted, and a row per payer to hold on to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add them. What was paid before counts towards no allowance."""
    whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("payments", sa.Column("approved_at", whole, nullable=False, server_default=sa.text("0")))
    op.create_index("payments_of_payer", "payments", ["payer", "approved_at"])
    op.create_table("payers", sa.Column("id", sa.Text, primary_key=True), sqlite_strict=True)
