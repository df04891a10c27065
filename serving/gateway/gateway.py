"""The parts of a gateway, made, started and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from fastapi import Request

from serving.gateway import context
from serving.gateway.auth import Caller, Keys
from serving.gateway.calls import Calls
from serving.gateway.catalog import Upstream
from serving.gateway.database import Database
from serving.gateway.deployments import DeploymentWatcher
from serving.gateway.errors import ApiError
from serving.gateway.limits import RateLimiter, Usage
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.recorder import Recorder
from serving.gateway.routing import RolloutPoller, Router
from serving.gateway.settings import Settings
from serving.gateway.store_metrics import StoreMetrics
from serving.gateway.store_watch import StoreWatch
from serving.gateway.telemetry import Tracing
from serving.store import Redaction

_log = logging.getLogger(__name__)
_DAY_SECONDS = 86_400.0
_PURGE_RETRY_SECONDS = 600.0
_LAST_CALLS_SECONDS = 2.0
# A database that works answers within this time; one that does not hangs.
_READING_SECONDS = 30.0
_LAST_FLUSH_SECONDS = 5.0


class Gateway:
    """Everything that the handlers share.

    Args:
        settings: of this gateway.
        database: an open one; by default the settings' store, opened when it is needed first.
    """

    def __init__(self, settings: Settings, database: Database | None = None) -> None:
        self.settings = settings
        self.store_metrics = StoreMetrics(settings.store_metrics_seconds + _READING_SECONDS)
        self.metrics = GatewayMetrics(self.store_metrics)
        self.metrics.in_flight_limit.set(settings.max_in_flight)
        self.metrics.queue_limit.set(settings.queue_records)
        self.database = database or open_database(settings)
        self.usage = Usage()
        self.router = Router(settings.default_label)
        self.limiter = RateLimiter(time.monotonic)
        self.keys = Keys(
            self.database, self.usage, settings.key_cache_seconds, settings.key_stale_seconds
        )
        self.recorder = Recorder(
            self.database,
            self.usage,
            self.metrics,
            max_records=settings.queue_records,
            max_bytes=settings.queue_bytes,
            linger=settings.flush_seconds,
        )
        self.calls = Calls(
            self.router, self.recorder, self.usage, self.metrics, settings.max_in_flight
        )
        self.tracing = Tracing(settings.otlp_endpoint, settings.trace_share)
        self.ending = False
        self._upstream: Upstream | None = None

    @property
    def upstream(self) -> Upstream:
        """The model server; there is one while the gateway runs."""
        assert self._upstream is not None, "the gateway has not been started"
        return self._upstream

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the parts, and ends them: records that wait are written first."""
        settings = self.settings
        self._upstream = Upstream(settings, self.router)
        poller = RolloutPoller(
            self.router, self.database, self.metrics, settings.models, settings.rollout_poll_seconds
        )
        watch = StoreWatch(
            self.database, self.store_metrics, settings.models, settings.store_metrics_seconds
        )
        self.recorder.start()
        poller.thread.start()
        watch.thread.start()
        watcher = DeploymentWatcher(
            self._upstream,
            self.database,
            settings.upstream,
            settings.models,
            settings.deployment_seconds,
        )
        looking = [self._watch_upstream(), watcher.run()]
        if settings.retention_days:
            looking.append(self._purge())
        tasks = [asyncio.create_task(each) for each in looking]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            # Those that the end of the grace has cancelled are about to be recorded.
            await self.calls.all_ended(_LAST_CALLS_SECONDS)
            left = await asyncio.to_thread(self.recorder.stop, _LAST_FLUSH_SECONDS)
            _log.info("stopped; %d records could not be written", left)
            await asyncio.to_thread(poller.thread.stop)
            await asyncio.to_thread(watch.thread.stop)
            await self._upstream.close()
            await asyncio.to_thread(self.tracing.close)
            self.database.close()

    async def caller(self, request: Request) -> Caller:
        """Who sent a request; counts it against the caller's rate.

        Raises:
            ApiError: no valid key (UNAUTHENTICATED), or too many requests (RESOURCE_EXHAUSTED).
        """
        settings, known = self.settings, context.of(request)
        if settings.auth == "none":
            address = request.client.host if request.client is not None else ""
            caller = Caller(None, True, f"address {address}", settings.requests_per_minute, None)
        else:
            key = await self.keys.find(known.headers.get("authorization"))
            caller = Caller(
                key.id,
                key.admin,
                f"key {key.id}",
                key.requests_per_minute or settings.requests_per_minute,
                key.tokens_per_day or settings.tokens_per_day,
                key.name,
            )
        known.fields["key_id"] = caller.key_id
        if caller.requests_per_minute is not None:
            known.reply_headers.update(self.limiter.take(caller.bucket, caller.requests_per_minute))
        return caller

    async def admin(self, request: Request) -> Caller:
        """Who sent a request that only admins may send.

        Raises:
            ApiError: the key is not an admin's (PERMISSION_DENIED).
        """
        caller = await self.caller(request)
        if not caller.admin:
            raise ApiError("PERMISSION_DENIED", "expected a key with admin rights")
        return caller

    def sticky(self, request: Request, caller: Caller, model: str) -> str:
        """Who keeps the same arm of a model's rollout."""
        known = context.of(request)
        session = known.headers.get("x-session-id", "")
        if self.settings.sticky != "none" and session:
            return f"session {caller.key_id} {session[:256]}"
        by_key = self.settings.sticky == "key" and self.router.by_key(model)
        if by_key and caller.key_id is not None:
            return f"key {caller.key_id}"
        return known.id

    async def _watch_upstream(self) -> None:
        """Keeps in the metrics which versions the model server has."""
        while True:
            try:
                found = await self.upstream.available()
            except Exception as error:  # a task that ends would leave what it said last for ever
                _log.warning("cannot look at the model server for /metrics: %s", error)
                found = {name: [] for name in self.settings.models}
            for model, versions in found.items():
                self.metrics.available.labels(model).set(len(versions))
                self.metrics.version.labels(model).set(max(versions, default=0))
            await asyncio.sleep(self.settings.upstream_poll_seconds)

    def _delete(self, before: datetime) -> dict[str, int]:
        store, keep = self.database.store(), self.settings.keep_feedback
        return store.purge(older_than=before, keep_feedback=keep)

    async def _purge(self) -> None:
        """Deletes what is too old, now and once a day."""
        assert self.settings.retention_days is not None
        keep = timedelta(days=self.settings.retention_days)
        while True:
            before = datetime.now(UTC) - keep
            pause = _DAY_SECONDS
            try:
                counts = await asyncio.to_thread(self._delete, before)
                _log.info("deleted what is older than %s: %s", before.isoformat(), counts)
            except Exception as error:  # tried again: old records must not stay for ever
                _log.warning("could not delete old records: %s", error)
                pause = _PURGE_RETRY_SECONDS
            await asyncio.sleep(pause)


def open_database(settings: Settings) -> Database:
    """The store of the settings, with their redaction."""
    redaction = Redaction(
        drop_inputs=not settings.record_prompts,
        drop_outputs=not settings.record_outputs,
        mask=settings.mask_personal_data,
    )
    return Database(settings.store, redaction, settings.store_seconds)
