"""What cannot be opened is told in one line; the declared schema is that of the migrations."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.store import StoreError, open_store
from serving.store.engine import make_engine
from serving.store.migrating import HEAD, MIGRATIONS
from serving.store.schema import METADATA


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("no url", "expected the store's URL as"),
        ("mysql://me:hidden@host/db", "Received: a URL for mysql"),
        ("sqlite://", "with the path of a file"),
        ("sqlite:///:memory:", "with the path of a file"),
        ("sqlite:////proc/no/such/store.sqlite", "expected a folder for"),
        ("postgresql://me:hidden@127.0.0.1:1/db", "127.0.0.1"),
        ("postgresql://me@127.0.0.1:1/db?password=hidden", "127.0.0.1"),
        ("postgresql+psycopg://me:hidden@127.0.0.1:port/db", "expected the store's URL as"),
    ],
)
def test_what_cannot_be_opened_is_one_line_without_the_password(url: str, said: str) -> None:
    with pytest.raises(StoreError) as raised:
        open_store(url)
    assert said in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes\n" * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_store(f"sqlite:///{file}")
    assert file.read_text() == "my notes\n" * 100


def test_a_store_of_a_newer_schema_is_refused(url: str) -> None:
    open_store(url).close()
    engine = make_engine(url)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match=f"schema {HEAD} or older. Received: schema 9999"):
        open_store(url)


def test_the_migrated_schema_is_the_declared_one(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    open_store(url).close()
    engine = make_engine(url)
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_the_newest_migration_is_the_head() -> None:
    names = sorted(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert names[-1].split("_")[0] == HEAD


def test_sqlite_flushes_every_commit(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with engine.begin() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    engine.dispose()
    full = 2
    assert found == ["wal", full, 1]
