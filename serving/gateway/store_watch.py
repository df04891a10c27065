"""Reads the store now and then, in the background, for the metrics of runs and models."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from serving.gateway.database import Database
from serving.gateway.periodic import Periodic
from serving.gateway.store_metrics import AuditReading, Reading, StoreMetrics
from serving.store import Store, TamperedError
from serving.store.audit import checked

_log = logging.getLogger(__name__)
MOST_MODELS = 50
# A log is read from its beginning each time; it grows by a few entries a run.
_AUDIT_SECONDS = 600.0


class StoreWatch:
    """Asks the store what there is to tell, in a thread.

    Args:
        database: of the gateway.
        metrics: what it tells.
        models: of the gateway, told of whatever the registry holds.
        seconds: between two readings.
    """

    def __init__(
        self, database: Database, metrics: StoreMetrics, models: Sequence[str], seconds: float
    ) -> None:
        self._database, self._metrics, self._models = database, metrics, models
        self._audit_due = 0.0
        self.thread = Periodic("store metrics", self.look, seconds)

    def look(self) -> None:
        """Looks once."""
        metrics = self._metrics
        try:
            store = self._database.store()
            metrics.reading = read(store, self._models)
            if time.monotonic() >= self._audit_due:
                metrics.audit = check_audit(store)
                self._audit_due = time.monotonic() + _AUDIT_SECONDS
        except Exception as error:  # the thread must go on, whatever the database does
            if not metrics.failing:
                _log.warning("cannot read the store for /metrics, keeping the last: %s", error)
            metrics.failing = True
        else:
            metrics.failing = False


def read(store: Store, models: Sequence[str] = ()) -> Reading:
    """Reads what there is to tell.

    Args:
        store: an open one.
        models: that are told of whatever the registry holds.

    Raises:
        StoreError: the database failed.
    """
    started = time.perf_counter()
    found, left_out = store.overview.read(datetime.now(UTC), always=models, most=MOST_MODELS)
    seconds = time.perf_counter() - started
    return Reading(tuple(found), left_out, time.time(), time.monotonic(), seconds)


def check_audit(store: Store) -> AuditReading:
    """Checks the audit log from its beginning.

    Raises:
        StoreError: the database failed.
    """
    entries = 0
    try:
        for _ in checked(store.audit.entries()):
            entries += 1
    except TamperedError as error:
        _log.error("the audit log does not hold: %s", error)
        return AuditReading(False, entries, time.time())
    return AuditReading(True, entries, time.time())
