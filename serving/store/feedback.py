"""What people said about answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from serving.store.cleaning import storable
from serving.store.engine import insert, transaction
from serving.store.errors import UnknownRequestError
from serving.store.redaction import Redaction
from serving.store.requests import of_model
from serving.store.schema import FEEDBACK, REQUESTS
from serving.store.types import Feedback

_PAGE = 1000


class FeedbackTable:
    """Feedback, each on a request that is recorded."""

    def __init__(self, engine: sa.Engine, redaction: Redaction) -> None:
        self._engine = engine
        self._redaction = redaction

    def add(self, feedback: Feedback) -> bool:
        """Writes feedback; when it returns, it is on disk.

        Returns:
            False where that id was there already, whatever it says.

        Raises:
            UnknownRequestError: a request that it names is not recorded.
            StoreError: it was not written.
        """
        row = storable(dataclasses.asdict(self._redaction.feedback(feedback)))
        statement = (
            insert(self._engine, FEEDBACK)
            .values(row)
            .on_conflict_do_nothing(index_elements=["id"])
            .returning(FEEDBACK.c.id)
        )
        named = {feedback.request_id, feedback.other_request_id or feedback.request_id}
        with transaction(self._engine, writes=True) as connection:
            query = sa.select(REQUESTS.c.id).where(REQUESTS.c.id.in_(named))
            missing = sorted(named - set(connection.execute(query).scalars()))
            if missing:
                raise UnknownRequestError(
                    f"expected the id of a recorded request. Received: {missing[0]!r}"
                )
            return connection.execute(statement).first() is not None

    def of_request(self, request_id: str) -> list[Feedback]:
        """Feedback on a request, oldest first; preferences of another request over it, too.

        Raises:
            StoreError: the database failed.
        """
        named = (FEEDBACK.c.request_id == request_id) | (FEEDBACK.c.other_request_id == request_id)
        return self._found(sa.select(FEEDBACK).where(named))

    def of_version(
        self,
        model: str,
        version: int,
        since: datetime,
        *,
        arm: str | None = None,
        asked_since: datetime | None = None,
    ) -> list[Feedback]:
        """Feedback on what a version answered, oldest first.

        Args:
            model: its name.
            version: that answered.
            since: the earliest time at which the feedback was given.
            arm: of a rollout, that the request went to.
            asked_since: the earliest time of the request.

        Raises:
            StoreError: the database failed.
        """
        joined = FEEDBACK.join(REQUESTS, FEEDBACK.c.request_id == REQUESTS.c.id)
        query = sa.select(FEEDBACK).select_from(joined)
        of_version = (REQUESTS.c.model == model) & (REQUESTS.c.version == version)
        query = query.where(of_version, FEEDBACK.c.created >= since)
        if arm is not None:
            query = query.where(REQUESTS.c.arm == arm)
        if asked_since is not None:
            query = query.where(REQUESTS.c.created >= asked_since)
        return self._found(query)

    def between(self, model: str, since: datetime, until: datetime) -> Iterator[Feedback]:
        """Feedback that was given in a span of time, oldest first, a page in memory at a time.

        Args:
            model: what it is about.
            since: the earliest time.
            until: the time before which it was given.

        Raises:
            StoreError: the database failed.
        """
        joined = FEEDBACK.join(REQUESTS, FEEDBACK.c.request_id == REQUESTS.c.id)
        query = sa.select(FEEDBACK).select_from(joined).where(of_model(model))
        query = query.where(FEEDBACK.c.created < until).limit(_PAGE)
        place = (since, "")
        while True:
            after = sa.tuple_(FEEDBACK.c.created, FEEDBACK.c.id) > sa.tuple_(
                sa.literal(place[0], FEEDBACK.c.created.type),
                sa.literal(place[1], FEEDBACK.c.id.type),
            )
            page = self._found(query.where(FEEDBACK.c.created >= place[0], after))
            yield from page
            if len(page) < _PAGE:
                return
            place = (page[-1].created, page[-1].id)

    def _found(self, query: sa.Select[tuple[object, ...]]) -> list[Feedback]:
        with transaction(self._engine, writes=False) as connection:
            rows = connection.execute(query.order_by(FEEDBACK.c.created, FEEDBACK.c.id))
            return [Feedback(**row._mapping) for row in rows]
