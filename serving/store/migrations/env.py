"""Runs migrations on the connection that `serving.store.migrating` opened."""

from alembic import context

from serving.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite, too, rolls DDL back, because its transactions are begun in `engine`.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
