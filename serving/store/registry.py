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
                where = None
                if table is VERSIONS:
                    # A later run that makes the same model did not make the version.
                    new, old = statement.excluded, VERSIONS.c
                    where = (old.run == new.run) | (old.model_digest != new.model_digest)
                connection.execute(
                    statement.on_conflict_do_update(index_elements=keys, set_=others, where=where)
                )

    def runs(
        self,
        *,
        model: str | None = None,
        outcome: str | None = None,
        limit: int = 50,
        before: Run | None = None,
    ) -> list[Run]:
        """The newest runs first.

        Args:
            model, outcome: of these only.
            limit: so many at most.
            before: the last run of the page before.

        Raises:
            StoreError: the database failed.
        """
        key = sa.tuple_(RUNS.c.finished, RUNS.c.run, RUNS.c.model)
        query = sa.select(RUNS).order_by(*(column.desc() for column in key.clauses)).limit(limit)
        if model is not None:
            query = query.where(RUNS.c.model == storable(model))
        if outcome is not None:
            query = query.where(RUNS.c.outcome == outcome)
        if before is not None:
            values = (before.finished, before.run, before.model)
            types = [column.type for column in key.clauses]
            query = query.where(key < sa.tuple_(*map(sa.literal, values, types)))
        return self._runs(query)

    def models(self) -> list[str]:
        """The names of the models that have runs.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(RUNS.c.model).distinct().order_by(RUNS.c.model)
        with transaction(self._engine, writes=False) as connection:
            return list(connection.execute(query).scalars())

    def get(self, model: str, run: str) -> Run | None:
        """One run.

        Raises:
            StoreError: the database failed.
        """
        found = self._runs(sa.select(RUNS).where(*_named(model, run)))
        return found[0] if found else None

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
            query = query.where(VERSIONS.c.model == storable(model))
        with transaction(self._engine, writes=False) as connection:
            return [Version(**row._mapping) for row in connection.execute(query)]

    def _runs(self, query: sa.Select[tuple[object, ...]]) -> list[Run]:
        with transaction(self._engine, writes=False) as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]


def _named(model: str, run: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    # Callers' words may hold what PostgreSQL refuses to compare with.
    return RUNS.c.model == storable(model), RUNS.c.run == storable(run)
