"""Every model at a glance: its newest run and version, what waits, what monitoring found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from serving.store.engine import transaction
from serving.store.schema import APPROVALS, MONITORINGS, RETRAININGS, RUNS, VERSIONS
from serving.store.types import Monitoring

Figures = Mapping[str, float | None]


@dataclasses.dataclass(frozen=True)
class LastRun:
    """What is told of a model's newest run."""

    run: str
    finished: datetime
    outcome: str
    seconds: float | None
    figures: Figures


@dataclasses.dataclass(frozen=True)
class LastRetraining:
    """What became of the newest request for a retraining; `refusal` is '' unless it was refused."""

    created: datetime
    state: str
    refusal: str


@dataclasses.dataclass(frozen=True)
class ModelOverview:
    """One model; what it has none of is None, empty or 0.

    Attributes:
        runs: how many ended in each outcome.
        last_run: the newest run.
        succeeded: when the newest run ended that did not fail.
        version: the newest published version.
        version_figures: of the run that made it.
        pending: runs that wait for a verdict.
        pending_since: when the oldest of them began to wait.
        monitoring: the newest one.
        retrainings: how many are in each state.
        last_retraining: the newest one.
    """

    model: str
    runs: Mapping[str, int]
    last_run: LastRun | None
    succeeded: datetime | None
    version: int | None
    version_figures: Figures
    pending: int
    pending_since: datetime | None
    monitoring: Monitoring | None
    retrainings: Mapping[str, int]
    last_retraining: LastRetraining | None


class Overview:
    """Reads of all models at once, in a handful of queries."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def read(
        self, now: datetime, *, always: Iterable[str] = (), most: int = 50
    ) -> tuple[list[ModelOverview], int]:
        """Looks at the models.

        Args:
            now: verdicts that have expired by then do not count.
            always: models that are told of even if nothing is known of them.
            most: how many are told of; those whose runs are newest.

        Returns:
            The models by name, and how many others there are.

        Raises:
            StoreError: the database failed.
        """
        with transaction(self._engine, writes=False) as connection:
            known = _models(connection)
            names = list(dict.fromkeys([*always, *known]))
            chosen = sorted(names[: max(most, 0)])
            read = _Reader(connection, chosen, now)
            return [read.model(name) for name in chosen], len(names) - len(chosen)


class _Reader:
    """The answers of the database, by model."""

    def __init__(self, connection: sa.Connection, models: Sequence[str], now: datetime) -> None:
        self._connection, self._models = connection, models
        self._runs = self._counted(RUNS, RUNS.c.outcome)
        self._last = self._last_runs()
        self._succeeded = self._by_model(
            sa.select(RUNS.c.model, sa.func.max(RUNS.c.finished).label("finished"))
            .where(RUNS.c.outcome != "failed")
            .group_by(RUNS.c.model)
        )
        self._versions = self._by_model(_newest_versions())
        self._pending = self._by_model(_pending(now))
        self._monitorings = self._newest(MONITORINGS)
        self._retrainings = self._counted(RETRAININGS, RETRAININGS.c.state)
        self._last_retrainings = self._newest(RETRAININGS)

    def model(self, name: str) -> ModelOverview:
        last, version, pending = (
            found.get(name) for found in (self._last, self._versions, self._pending)
        )
        monitoring, retraining = self._monitorings.get(name), self._last_retrainings.get(name)
        return ModelOverview(
            model=name,
            runs=self._runs.get(name, {}),
            last_run=last
            and LastRun(last.run, last.finished, last.outcome, last.seconds, last.figures),
            succeeded=self._succeeded[name].finished if name in self._succeeded else None,
            version=version and version.version,
            version_figures=(version.figures if version else None) or {},
            pending=pending.runs if pending else 0,
            pending_since=pending and pending.finished,
            monitoring=monitoring and Monitoring(**monitoring._mapping),
            retrainings=self._retrainings.get(name, {}),
            last_retraining=retraining
            and LastRetraining(
                retraining.created, retraining.state, str(retraining.details.get("refusal") or "")
            ),
        )

    def _by_model(self, query: sa.Select[Any]) -> dict[str, Any]:
        column = query.selected_columns["model"]
        rows = self._connection.execute(query.where(column.in_(self._models)))
        return {row.model: row for row in rows}

    def _counted(self, table: sa.Table, column: sa.Column[Any]) -> dict[str, dict[str, int]]:
        query = sa.select(table.c.model, column, sa.func.count())
        query = query.where(table.c.model.in_(self._models)).group_by(table.c.model, column)
        found: dict[str, dict[str, int]] = {}
        for model, value, count in self._connection.execute(query):
            found.setdefault(model, {})[value] = count
        return found

    def _last_runs(self) -> dict[str, Any]:
        order = (RUNS.c.finished.desc(), RUNS.c.run.desc())
        place = sa.func.row_number().over(partition_by=RUNS.c.model, order_by=order)
        placed = sa.select(RUNS.c.model, RUNS.c.run, place.label("place")).subquery()
        names = ("model", "run", "finished", "outcome", "seconds", "figures")
        return self._by_model(
            sa.select(*(RUNS.c[name] for name in names)).join(
                placed,
                (placed.c.model == RUNS.c.model)
                & (placed.c.run == RUNS.c.run)
                & (placed.c.place == 1),
            )
        )

    def _newest(self, table: sa.Table) -> dict[str, Any]:
        """The rows that were written last."""
        newest = sa.select(sa.func.max(table.c.id)).group_by(table.c.model)
        return self._by_model(sa.select(table).where(table.c.id.in_(newest)))


def _models(connection: sa.Connection) -> list[str]:
    """All models of which anything is known, those with the newest runs first."""
    ran = sa.select(RUNS.c.model).group_by(RUNS.c.model)
    names = list(connection.execute(ran.order_by(sa.func.max(RUNS.c.finished).desc())).scalars())
    watched = sa.select(MONITORINGS.c.model).distinct().order_by(MONITORINGS.c.model)
    return [*names, *connection.execute(watched).scalars()]


def _newest_versions() -> sa.Select[Any]:
    newest = sa.select(VERSIONS.c.model, sa.func.max(VERSIONS.c.version).label("version"))
    of = newest.group_by(VERSIONS.c.model).subquery()
    same = (VERSIONS.c.model == of.c.model) & (VERSIONS.c.version == of.c.version)
    made = (RUNS.c.model == VERSIONS.c.model) & (RUNS.c.run == VERSIONS.c.run)
    chosen = sa.select(VERSIONS.c.model, VERSIONS.c.version, RUNS.c.figures)
    return chosen.select_from(VERSIONS.join(of, same).outerjoin(RUNS, made))


def _pending(now: datetime) -> sa.Select[Any]:
    """Runs whose candidates wait, and on which no verdict stands."""
    standing = sa.exists().where(
        APPROVALS.c.model == RUNS.c.model,
        APPROVALS.c.run == RUNS.c.run,
        (APPROVALS.c.verdict == "rejected") | (APPROVALS.c.expires > now),
    )
    counts = (sa.func.count().label("runs"), sa.func.min(RUNS.c.finished).label("finished"))
    query = sa.select(RUNS.c.model, *counts).where(RUNS.c.outcome == "pending", ~standing)
    return query.group_by(RUNS.c.model)
