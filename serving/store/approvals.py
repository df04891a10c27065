"""What people decided about the candidates of runs; one standing verdict for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from serving.store import audit
from serving.store.cleaning import storable
from serving.store.engine import transaction
from serving.store.schema import APPROVALS
from serving.store.types import Approval, AuditEntry


class Approvals:
    """Verdicts, oldest first; none is ever changed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def of_run(self, model: str, run: str) -> list[Approval]:
        """All verdicts on a run's candidate.

        Raises:
            StoreError: the database failed.
        """
        with transaction(self._engine, writes=False) as connection:
            return _of_run(connection, model, run)

    def of_model(self, model: str) -> list[Approval]:
        """All verdicts on candidates of a model.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(APPROVALS).where(APPROVALS.c.model == model)
        with transaction(self._engine, writes=False) as connection:
            rows = connection.execute(query.order_by(APPROVALS.c.created, APPROVALS.c.id))
            return [Approval(**row._mapping) for row in rows]

    def decide(
        self,
        model: str,
        run: str,
        now: datetime,
        sign: Callable[[AuditEntry | None], Approval],
    ) -> tuple[Approval, bool]:
        """Writes a verdict and the audit log's entry of it, both or neither.

        Where two reviewers decide at once the database lets one of them go first.

        Args:
            model, run: whose candidate.
            now: the time; a verdict that has expired by then does not stand any more.
            sign: makes the verdict, given the audit log's newest entry.

        Returns:
            The verdict that stands now, and whether it is the new one.

        Raises:
            StoreError: nothing was written.
        """
        with transaction(self._engine, writes=True) as connection:
            audit.lock(connection)
            standing = [one for one in _of_run(connection, model, run) if one.stands(now)]
            if standing:
                return standing[-1], False
            approval = sign(audit.newest(connection))
            connection.execute(sa.insert(APPROVALS).values(storable(dataclasses.asdict(approval))))
            details = {"id": approval.id, "comment": approval.comment}
            event = f"candidate.{approval.verdict}"
            audit.append(connection, event, approval.reviewer, f"{model}/{run}", details)
            return approval, True


def _of_run(connection: sa.Connection, model: str, run: str) -> list[Approval]:
    query = sa.select(APPROVALS).where(APPROVALS.c.model == model, APPROVALS.c.run == run)
    rows = connection.execute(query.order_by(APPROVALS.c.created, APPROVALS.c.id))
    return [Approval(**row._mapping) for row in rows]
