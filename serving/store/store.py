"""Opens the store, and forgets what is old."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import cast

import sqlalchemy as sa

from serving.store.approvals import Approvals
from serving.store.audit import AuditLog
from serving.store.deployments import Deployments
from serving.store.engine import make_engine, sqlite_file, transaction
from serving.store.errors import StoreError
from serving.store.feedback import FeedbackTable
from serving.store.keys import Keys, Usage
from serving.store.migrating import upgrade
from serving.store.monitoring import Monitorings
from serving.store.overview import Overview
from serving.store.redaction import Redaction
from serving.store.registry import Registry
from serving.store.requests import Requests
from serving.store.rollouts import Rollouts
from serving.store.schema import FEEDBACK, REQUESTS, USAGE

_PURGE_BATCH = 500


class Store:
    """The open store; its parts may be used from several threads at once."""

    def __init__(self, engine: sa.Engine, redaction: Redaction) -> None:
        self._engine = engine
        self.requests = Requests(engine, redaction)
        self.feedback = FeedbackTable(engine, redaction)
        self.keys = Keys(engine)
        self.usage = Usage(engine)
        self.rollouts = Rollouts(engine)
        self.approvals = Approvals(engine)
        self.audit = AuditLog(engine)
        self.registry = Registry(engine)
        self.overview = Overview(engine)
        self.monitoring = Monitorings(engine)
        self.deployments = Deployments(engine)

    def ping(self) -> None:
        """Returns if the database answers.

        Raises:
            StoreError: it does not.
        """
        with transaction(self._engine, writes=False) as connection:
            connection.execute(sa.text("SELECT 1"))

    def purge(self, *, older_than: datetime, keep_feedback: bool = True) -> dict[str, int]:
        """Deletes old requests and what belongs to them, in batches, so that others can write.

        Args:
            older_than: requests that came before are deleted, and usage of the days before.
            keep_feedback: leave requests that people gave feedback on, which training needs.

        Returns:
            How many requests, feedback and usage rows were deleted.

        Raises:
            StoreError: the database failed; what was deleted before stays deleted.
        """
        requests = feedback = 0
        judged = sa.union(
            sa.select(FEEDBACK.c.request_id),
            sa.select(FEEDBACK.c.other_request_id).where(FEEDBACK.c.other_request_id.is_not(None)),
        )
        # Locked, so that nobody gives feedback on a request between the two statements.
        old = sa.select(REQUESTS.c.id).where(REQUESTS.c.created < older_than)
        old = old.order_by(REQUESTS.c.created, REQUESTS.c.id).limit(_PURGE_BATCH).with_for_update()
        if keep_feedback:
            old = old.where(REQUESTS.c.id.not_in(judged))
        while True:
            with transaction(self._engine, writes=True) as connection:
                batch = list(connection.execute(old).scalars())
                chosen = sa.delete(REQUESTS).where(REQUESTS.c.id.in_(batch))
                if keep_feedback:
                    # Feedback that came before the lock, and after the query had looked.
                    chosen = chosen.where(REQUESTS.c.id.not_in(judged))
                else:
                    on_them = FEEDBACK.c.request_id.in_(batch)
                    on_others = FEEDBACK.c.other_request_id.in_(batch)
                    on_any = sa.delete(FEEDBACK).where(on_them | on_others)
                    feedback += _deleted(connection, on_any)
                requests += _deleted(connection, chosen)
            if len(batch) < _PURGE_BATCH:
                break
        with transaction(self._engine, writes=True) as connection:
            usage = _deleted(
                connection, sa.delete(USAGE).where(USAGE.c.day < older_than.astimezone(UTC).date())
            )
        return {"requests": requests, "feedback": feedback, "usage": usage}

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()


def _deleted(connection: sa.Connection, statement: sa.Delete) -> int:
    return cast("sa.CursorResult[object]", connection.execute(statement)).rowcount


def open_store(url: str, *, redaction: Redaction | None = None) -> Store:
    """Opens a store, and creates or migrates its schema where that is due.

    Args:
        url: `sqlite:///PATH` or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`.
        redaction: what is taken out before writing; nothing by default.

    Raises:
        StoreError: it cannot be reached, or a newer Loomline has migrated it.
    """
    engine = make_engine(url)
    try:
        upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, redaction or Redaction())


@contextlib.contextmanager
def opened(
    url: str, *, existing: bool = False, refused: Callable[[str], Exception] | None = None
) -> Iterator[Store]:
    """The open store, closed in the end.

    Args:
        url: see `open_store`.
        existing: for what reads: a file that is not there is a mistake, where otherwise an empty
            store would be made, and found to be in order.
        refused: what is raised instead of a StoreError, with the same words.

    Raises:
        StoreError: it cannot be opened, or fails meanwhile.
    """
    path = sqlite_file(url) if existing else None
    try:
        if path is not None and not path.is_file():
            raise StoreError(
                f"expected a store at {path}. Received: no such file; `loomline run` and the "
                "gateway make one, and --store names another"
            )
        with contextlib.closing(open_store(url)) as store:
            yield store
    except StoreError as error:
        if refused is None:
            raise
        raise refused(str(error)) from None
