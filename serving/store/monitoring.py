"""What monitoring found of the served models, and which of them it had trained anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa

from serving.store.ages import Moment
from serving.store.cleaning import storable
from serving.store.engine import transaction
from serving.store.errors import ConflictError
from serving.store.schema import MONITORINGS, RETRAININGS
from serving.store.types import Monitoring, Retraining, RetrainingLimits

_RUN_LETTERS = 200


class Monitorings:
    """Monitorings and retrainings; both are numbered in the order in which they were written."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(
        self,
        model: str,
        *,
        window: tuple[datetime, datetime],
        requests: int,
        verdict: str,
        reason: str,
        figures: Mapping[str, float | None],
        report: str = "",
        created: datetime | None = None,
    ) -> Monitoring:
        """Writes what was found; when it returns, it is on disk.

        Args:
            model: its name.
            window: the requests that were looked at came from the one and before the other.
            requests: how many.
            verdict: `ok`, `alert`, `retrain` or `insufficient`.
            reason: one line.
            figures: name -> value.
            report: path or URI of the page.
            created: the time; now by default.

        Raises:
            StoreError: it was not written.
        """
        row = {
            "model": model,
            "created": created or Moment.now().wall,
            "window_from": window[0],
            "window_to": window[1],
            "requests": requests,
            "verdict": verdict,
            "reason": reason,
            "figures": dict(figures),
            "report": report,
        }
        statement = sa.insert(MONITORINGS).values(storable(row)).returning(MONITORINGS)
        with transaction(self._engine, writes=True) as connection:
            return Monitoring(**connection.execute(statement).one()._mapping)

    def latest(self, model: str | None = None) -> list[Monitoring]:
        """The newest monitoring of each model, or of one; by name of the model.

        Raises:
            StoreError: the database failed.
        """
        newest = sa.select(sa.func.max(MONITORINGS.c.id)).group_by(MONITORINGS.c.model)
        if model is not None:
            newest = newest.where(MONITORINGS.c.model == model)
        query = sa.select(MONITORINGS).where(MONITORINGS.c.id.in_(newest))
        with transaction(self._engine, writes=False) as connection:
            rows = connection.execute(query.order_by(MONITORINGS.c.model))
            return [Monitoring(**row._mapping) for row in rows]

    def recent(self, model: str, limit: int = 30) -> list[Monitoring]:
        """The newest monitorings of a model first, in the order in which they were written.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(MONITORINGS).where(MONITORINGS.c.model == model)
        query = query.order_by(MONITORINGS.c.id.desc()).limit(limit)
        with transaction(self._engine, writes=False) as connection:
            return [Monitoring(**row._mapping) for row in connection.execute(query)]

    def retrainings(
        self, model: str | None = None, since: datetime | None = None
    ) -> list[Retraining]:
        """Retrainings, the newest first.

        Args:
            model: of this one only.
            since: written at this time or later.

        Raises:
            StoreError: the database failed.
        """
        with transaction(self._engine, writes=False) as connection:
            return _retrainings(connection, model, since)

    def begin_retraining(
        self,
        model: str,
        *,
        reason: str,
        limits: RetrainingLimits,
        monitoring_id: int | None = None,
        expected_cpu_seconds: float = 0.0,
        now: Moment | None = None,
    ) -> Retraining:
        """Enters that a retraining starts, or that it was refused and why.

        The limits are checked and the entry is made in one transaction that lets nobody else in:
        of monitors that ask at once one gets a start.

        Args:
            model: its name.
            reason: why it should be trained anew.
            limits: the cool-down and the budget.
            monitoring_id: what asks for it.
            expected_cpu_seconds: what it may take; counts against the budget until it has ended.
            now: this moment by default.

        Returns:
            In state `started`, or `refused` with the key `refusal` in its details.

        Raises:
            StoreError: nothing was written.
        """
        now = now or Moment.now()
        with transaction(self._engine, writes=True) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("LOCK TABLE retrainings IN EXCLUSIVE MODE"))
            refusal = _refusal(
                _retrainings(connection, model, None), limits, expected_cpu_seconds, now
            )
            details: dict[str, Any] = {
                "clock": now.clock(),
                "expected_cpu_seconds": expected_cpu_seconds,
            }
            if refusal:
                details["refusal"] = refusal
            row = {
                "model": model,
                "created": now.wall,
                "monitoring_id": monitoring_id,
                "reason": reason,
                "state": "refused" if refusal else "started",
                "run": "",
                "details": details,
            }
            statement = sa.insert(RETRAININGS).values(storable(row)).returning(RETRAININGS)
            return Retraining(**connection.execute(statement).one()._mapping)

    def end_retraining(
        self,
        retraining: Retraining,
        *,
        succeeded: bool,
        run: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> Retraining:
        """Enters how a retraining ended; what it cost stands in `details` as `cpu_seconds`.

        Raises:
            ConflictError: it was not under way.
            StoreError: nothing was written.
        """
        ended = dataclasses.replace(
            retraining,
            state="succeeded" if succeeded else "failed",
            run=(run or retraining.run)[:_RUN_LETTERS],
            details={**retraining.details, **(details or {})},
        )
        return self._change(ended)

    def name_retraining(
        self, retraining: Retraining, run: str, details: Mapping[str, Any] | None = None
    ) -> Retraining:
        """Enters the training run of a retraining that is under way.

        Raises:
            ConflictError: it is not under way.
            StoreError: nothing was written.
        """
        named = {**retraining.details, **(details or {})}
        return self._change(dataclasses.replace(retraining, run=run[:_RUN_LETTERS], details=named))

    def _change(self, retraining: Retraining) -> Retraining:
        values = {name: getattr(retraining, name) for name in ("state", "run", "details")}
        statement = (
            sa.update(RETRAININGS)
            .where(RETRAININGS.c.id == retraining.id, RETRAININGS.c.state == "started")
            .values(storable(values))
        )
        with transaction(self._engine, writes=True) as connection:
            result = cast("sa.CursorResult[object]", connection.execute(statement))
            if result.rowcount != 1:
                raise ConflictError(
                    f"expected retraining {retraining.id} to be under way. Received: one that has "
                    "ended, or that does not exist"
                )
        return retraining


def _retrainings(
    connection: sa.Connection, model: str | None, since: datetime | None
) -> list[Retraining]:
    query = sa.select(RETRAININGS).order_by(RETRAININGS.c.id.desc())
    if model is not None:
        query = query.where(RETRAININGS.c.model == model)
    if since is not None:
        query = query.where(RETRAININGS.c.created >= since)
    return [Retraining(**row._mapping) for row in connection.execute(query)]


def _refusal(
    past: Sequence[Retraining], limits: RetrainingLimits, expected: float, now: Moment
) -> str:
    """Why another one must not start; '' where it may.

    Args:
        past: all of the model, the newest first.
        limits: the cool-down and the budget.
        expected: CPU seconds of the one that asks.
        now: this moment.
    """
    started = _ages(past, now)
    if started:
        newest, age = started[0]
        if age < limits.cool_down:
            return (
                f"cool-down: the last one started {_words(age)} ago, and {_words(limits.cool_down)}"
                f" must pass{_clock(newest, age, now)}"
            )
        if newest.state == "started" and age < limits.lost_after:
            return f"one that started {_words(age)} ago is still under way"
    within = [one for one, age in started if age < limits.period]
    if limits.runs is not None and len(within) >= limits.runs:
        return (
            f"budget: {len(within)} of {limits.runs} runs were started within "
            f"{_words(limits.period)}"
        )
    spent = sum(map(_cost, within))
    if limits.cpu_seconds is not None and spent + expected > limits.cpu_seconds:
        return (
            f"budget: {spent:,.0f} of {limits.cpu_seconds:,.0f} CPU seconds were spent within "
            f"{_words(limits.period)}, and this one may take {expected:,.0f}"
        )
    return ""


def _ages(past: Sequence[Retraining], now: Moment) -> list[tuple[Retraining, timedelta]]:
    """Those that started, the newest first, and how long ago.

    A start that lies in the future was dated by a clock that was ahead and has been set back.
    Where the machine's own clock cannot tell its age, it is counted from the earliest row that was
    written after it: so the next start waits a cool-down from when that was noticed, not years.
    """
    found = []
    earliest = now.wall
    for one in past:
        if one.state != "refused":
            written = Moment.of(one.created, one.details.get("clock"))
            wall = one.created if one.created <= now.wall else min(earliest, one.created)
            found.append((one, now.since(dataclasses.replace(written, wall=wall))))
        earliest = min(earliest, one.created)
    return found


def _cost(one: Retraining) -> float:
    """CPU seconds that it took, or may take yet."""
    cost = one.details.get("cpu_seconds")
    return float(one.details.get("expected_cpu_seconds") or 0.0 if cost is None else cost)


def _clock(one: Retraining, age: timedelta, now: Moment) -> str:
    """Tells of a clock that was set."""
    odd = abs((now.wall - one.created) - age)
    return f"; the clock was set by {_words(odd)} meanwhile" if odd > timedelta(minutes=1) else ""


def _words(length: timedelta) -> str:
    """Such as '90 s', '35 min', '6.5 h' or '30 days'."""
    seconds = length.total_seconds()
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.4g} days"
