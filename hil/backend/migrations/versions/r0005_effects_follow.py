"""What is given back of a payment follows what was given back before: no number is left out, no sum invented."""

from alembic import op

revision = "0005"
down_revision = "0004"

# where nothing was paid the comparison is with nothing, which is not true either
ASTRAY = """
NOT coalesce(
    NEW.number = (SELECT coalesce(max(number), 0) + 1 FROM effects WHERE intent = NEW.intent)
    AND NEW.left_minor = coalesce(
        (SELECT left_minor FROM effects WHERE intent = NEW.intent ORDER BY number DESC LIMIT 1),
        (SELECT amount_minor FROM payments WHERE intent = NEW.intent)
    ) - NEW.amount_minor,
    FALSE
)
"""
REFUSED = "an effect follows the one before it"


def upgrade() -> None:
    """Have the database look. As each row gives back something, nothing follows where nothing is left."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER effects_follow BEFORE INSERT ON effects WHEN {ASTRAY} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION effect_follows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {ASTRAY} THEN "
        f"RAISE integrity_constraint_violation USING MESSAGE = '{REFUSED}'; END IF; RETURN NEW; END $$"
    )
    op.execute("CREATE TRIGGER effects_follow BEFORE INSERT ON effects FOR EACH ROW EXECUTE FUNCTION effect_follows()")
