"""Brings a database to the newest schema, by one process at a time."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from serving.store.engine import transaction
from serving.store.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0006"
_LOCK = 0x100E11E


def upgrade(engine: sa.Engine) -> None:
    """Runs the migrations that the database lacks.

    Raises:
        StoreError: the database cannot be reached, or a newer Loomline has migrated it.
    """
    with transaction(engine, writes=False) as connection:
        if _revision(engine, connection) == HEAD:
            return
    # SQLite lets one writer in by itself.
    with transaction(engine, writes=True) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        if _revision(engine, connection) != HEAD:
            _run(connection)


def _revision(engine: sa.Engine, connection: sa.Connection) -> str | None:
    """The database's revision.

    Raises:
        StoreError: it is not one that is known here.
    """
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    known = {path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")}
    if revision is not None and revision not in known:
        raise StoreError(
            f"expected a store of schema {HEAD} or older. Received: schema {revision}, made by a "
            "newer Loomline; install that version, or use another store"
        )
    return revision


def _run(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
