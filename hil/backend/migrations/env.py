"""Runs the migrations on the connection it is handed, inside the caller's transaction."""

from alembic import context
from sqlalchemy import Connection

connection: Connection = context.config.attributes["connection"]
# SQLite's tables change in a transaction too; Alembic believes otherwise
context.configure(connection=connection, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
