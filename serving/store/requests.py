"""The records of requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from serving.store.cleaning import storable
from serving.store.engine import insert, transaction
from serving.store.redaction import Redaction
from serving.store.schema import REQUESTS
from serving.store.types import Outcome, RequestRecord

_PAGE = 1000
_NEWEST_FIRST = (REQUESTS.c.created.desc(), REQUESTS.c.id.desc())


class Requests:
    """What was asked and answered."""

    def __init__(self, engine: sa.Engine, redaction: Redaction) -> None:
        self._engine = engine
        self._redaction = redaction

    def add(self, records: Sequence[RequestRecord]) -> None:
        """Writes records; those whose id is there already are left as they are.

        Raises:
            StoreError: none of them was written.
        """
        if not records:
            return
        rows = [_row(self._redaction.request(one)) for one in records]
        statement = insert(self._engine, REQUESTS).on_conflict_do_nothing(index_elements=["id"])
        with transaction(self._engine, writes=True) as connection:
            connection.execute(statement, rows)

    def get(self, request_id: str) -> RequestRecord | None:
        """One record.

        Raises:
            StoreError: the database failed.
        """
        with transaction(self._engine, writes=False) as connection:
            row = connection.execute(
                sa.select(REQUESTS).where(REQUESTS.c.id == request_id)
            ).one_or_none()
        return None if row is None else RequestRecord(**row._mapping)

    def recent(
        self,
        limit: int,
        *,
        key_id: str | None = None,
        model: str | None = None,
        before: str | None = None,
    ) -> list[RequestRecord]:
        """The newest records first.

        Args:
            limit: at most so many.
            key_id: of this API key only.
            model: of this model only.
            before: older than the request of this id, the last one of the page before; an
                unknown id gives nothing.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(REQUESTS).order_by(*_NEWEST_FIRST).limit(limit)
        if key_id is not None:
            query = query.where(REQUESTS.c.key_id == key_id)
        if model is not None:
            query = query.where(REQUESTS.c.model == model)
        if before is not None:
            place = sa.select(REQUESTS.c.created, REQUESTS.c.id).where(REQUESTS.c.id == before)
            query = query.where(
                sa.tuple_(REQUESTS.c.created, REQUESTS.c.id) < place.scalar_subquery()
            )
        with transaction(self._engine, writes=False) as connection:
            return [RequestRecord(**row._mapping) for row in connection.execute(query)]

    def outcomes(self, model: str, since: datetime, *, arm: str) -> Iterator[Outcome]:
        """How requests went, oldest first, a page in memory at a time.

        A page costs what it holds, however much the model was asked before.

        Args:
            model: its name.
            since: the earliest time.
            arm: of a rollout; '' for the requests outside of one.

        Raises:
            StoreError: the database failed.
        """
        columns = [REQUESTS.c[field.name] for field in dataclasses.fields(Outcome)]
        place: tuple[datetime, str] = (since, "")
        while True:
            query = (
                sa.select(*columns)
                .where(REQUESTS.c.model == model, REQUESTS.c.arm == arm)
                .where(sa.tuple_(REQUESTS.c.created, REQUESTS.c.id) > sa.tuple_(*_bound(place)))
                .order_by(REQUESTS.c.created, REQUESTS.c.id)
                .limit(_PAGE)
            )
            with transaction(self._engine, writes=False) as connection:
                page = [Outcome(**row._mapping) for row in connection.execute(query)]
            yield from page
            if len(page) < _PAGE:
                return
            place = (page[-1].created, page[-1].id)

    def between(
        self,
        model: str,
        since: datetime | None,
        until: datetime,
        *,
        version: int | None = None,
    ) -> Iterator[RequestRecord]:
        """The records of a span of time, oldest first, a page in memory at a time.

        Args:
            model: its name.
            since: the earliest time; None for all that came before `until`.
            until: the time before which they came.
            version: that answered.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(REQUESTS).where(REQUESTS.c.created < until)
        query = query.order_by(REQUESTS.c.created, REQUESTS.c.id).limit(_PAGE)
        if version is None:
            query = query.where(of_model(model))
        else:
            query = query.where(REQUESTS.c.model == model, REQUESTS.c.version == version)
        place = None if since is None else (since, "")
        while True:
            wanted = query
            if place is not None:
                at = sa.tuple_(REQUESTS.c.created, REQUESTS.c.id)
                wanted = query.where(REQUESTS.c.created >= place[0], at > sa.tuple_(*_bound(place)))
            with transaction(self._engine, writes=False) as connection:
                page = [RequestRecord(**row._mapping) for row in connection.execute(wanted)]
            yield from page
            if len(page) < _PAGE:
                return
            place = (page[-1].created, page[-1].id)

    def count_from(self, model: str, since: datetime) -> int:
        """How many records are of this time or later.

        Raises:
            StoreError: the database failed.
        """
        query = sa.select(sa.func.count()).where(of_model(model), REQUESTS.c.created >= since)
        with transaction(self._engine, writes=False) as connection:
            return int(connection.execute(query).scalar_one())


def of_model(model: str) -> sa.ColumnElement[bool]:
    """A condition that keeps SQLite from looking a model up by the index of versions.

    For each page it would read and sort all that the model has ever been asked; the index of times
    gives a span of time in order.
    """
    return REQUESTS.c.model.concat("") == model


def _bound(place: tuple[datetime, str]) -> tuple[sa.ColumnElement[datetime], sa.ColumnElement[str]]:
    created, request_id = place
    return (
        sa.literal(created, REQUESTS.c.created.type),
        sa.literal(request_id, REQUESTS.c.id.type),
    )


def _row(record: RequestRecord) -> dict[str, Any]:
    """As it is written; one name that is too long must not cost the others their record."""
    row: dict[str, Any] = storable(dataclasses.asdict(record))
    for column in REQUESTS.c:
        length = getattr(column.type, "length", None)
        if length is not None and row[column.name] is not None and not column.primary_key:
            row[column.name] = row[column.name][:length]
    return row
