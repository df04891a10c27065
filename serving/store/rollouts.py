"""Candidates on their way, and the history of each."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy as sa

from serving.store.cleaning import storable
from serving.store.engine import transaction
from serving.store.errors import ConflictError, StoreError
from serving.store.schema import ROLLOUT_EVENTS, ROLLOUTS
from serving.store.types import FINAL_STATES, Rollout, RolloutEvent

_FIELDS = [ROLLOUTS.c[field.name] for field in dataclasses.fields(Rollout)]


class Rollouts:
    """Rollouts; the database itself sees to it that one at most is active for a model."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(
        self,
        model: str,
        *,
        stable_version: int | None,
        candidate_version: int,
        state: str,
        settings: Mapping[str, Any],
        share: float = 0.0,
    ) -> Rollout:
        """Begins a rollout.

        Raises:
            ConflictError: one is active for this model.
            StoreError: the database failed.
        """
        now = datetime.now(UTC)
        rollout = Rollout(
            id=uuid.uuid4().hex,
            model=model,
            stable_version=stable_version,
            candidate_version=candidate_version,
            share=share,
            state=state,
            created=now,
            updated=now,
            settings=storable(dict(settings)),
            details={},
        )
        try:
            with transaction(self._engine, writes=True) as connection:
                row = {**dataclasses.asdict(rollout), "active": state not in FINAL_STATES}
                connection.execute(sa.insert(ROLLOUTS).values(row))
        except StoreError as error:
            if isinstance(error.__cause__, sa.exc.IntegrityError) and _names_active(error):
                raise ConflictError(
                    f"expected no active rollout of {model}. Received: one; promote it or roll it "
                    "back first"
                ) from None
            raise
        return rollout

    def active(self, model: str) -> Rollout | None:
        """The active rollout of a model.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(*_FIELDS).where(ROLLOUTS.c.model == model, ROLLOUTS.c.active)
        return self._one(query)

    def get(self, rollout_id: str) -> Rollout | None:
        """One rollout.

        Raises:
            StoreError: the database failed.
        """
        return self._one(sa.select(*_FIELDS).where(ROLLOUTS.c.id == rollout_id))

    def list(self, model: str | None = None, limit: int = 50) -> list[Rollout]:
        """Rollouts, newest first.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(*_FIELDS).order_by(ROLLOUTS.c.created.desc()).limit(limit)
        if model is not None:
            query = query.where(ROLLOUTS.c.model == model)
        with transaction(self._engine, writes=False) as connection:
            return [Rollout(**row._mapping) for row in connection.execute(query)]

    def update(
        self,
        rollout: Rollout,
        *,
        expected_state: str,
        event: str | None = None,
        event_details: Mapping[str, Any] | None = None,
    ) -> Rollout:
        """Writes share, state and details, and an event with them, all or nothing.

        Args:
            rollout: as it shall be.
            expected_state: as it must be until now; nobody may have changed the rollout since it
                was read, either.
            event: to add to the history.
            event_details: of the event.

        Returns:
            The rollout with its new time of change.

        Raises:
            ConflictError: its state is another one: somebody was faster.
            StoreError: the database failed.
        """
        changed = dataclasses.replace(
            rollout, updated=datetime.now(UTC), details=storable(rollout.details)
        )
        statement = (
            sa.update(ROLLOUTS)
            .where(
                ROLLOUTS.c.id == rollout.id,
                ROLLOUTS.c.state == expected_state,
                ROLLOUTS.c.updated == rollout.updated,
            )
            .values(
                share=changed.share,
                state=changed.state,
                stable_version=changed.stable_version,
                active=changed.state not in FINAL_STATES,
                details=changed.details,
                updated=changed.updated,
            )
        )
        with transaction(self._engine, writes=True) as connection:
            result = cast("sa.CursorResult[object]", connection.execute(statement))
            if result.rowcount != 1:
                raise ConflictError(
                    f"expected rollout {rollout.id} to be {expected_state} as it was read. "
                    "Received: another state; somebody else changed it"
                )
            if event is not None:
                _add_event(connection, rollout.id, event, event_details or {})
        return changed

    def add_event(self, rollout_id: str, event: str, details: Mapping[str, Any]) -> None:
        """Adds to the history of a rollout.

        Raises:
            StoreError: the database failed.
        """
        with transaction(self._engine, writes=True) as connection:
            _add_event(connection, rollout_id, event, details)

    def events(self, rollout_id: str) -> Sequence[RolloutEvent]:
        """The history of a rollout, oldest first.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(ROLLOUT_EVENTS).where(ROLLOUT_EVENTS.c.rollout_id == rollout_id)
        with transaction(self._engine, writes=False) as connection:
            rows = connection.execute(query.order_by(ROLLOUT_EVENTS.c.id))
            return [RolloutEvent(**row._mapping) for row in rows]

    def _one(self, query: sa.Select[Any]) -> Rollout | None:
        with transaction(self._engine, writes=False) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Rollout(**row._mapping)


def _add_event(
    connection: sa.Connection, rollout_id: str, event: str, details: Mapping[str, Any]
) -> None:
    row = {
        "rollout_id": rollout_id,
        "created": datetime.now(UTC),
        "event": event,
        "details": storable(dict(details)),
    }
    connection.execute(sa.insert(ROLLOUT_EVENTS).values(row))


def _names_active(error: StoreError) -> bool:
    """Whether it is the index of active rollouts that refuses; SQLite names its column."""
    return any(name in str(error) for name in ("uq_rollouts_active_model", "rollouts.model"))
