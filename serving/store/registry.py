"""The registry: what made each version, and what became of each run."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa

from serving.store.cleaning import storable
from serving.store.engine import insert, transaction
from serving.store.schema import RUNS, VERSIONS
from serving.store.types import Run, Version


class Registry:
    """Runs of the pipeline, and the versions that they published."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def record(self, run: Run, version: Version | None = None) -> None:
        """Writes a run, or what has become of it since, and the version that it published.

        Raises:
            StoreError: neither was written.
        """
        with transaction(self._engine, writes=True) as connection:
            for table, row in ((RUNS, run), (VERSIONS, version)):
                if row is None:
                    continue
                statement = insert(self._engine, table).values(storable(dataclasses.asdict(row)))
                keys = [column.name for column in table.primary_key]
                names = [column.name for column in table.c if column.name not in keys]
                others = {name: statement.excluded[name] for name in names}
                connection.execute(
                    statement.on_conflict_do_update(index_elements=keys, set_=others)
                )

    def runs(self, *, model: str | None = None, limit: int = 50) -> list[Run]:
        """The newest runs first.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(RUNS).order_by(RUNS.c.finished.desc(), RUNS.c.run.desc()).limit(limit)
        if model is not None:
            query = query.where(RUNS.c.model == model)
        return self._runs(query)

    def named(self, run: str) -> list[Run]:
        """The runs of a name, one for each model that has one.

        Raises:
            StoreError: the database failed.
        """
        return self._runs(sa.select(RUNS).where(RUNS.c.run == run).order_by(RUNS.c.model))

    def versions(self, *, model: str | None = None) -> list[Version]:
        """The versions of all models, or of one, the newest of each first.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(VERSIONS).order_by(VERSIONS.c.model, VERSIONS.c.version.desc())
        if model is not None:
            query = query.where(VERSIONS.c.model == model)
        with transaction(self._engine, writes=False) as connection:
            return [Version(**row._mapping) for row in connection.execute(query)]

    def _runs(self, query: sa.Select[tuple[object, ...]]) -> list[Run]:
        with transaction(self._engine, writes=False) as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]
